/// The form of our binary files: eight bytes of magic, four of layout number, eight of body length (network order), the
/// body, and eight bytes of FNV-1a over all before. Every step of that hash is a bijection, so a change of any one byte
/// is found; it does not defend against somebody who may write the file.
package struct SealedBytes: Sendable {
  private static let headerSize = 20
  private static let checksumSize = 8

  /// What a file of this sort is called in errors.
  package let object: String
  /// What holds while such a file cannot be used.
  package let next: String
  private let magic: [UInt8]
  private let layout: UInt32

  /// - Parameter magic: the first eight bytes; what is longer or shorter is cut or filled with spaces.
  package init(object: String, magic: String, layout: UInt32, next: String) {
    self.object = object
    self.next = next
    self.magic = Array((Array(magic.utf8) + Array(repeating: UInt8(ascii: " "), count: 8)).prefix(8))
    self.layout = layout
  }

  package func seal(_ body: [UInt8]) -> [UInt8] {
    var bytes = self.magic + Self.bigEndian(self.layout) + Self.bigEndian(UInt64(body.count))
    bytes.reserveCapacity(bytes.count + body.count + Self.checksumSize)
    bytes.append(contentsOf: body)
    bytes.append(contentsOf: Self.bigEndian(ContentVersion(of: bytes).value))
    return bytes
  }

  /// The body. Throws if the bytes are another file's, cut off, changed, or of another layout.
  package func open(_ bytes: [UInt8]) throws(MeshError) -> ArraySlice<UInt8> {
    guard bytes.starts(with: self.magic) else { throw self.damaged("is no \(self.object)") }
    guard bytes.count >= Self.headerSize + Self.checksumSize else { throw self.damaged("is truncated") }
    let layout = Self.number(bytes[8..<12])
    guard layout == UInt64(self.layout) else {
      throw MeshError(
        .unsupported, self.object, "has layout \(layout), this version reads \(self.layout)", next: self.next)
    }
    guard Self.number(bytes[12..<20]) == UInt64(bytes.count - Self.headerSize - Self.checksumSize) else {
      throw self.damaged("is truncated, or has bytes after its end")
    }
    let end = bytes.count - Self.checksumSize
    guard ContentVersion(of: bytes[..<end]).value == Self.number(bytes[end...]) else {
      throw self.damaged("does not match its checksum")
    }
    return bytes[Self.headerSize..<end]
  }

  package func damaged(_ message: String, _ cause: String? = nil) -> MeshError {
    MeshError(.invalid, self.object, message, cause: cause, next: self.next)
  }

  private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

  private static func bigEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    stride(from: value.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
  }
}
