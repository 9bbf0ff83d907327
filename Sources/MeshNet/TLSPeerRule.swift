package import MeshBase

/// Who may be at the other end of a connection between nodes, by the names of a certificate whose chain is good.
package enum TLSPeerRule: Sendable, Hashable {
  /// Nobody else: towards a server, of which the endpoint's entry tells the identity.
  case identity(SPIFFEID)
  /// Any workload of the mesh: towards clients, whom policy judges.
  case trustDomain(String)

  /// The identity, or nil: it may not be. A certificate of the mesh has exactly one alternative name of any type (X509-SVID section
  /// 2), a workload's identity in its canonical form.
  ///
  /// - names: how many it has.
  /// - uri: the first, if it is a URI.
  package func admit(names: Int, uri: String?) -> SPIFFEID? {
    guard names == 1, let uri, let identity = SPIFFEID(uri) else { return nil }
    switch self {
    case .identity(let expected): return identity == expected ? identity : nil
    case .trustDomain(let domain): return identity.trustDomain == domain ? identity : nil
    }
  }
}

/// Why a TLS connection ended that should not have, as it is counted and logged.
package enum TLSFailure: String, Error, Sendable, CaseIterable {
  case outOfMemory = "tls_out_of_memory"
  case noCertificate = "tls_no_certificate"
  case expired = "tls_expired"
  case notYetValid = "tls_not_yet_valid"
  case unknownAuthority = "tls_unknown_authority"
  /// More than three certificates, or more than 16 KiB of them.
  case chainTooLong = "tls_chain_too_long"
  case weak = "tls_weak"
  /// The certificate is an authority's, or not made for this use.
  case notLeaf = "tls_not_leaf"
  case badChain = "tls_bad_chain"
  case wrongIdentity = "tls_wrong_identity"
  /// ALPN did not end with `h2`.
  case noProtocol = "tls_no_protocol"
  case wrongVersion = "tls_wrong_version"
  case unknownName = "tls_unknown_name"
  /// What came is no TLS.
  case notTLS = "tls_not_tls"
  /// The peer ended it with an alert.
  case alert = "tls_alert"
  case protocolError = "tls_protocol"
  case handshakeTooLong = "tls_handshake_too_long"
  case handshakeTimeout = "tls_handshake_timeout"
  /// The connection ended without close_notify: what came may not be all.
  case truncated = "tls_truncated"
}
