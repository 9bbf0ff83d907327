import Glibc
package import MeshBase

/// The name of a network interface: 1 to 15 bytes, no slash, colon or space, neither `.` nor `..` (net/core/dev.c,
/// dev_valid_name).
package struct InterfaceName: Hashable, Sendable, LosslessStringConvertible {
  package let description: String

  package init?(_ text: some StringProtocol) {
    let bytes = Array(text.utf8)
    guard (1...15).contains(bytes.count), text != ".", text != "..",
      bytes.allSatisfy({ $0 > 0x20 && $0 != 0x7f && $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ":") })
    else { return nil }
    self.description = String(text)
  }

  /// Its index in the namespace of the calling thread.
  package func index() throws(MeshError) -> UInt32 {
    let index = if_nametoindex(self.description)
    guard index != 0 else {
      throw SystemError(errno, "if_nametoindex").meshError(self.description, "there is no such interface")
    }
    return index
  }
}
