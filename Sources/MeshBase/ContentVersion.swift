/// The version of an entry: a 64-bit FNV-1a hash of its canonical encoding. Equal content has an equal version on every
/// node and after every restart, so a reconnect sends only what differs. Printed as 16 hex digits.
package struct ContentVersion: Hashable, Sendable, LosslessStringConvertible {
  package let value: UInt64

  package init(value: UInt64) { self.value = value }

  package init(of bytes: some Sequence<UInt8>) {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    self.value = hash
  }

  package init?(_ text: some StringProtocol) {
    guard text.utf8.count == 16, text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
      let value = UInt64(text, radix: 16)
    else { return nil }
    self.value = value
  }

  package var description: String {
    let digits = String(self.value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
