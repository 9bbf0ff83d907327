/// Names and values of a head, as ranges of one run of bytes.
package struct FieldBlock: Hashable, Sendable {
  package struct Field: Hashable, Sendable {
    package var name: Range<Int>
    package var value: Range<Int>
    /// To be sent on as a literal that no table takes (RFC 7541 section 7.1.3).
    package var isSecret: Bool
  }

  package private(set) var bytes: [UInt8] = []
  package private(set) var fields: [Field] = []

  package init() {}

  package mutating func append(name: some Sequence<UInt8>, value: some Sequence<UInt8>, isSecret: Bool = false) {
    let start = self.bytes.count
    self.bytes.append(contentsOf: name)
    let middle = self.bytes.count
    self.bytes.append(contentsOf: value)
    self.fields.append(Field(name: start..<middle, value: middle..<self.bytes.count, isSecret: isSecret))
  }

  package mutating func append(_ name: String, _ value: String) {
    self.append(name: name.utf8, value: value.utf8)
  }

  /// A field that stands elsewhere, its name in lower case.
  mutating func append(_ input: Span<UInt8>, name: Range<Int>, value: Range<Int>, isSecret: Bool) {
    let start = self.bytes.count
    for index in name { self.bytes.append(HTTPBytes.lower(input[index])) }
    let middle = self.bytes.count
    self.bytes.append(input, value)
    self.fields.append(Field(name: start..<middle, value: middle..<self.bytes.count, isSecret: isSecret))
  }

  /// As SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 section 6.5.2).
  package var listSize: Int {
    self.bytes.count + 32 * self.fields.count
  }

  package func name(_ field: Field) -> ArraySlice<UInt8> {
    self.bytes[field.name]
  }

  package func value(_ field: Field) -> ArraySlice<UInt8> {
    self.bytes[field.value]
  }
}

package enum HeaderBlockFailure: Error, Hashable, Sendable {
  /// The two tables no longer agree: the connection cannot go on.
  case compression
  /// So much was unpacked that it was given up in the middle; the same holds.
  case tooLarge
  /// Not to be sent as it is.
  case unencodable
}

/// HPACK (RFC 7541) with the tables of both directions of one connection.
package protocol HeaderBlockCodec: Sendable {
  /// A whole block. Every block of the connection has to be given, in order, whether it is wanted or not.
  mutating func decode(_ block: Span<UInt8>) throws(HeaderBlockFailure) -> FieldBlock
  mutating func encode(_ block: FieldBlock, to output: inout [UInt8]) throws(HeaderBlockFailure)
  /// The peer's SETTINGS_HEADER_TABLE_SIZE.
  mutating func peerAllowsTable(of size: Int)
}
