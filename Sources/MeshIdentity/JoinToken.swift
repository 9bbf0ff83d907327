/// What a new host brings to prove that somebody wants it in the mesh, once: `martlet1.<id>.<secret>.<fingerprint>`.
///
/// `id` (16 hex digits) names the token in lists and logs. `secret` (64 hex digits, 256 random bits) is known to who holds the token
/// alone: the control plane keeps its hash. `fingerprint` (64 hex digits) is that of the root under which the control plane's own
/// certificate stands, so that the host knows to whom it gives the secret, without a file that somebody would have to bring.
package struct JoinToken: Hashable, Sendable, LosslessStringConvertible, CustomDebugStringConvertible, CustomReflectable
{
  package let id: String
  let secret: String
  package let fingerprint: String

  package init(fingerprint: String, using random: inout some RandomNumberGenerator) {
    self.id = Self.hex(bytes: 8, &random)
    self.secret = Self.hex(bytes: 32, &random)
    self.fingerprint = fingerprint
  }

  /// Nil for anything but the exact form.
  package init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard text.utf8.count < 200, parts.count == 4, parts[0] == "martlet1", Self.isHex(parts[1], digits: 16),
      Self.isHex(parts[2], digits: 64), Self.isHex(parts[3], digits: 64)
    else { return nil }
    self.id = String(parts[1])
    self.secret = String(parts[2])
    self.fingerprint = String(parts[3])
  }

  /// The token itself: for the one who asked for it, nowhere else.
  package var description: String { "martlet1.\(self.id).\(self.secret).\(self.fingerprint)" }
  package var debugDescription: String { "join token \(self.id) (secret not shown)" }
  package var customMirror: Mirror { Mirror(self, children: ["id": self.id]) }

  private static func hex(bytes count: Int, _ random: inout some RandomNumberGenerator) -> String {
    MeshIdentity.hex((0..<count).map { _ in UInt8.random(in: 0...255, using: &random) })
  }

  private static func isHex(_ text: Substring, digits: Int) -> Bool {
    text.utf8.count == digits
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "f"): true
        default: false
        }
      }
  }
}
