/// A workload's identity: `spiffe://<trustDomain>/ns/<namespace>/sa/<serviceAccount>` (SPIFFE-ID section 2, in Istio's
/// form of the path).
package struct SPIFFEID: Hashable, Sendable, Comparable, LosslessStringConvertible {
  package let trustDomain: String
  package let namespace: String
  package let serviceAccount: String

  /// Nil if a part is not valid.
  package init?(trustDomain: String, namespace: String, serviceAccount: String) {
    guard Self.isTrustDomain(trustDomain), ResourceName.isLabel(namespace), ResourceName.isSubdomain(serviceAccount)
    else { return nil }
    self.trustDomain = trustDomain
    self.namespace = namespace
    self.serviceAccount = serviceAccount
  }

  /// Exactly the canonical form: lower case, no query, fragment, port, user, no empty or dot segments.
  package init?(_ text: some StringProtocol) {
    guard text.utf8.count <= 2048, text.hasPrefix("spiffe://") else { return nil }
    let parts = text.dropFirst("spiffe://".count).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 5, parts[1] == "ns", parts[3] == "sa" else { return nil }
    self.init(trustDomain: String(parts[0]), namespace: String(parts[2]), serviceAccount: String(parts[4]))
  }

  /// Without the scheme, as Istio's `principals` and metric labels write it.
  package var principal: String { "\(self.trustDomain)/ns/\(self.namespace)/sa/\(self.serviceAccount)" }

  package var description: String { "spiffe://" + self.principal }

  package static func < (a: SPIFFEID, b: SPIFFEID) -> Bool {
    (a.trustDomain, a.namespace, a.serviceAccount) < (b.trustDomain, b.namespace, b.serviceAccount)
  }

  /// 1 to 255 of `a-z0-9.-_` (SPIFFE-ID section 2.1).
  package static func isTrustDomain(_ text: some StringProtocol) -> Bool {
    (1...255).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."),
          UInt8(ascii: "-"), UInt8(ascii: "_"):
          true
        default: false
        }
      }
  }
}
