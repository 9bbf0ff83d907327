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
    var source: YAMLDocument
    var decoded: DecodedDocument

    var firstLine: Int { self.source.firstLine }
  }

  /// An object of an earlier state of the file, with the document that it was read from.
  struct Kept {
    var claim: Claim
    var source: YAMLDocument
  }

  let path: String
  private(set) var documents: [Document] = []
  private(set) var kept: [ResourceKey: Kept] = [:]
  /// Why the file as a whole cannot be used.
  private(set) var failure: Problem?
  /// A content of this file was read, now or before a restart.
  private(set) var isKnown = false
  /// What it said before a restart is known.
  private let isRestored: Bool

  init(path: String) {
    self.path = path
    self.isRestored = false
  }

  /// As it was when `record` was made.
  init(_ record: LastGoodRecord) {
    self.path = record.file
    self.isKnown = true
    self.isRestored = true
    self.documents = record.documents.map {
      Document(hash: $0.hash, source: $0, decoded: DecodedDocument($0, file: record.file))
    }
    for (source, keys) in record.kept {
      for resource in DecodedDocument(source, file: record.file).resources where keys.contains(resource.key) {
        self.kept[resource.key] = Kept(
          claim: Claim(file: self.path, firstLine: source.firstLine, resource: resource, isKept: true), source: source)
      }
    }
  }

  /// What has to be known to go on after a restart. Nil: no content was ever read.
  var record: LastGoodRecord? {
    guard self.isKnown else { return nil }
    var sources: [YAMLDocument: Set<ResourceKey>] = [:]
    for (key, kept) in self.kept { sources[kept.source, default: []].insert(key) }
    return LastGoodRecord(
      file: self.path, documents: self.documents.map(\.source),
      // No object is kept twice, so their names give one order.
      kept: sources.map { ($0.key, $0.value) }.sorted {
        $0.1.map(\.description).min() ?? "" < $1.1.map(\.description).min() ?? ""
      })
  }

  /// What may hide a policy, if nothing is known of the file's earlier content.
  var unaccounted: [Problem] {
    if self.isRestored { return [] }
    var result = self.isKnown ? [] : self.failure.map { [$0] } ?? []
    for document in self.documents {
      for broken in document.decoded.broken where broken.isUnaccounted {
        result.append(
          Problem(
            .error, file: self.path, position: broken.position.shifted(by: document.firstLine), object: "document",
            message: "it cannot be told what this is: it may be a policy", next: "correct or remove it"))
      }
    }
    return result
  }

  var claims: [Claim] {
    var result = self.documents.flatMap { document in
      document.decoded.resources.map { Claim(file: self.path, firstLine: document.firstLine, resource: $0) }
    }
    result += self.kept.values.lazy.map(\.claim)
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
    var old = self.kept
    for document in self.documents {
      known[document.hash] = document.decoded
      for resource in document.decoded.resources {
        old[resource.key] = Kept(
          claim: Claim(file: self.path, firstLine: document.firstLine, resource: resource), source: document.source)
      }
    }
    self.failure = nil
    self.isKnown = true
    self.documents = split.map { document in
      let hash = document.hash
      return Document(
        hash: hash, source: document, decoded: known[hash] ?? DecodedDocument(document, file: self.path))
    }
    self.kept = [:]
    guard self.documents.contains(where: { !$0.decoded.broken.isEmpty }) else { return }
    for document in self.documents {
      for resource in document.decoded.resources { old[resource.key] = nil }
    }
    self.kept = old.mapValues { kept in
      var kept = kept
      kept.claim.isKept = true
      return kept
    }
  }
}
