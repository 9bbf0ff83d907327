/// The name of a namespaced object, printed `namespace/name`. Both parts are DNS labels or subdomains (RFC 1123), as
/// Kubernetes has them: lower case letters, digits, `-`, and `.` in the name.
package struct ResourceName: Hashable, Sendable, Comparable, LosslessStringConvertible {
  package let namespace: String
  package let name: String

  /// Nil if a part is no valid name.
  package init?(namespace: String, name: String) {
    guard Self.isLabel(namespace), Self.isSubdomain(name) else { return nil }
    self.namespace = namespace
    self.name = name
  }

  package init?(_ text: some StringProtocol) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    self.init(namespace: String(parts[0]), name: String(parts[1]))
  }

  package var description: String { "\(self.namespace)/\(self.name)" }

  package static func < (a: ResourceName, b: ResourceName) -> Bool {
    (a.namespace, a.name) < (b.namespace, b.name)
  }

  /// RFC 1123 label: 1 to 63 of `a-z0-9-`, beginning and ending with a letter or digit.
  package static func isLabel(_ text: some StringProtocol) -> Bool {
    let bytes = Array(text.utf8)
    guard (1...63).contains(bytes.count), bytes.first != UInt8(ascii: "-"), bytes.last != UInt8(ascii: "-") else {
      return false
    }
    return bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
      default: false
      }
    }
  }

  /// RFC 1123 subdomain: labels joined by dots, at most 253 bytes.
  package static func isSubdomain(_ text: some StringProtocol) -> Bool {
    text.utf8.count <= 253
      && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { Self.isLabel($0) }
  }
}
