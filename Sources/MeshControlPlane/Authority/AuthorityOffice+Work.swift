package import FoundationEssentials
package import MeshBase
package import MeshIdentity
import MeshProto
package import MeshSnapshot
package import MeshTelemetry
import Synchronization
package import X509

extension AuthorityOffice {
  /// Roots that are trusted and certificates that are not any more; nil before it is open.
  package var verifier: CertificateVerifier? {
    self.state.withLock { state in
      state.map {
        CertificateVerifier(bundle: TrustBundle(trustDomain: $0.trustDomain, roots: $0.roots), revoked: $0.revoked)
      }
    }
  }

  /// Signs; that `subject` may be had by who asks is the caller's to decide.
  package func issue(
    _ subject: CertificateSubject, key: Certificate.PublicKey, now: Date
  ) throws(MeshError) -> IssuedCertificate {
    let lifetime = self.configuration.leafLifetime
    return try self.state.withLock { state throws(MeshError) in
      guard let signer = state?.signer else { throw Self.closed }
      let certificate = try signer.issue(subject, key: key, lifetime: lifetime, now: now)
      state?.issued += 1
      return certificate
    }
  }

  /// The control plane's own certificate, with its root, and key. Made anew when half of its life is over or another root signs.
  package func server(now: Date) throws(MeshError) -> (chain: [[UInt8]], key: IdentityKey) {
    let lifetime = self.configuration.leafLifetime
    return try self.state.withLock { state throws(MeshError) in
      guard var next = state, let signer = next.signer else { throw Self.closed }
      let root = next.rotation.signer
      if let held = next.server, held.root == root,
        !AuthorityDirectory.isHalfOver(held.certificate.notBefore...held.certificate.notAfter, now)
      {
        return (held.certificate.chain + [root.der], held.key)
      }
      let key = IdentityKey()
      let certificate = try signer.issue(
        .control(trustDomain: next.trustDomain), key: key.publicKey, lifetime: lifetime, now: now)
      next.server = ServerCredential(certificate: certificate, key: key, root: root)
      state = next
      return (certificate.chain + [root.der], key)
    }
  }

  /// A new root takes the present one's place, in steps (`RootRotation`). `spread`: seconds for which both are trusted before the
  /// new one signs.
  package func rotate(spread: Double?, now: Date) throws(MeshError) {
    try self.change { state, directory throws(MeshError) in
      guard case .steady = state.rotation.phase else {
        // Says so, before a root is made for nothing.
        _ = try state.rotation.rotate(to: state.rotation.signer, now: now)
        return
      }
      let made = try directory.make(trustDomain: state.trustDomain, now: now)
      var configuration = self.configuration.rotation
      if let spread { configuration.spread = spread }
      var rotation = RootRotation(state.rotation.phase, configuration)
      _ = try rotation.rotate(to: made.root, now: now)
      state.rotation = rotation
      state.authorities[made.root.fingerprint] = made.authority
    }
  }

  /// Back to the old root, as long as the new one does not sign.
  package func abortRotation() throws(MeshError) {
    try self.change { state, directory throws(MeshError) in
      for case .retire(let root) in try state.rotation.abort() {
        state.authorities[root.fingerprint] = nil
        directory.forget(root.fingerprint)
      }
    }
  }

  /// The certificate with this number is not accepted any more, until it would have ended.
  package func revoke(serial: [UInt8], now: Date) throws(MeshError) {
    try self.change { state, _ throws(MeshError) in
      state.revoked.expire(now: now)
      for authority in state.authorities.values {
        guard let key = authority.keyIdentifier else { continue }
        state.revoked.revoke(
          .init(authorityKey: key, serial: serial), until: now.addingTimeInterval(self.configuration.leafLifetime))
      }
    }
  }

  /// - Parameter refused: requests that were refused, by reason.
  package func report(refused: [String: UInt64]) throws(MeshError) -> AuthorityReport {
    try self.state.withLock { state throws(MeshError) in
      guard let state, let signing = state.signer?.chain.first else { throw Self.closed }
      let record = Self.record(of: state)
      let signer = state.rotation.signer
      return AuthorityReport(
        trustDomain: state.trustDomain,
        source: {
          if case .brought = self.source { "files" } else { "generated" }
        }(),
        rotation: record.step.rawValue,
        rotationSince: record.since.map { Timestamp(Date(timeIntervalSince1970: $0)) },
        roots: state.roots.map {
          .init(
            fingerprint: $0.fingerprint, subject: "\($0.certificate.subject)",
            notAfter: Timestamp($0.certificate.notValidAfter), signs: $0 == signer)
        },
        signingNotAfter: Timestamp(signing.notValidAfter), issued: state.issued, refused: refused,
        revoked: state.revoked.items.count)
    }
  }
}

extension Timestamp {
  init(_ date: Date) { self.init(unixSeconds: date.timeIntervalSince1970) }
}

extension CertificateAuthority {
  /// How its leaves name it.
  fileprivate var keyIdentifier: [UInt8]? {
    guard let signing = self.chain.first else { return nil }
    return Array(SubjectKeyIdentifier(hash: signing.publicKey).keyIdentifier)
  }
}

extension Snapshot {
  /// The same, with the roots that nodes are to trust and the certificates that they are not to accept.
  package func trusting(_ verifier: CertificateVerifier?) -> Snapshot {
    guard let verifier, var config = self.config?.value else { return self }
    config.trustRoots = verifier.bundle.roots.map(\.der)
    config.revoked = verifier.revoked.items.keys.map {
      RevokedCertificate(authorityKey: $0.authorityKey, serial: $0.serial)
    }.sorted()
    var result = self
    result.insert(VersionedEntry(.config(config)))
    return result
  }
}
