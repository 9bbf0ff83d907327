package import MeshBase
package import MeshSnapshot

/// An entry as it stands in a delta xDS response: the field `resources` with its tag, encoded once and copied into every
/// stream's responses.
package struct EncodedResource: Sendable, Equatable {
  package let key: EntryKey
  package let version: ContentVersion
  /// Bytes of the entry alone.
  package let entrySize: Int
  let field: [UInt8]

  package init(_ entry: Entry) {
    self.init(key: entry.key, entry: entry.encoded())
  }

  package init(key: EntryKey, entry bytes: [UInt8]) {
    self.key = key
    self.version = ContentVersion(of: bytes)
    self.entrySize = bytes.count
    var any = ProtobufWriter(capacity: bytes.count + 64)
    any.write(field: 1, key.kind.typeURL)
    any.write(field: 2, bytes)
    var resource = ProtobufWriter(capacity: bytes.count + 160)
    resource.write(field: 1, self.version.description)
    resource.write(field: 2, any.bytes)
    resource.write(field: 3, key.name)
    var response = ProtobufWriter(capacity: bytes.count + 170)
    response.write(field: 2, resource.bytes)
    self.field = response.bytes
  }

  /// Bytes that the resource adds to a response.
  package var size: Int { self.field.count }

  /// An `envoy.service.discovery.v3.DeltaDiscoveryResponse` of these resources.
  package static func response(
    _ kind: EntryKind, systemVersion: String, nonce: String, resources: [EncodedResource], removed: [String]
  ) -> [UInt8] {
    var writer = ProtobufWriter(
      capacity: resources.reduce(128) { $0 + $1.size } + removed.reduce(0) { $0 + $1.utf8.count + 3 })
    writer.write(field: 1, systemVersion)
    for resource in resources { writer.append(resource.field) }
    writer.write(field: 4, kind.typeURL)
    writer.write(field: 5, nonce)
    for name in removed { writer.write(field: 6, name.utf8) }
    return writer.bytes
  }
}
