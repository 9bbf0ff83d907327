import FoundationEssentials
package import MeshBase

/// What has to be known of one file to go on after a restart as if there had been none: the documents of its last
/// content, the broken ones among them, and those of earlier contents whose objects are kept in their place.
package struct LastGoodRecord: Sendable {
  private static let form = SealedBytes(
    object: "last good record", magic: "MRTLGOOD", layout: 1,
    next: "the file is read anew; an object that is broken in it has no last good version")

  package let file: String
  /// The device of the directory that the file stood in: shows that a mount is gone.
  package var device: UInt64 = 0
  var documents: [YAMLDocument]
  /// Documents of earlier contents, with their objects that are kept.
  var kept: [(source: YAMLDocument, keys: Set<ResourceKey>)]

  init(file: String, documents: [YAMLDocument], kept: [(source: YAMLDocument, keys: Set<ResourceKey>)]) {
    self.file = file
    self.documents = documents
    self.kept = kept
  }

  /// Equal for equal records.
  package func encoded() throws(MeshError) -> [UInt8] {
    let body = Body(
      file: self.file, device: self.device, documents: self.documents.map { Body.Source($0) },
      kept: self.kept.map { source, keys in
        Body.Kept(source: Body.Source(source), keys: keys.sorted().map { Body.Key($0) })
      })
    return Self.form.seal(try Self.coded(body))
  }

  /// Throws if the bytes are damaged, another file's, or of another layout.
  package init(_ bytes: [UInt8]) throws(MeshError) {
    let body: Body = try Self.decoded(Self.form.open(bytes), Self.form)
    self.init(
      file: body.file, documents: try body.documents.map(Self.document),
      kept: try body.kept.map { kept throws(MeshError) in
        (try Self.document(kept.source), Set(try kept.keys.map { key throws(MeshError) in try key.key(Self.form) }))
      })
    self.device = body.device
  }

  private static func document(_ source: Body.Source) throws(MeshError) -> YAMLDocument {
    guard source.line >= 0, source.line <= YAMLDocument.maximumFileBytes else { throw Self.form.damaged("has no line") }
    return YAMLDocument(firstLine: source.line, bytes: [UInt8](source.text))
  }

  private struct Body: Codable {
    struct Source: Codable {
      var line: Int
      /// Not every content is text.
      var text: Data

      init(_ document: YAMLDocument) {
        self.line = document.firstLine
        self.text = Data(document.bytes)
      }
    }

    typealias Key = CodedKey

    struct Kept: Codable {
      var source: Source
      var keys: [Key]
    }

    var file: String
    var device: UInt64
    var documents: [Source]
    var kept: [Kept]
  }

  fileprivate struct CodedKey: Codable {
    var kind: String
    var namespace: String
    var name: String

    init(_ key: ResourceKey) {
      self.kind = key.kind.rawValue
      self.namespace = key.namespace
      self.name = key.name
    }

    func key(_ form: SealedBytes) throws(MeshError) -> ResourceKey {
      guard let kind = ResourceKind(rawValue: self.kind) else { throw form.damaged("names an unknown kind") }
      return ResourceKey(kind, namespace: self.namespace, name: self.name)
    }
  }

  fileprivate static func coded(_ value: some Encodable) throws(MeshError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    do {
      return [UInt8](try encoder.encode(value))
    } catch {
      throw MeshError(.internal, Self.form.object, "cannot be made", cause: "\(error)")
    }
  }

  fileprivate static func decoded<Value: Decodable>(
    _ bytes: ArraySlice<UInt8>, _ form: SealedBytes
  ) throws(MeshError) -> Value {
    do {
      return try JSONDecoder().decode(Value.self, from: Data(bytes))
    } catch {
      throw form.damaged("has a body that is not valid", "\(error)")
    }
  }
}

/// Which files there are records of, so that one which is lost is missed, and which file has an object that several claim.
package struct LastGoodIndex: Sendable, Hashable {
  private static let form = SealedBytes(
    object: "last good index", magic: "MRTLGIDX", layout: 1,
    next: "until every file of the directory can be read, nothing is published")

  package var files: Set<String>
  package var owners: [ResourceKey: String]

  package init(files: Set<String>, owners: [ResourceKey: String]) {
    self.files = files
    self.owners = owners
  }

  private struct Body: Codable {
    struct Owner: Codable {
      var key: LastGoodRecord.CodedKey
      var file: String
    }

    var files: [String]
    var owners: [Owner]
  }

  package func encoded() throws(MeshError) -> [UInt8] {
    let owners = self.owners.sorted { $0.key < $1.key }
    return Self.form.seal(
      try LastGoodRecord.coded(
        Body(
          files: self.files.sorted(),
          owners: owners.map { Body.Owner(key: LastGoodRecord.CodedKey($0.key), file: $0.value) })))
  }

  package init(_ bytes: [UInt8]) throws(MeshError) {
    let body: Body = try LastGoodRecord.decoded(Self.form.open(bytes), Self.form)
    self.files = Set(body.files)
    self.owners = [:]
    for owner in body.owners { self.owners[try owner.key.key(Self.form)] = owner.file }
  }
}
