import MeshBase

/// A resource in force and where it was written.
struct Claim {
  var file: String
  /// Lines of the file before its document.
  var firstLine: Int
  var resource: Resource
  /// The last good version of an object whose present version cannot be used.
  var isKept = false

  var position: FieldPosition { self.resource.position.shifted(by: self.firstLine) }
}

/// One file of resources: what it says now, and what of its last good state still holds.
///
/// While a file has a broken document, every object that it had and that its good documents do not name is kept: an
/// unreadable document may be any of them. So to remove an object, the file has to be whole.
struct ResourceFile {
  struct Document {
    var hash: YAMLDocument.Hash
    var firstLine: Int
    var decoded: DecodedDocument
  }

  let path: String
  private(set) var documents: [Document] = []
  private(set) var kept: [ResourceKey: Claim] = [:]
  /// Why the file as a whole cannot be used.
  private(set) var failure: Problem?

  init(path: String) { self.path = path }

  var claims: [Claim] {
    var result = self.documents.flatMap { document in
      document.decoded.resources.map { Claim(file: self.path, firstLine: document.firstLine, resource: $0) }
    }
    result += self.kept.values
    return result
  }

  var problems: [Problem] {
    var result = self.documents.flatMap { document in
      document.decoded.problems.map { problem in
        var problem = problem
        problem.position = problem.position.shifted(by: document.firstLine)
        return problem
      }
    }
    if let failure { result.append(failure) }
    return result
  }

  /// The file cannot be read: what it said stays.
  mutating func fail(_ message: String, next: String?) {
    self.failure = Problem(
      .error, file: self.path, position: FieldPosition(line: 1, column: 1), object: "file", message: message, next: next
    )
  }

  mutating func update(_ bytes: [UInt8]) {
    guard bytes.count <= YAMLDocument.maximumFileBytes else {
      return self.fail(
        "larger than \(YAMLDocument.maximumFileBytes) bytes", next: "split it into several files")
    }
    let split = YAMLDocument.split(bytes)
    guard split.count <= YAMLDocument.maximumDocuments else {
      return self.fail("\(split.count) documents", next: "at most \(YAMLDocument.maximumDocuments): split the file")
    }
    var known: [YAMLDocument.Hash: DecodedDocument] = [:]
    var old: [ResourceKey: Claim] = self.kept
    for document in self.documents {
      known[document.hash] = document.decoded
      for resource in document.decoded.resources {
        old[resource.key] = Claim(file: self.path, firstLine: document.firstLine, resource: resource)
      }
    }
    self.failure = nil
    self.documents = split.map { document in
      let hash = document.hash
      return Document(
        hash: hash, firstLine: document.firstLine,
        decoded: known[hash] ?? DecodedDocument(document, file: self.path))
    }
    self.kept = [:]
    guard self.documents.contains(where: { !$0.decoded.broken.isEmpty }) else { return }
    for document in self.documents {
      for resource in document.decoded.resources { old[resource.key] = nil }
    }
    self.kept = old.mapValues { claim in
      var claim = claim
      claim.isKept = true
      return claim
    }
  }
}
