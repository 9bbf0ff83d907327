/// `GET /v1/certificates`: one of this node's identities, and the certificate that it has.
package struct CertificateReport: Codable, Sendable, Hashable {
  package var identity: String
  /// Hex digits. Nil, as the rest: there is none yet.
  package var serial: String?
  package var notBefore: Timestamp?
  package var notAfter: Timestamp?
  /// Certificates that are sent: the leaf and those between it and the root.
  package var chain: Int?
  /// Why there is none, or no newer one.
  package var problem: String?

  package init(
    identity: String, serial: String? = nil, notBefore: Timestamp? = nil, notAfter: Timestamp? = nil,
    chain: Int? = nil, problem: String? = nil
  ) {
    self.identity = identity
    self.serial = serial
    self.notBefore = notBefore
    self.notAfter = notAfter
    self.chain = chain
    self.problem = problem
  }
}

extension Timestamp {
  package init(unixSeconds: Double) { self.init(microseconds: Int64(clamping: Int((unixSeconds * 1e6).rounded()))) }
}
