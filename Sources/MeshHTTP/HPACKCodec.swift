import NIOCore
import NIOHPACK

/// HPACK by NIOHPACK, which makes a String of every name and value. What is not UTF-8 comes out of it with U+FFFD in place
/// of bytes; `HTTP2Head` refuses such fields, since nobody can say what they were.
package struct HPACKCodec: HeaderBlockCodec {
  /// Larger tables are not kept, whatever the peer allows.
  package static let tableSize = 4096

  private var decoder: HPACKDecoder
  private var encoder: HPACKEncoder

  /// `largestList`: where unpacking is given up.
  package init(largestList: Int) {
    self.decoder = HPACKDecoder(
      allocator: ByteBufferAllocator(), maxDynamicTableSize: Self.tableSize, maxHeaderListSize: max(1, largestList))
    self.encoder = HPACKEncoder(allocator: ByteBufferAllocator(), maxDynamicTableSize: Self.tableSize)
  }

  package mutating func decode(_ block: Span<UInt8>) throws(HeaderBlockFailure) -> FieldBlock {
    var buffer = ByteBuffer()
    unsafe buffer.writeBytes(block.bytes)
    let headers: HPACKHeaders
    do {
      headers = try self.decoder.decodeHeaders(from: &buffer)
    } catch is NIOHPACKErrors.MaxHeaderListSizeViolation {
      throw .tooLarge
    } catch {
      throw .compression
    }
    var fields = FieldBlock()
    for (name, value, indexing) in headers {
      fields.append(name: name.utf8, value: value.utf8, isSecret: indexing == .neverIndexed)
    }
    return fields
  }

  package mutating func encode(_ block: FieldBlock, to output: inout [UInt8]) throws(HeaderBlockFailure) {
    var headers = HPACKHeaders()
    headers.reserveCapacity(block.fields.count)
    for field in block.fields {
      let name = block.name(field)
      // NIOHPACK traps on names that are not ASCII.
      guard !name.isEmpty, name.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
        let nameText = String(validating: name, as: UTF8.self),
        let valueText = String(validating: block.value(field), as: UTF8.self)
      else { throw .unencodable }
      headers.add(name: nameText, value: valueText, indexing: field.isSecret ? .neverIndexed : .indexable)
    }
    var buffer = ByteBuffer()
    do {
      try self.encoder.encode(headers: headers, to: &buffer)
    } catch {
      throw .unencodable
    }
    output.append(contentsOf: buffer.readableBytesView)
  }

  package mutating func peerAllowsTable(of size: Int) {
    // It throws only in the midst of an encoding, which never outlives `encode`.
    try? self.encoder.setDynamicTableSize(max(0, min(size, Self.tableSize)))
  }
}
