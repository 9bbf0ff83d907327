import FoundationEssentials
import MeshBase
import MeshIdentity
import MeshStore

/// Roots and intermediates on disk: `state`, which says who signs and who is trusted, and a directory a root, named by the
/// first digits of its fingerprint, with `root.pem`, `root.key` and `signing.pem` (intermediate, root, key).
///
/// `state` is written last and replaced as a whole: what it does not name is not there.
package struct AuthorityDirectory: Sendable {
  private static let limit = 1 << 20

  package let path: String

  package init(path: String) { self.path = path }

  /// A root, and the authority that signs under it.
  struct Generation: Sendable {
    var root: TrustRoot
    var authority: CertificateAuthority
  }

  /// What `state` holds.
  struct Record: Codable, Equatable {
    enum Step: String, Codable { case steady, spreading, signing }

    var trustDomain: String
    var step: Step
    /// Fingerprints: of the root that signs, and of the other one that is trusted.
    var signer: String
    var other: String?
    /// Of the step, seconds since 1970.
    var since: Double?
    /// For how long both are spread before the new one signs.
    var spreadSeconds: Double?
    var revoked: [RevokedItem]?

    struct RevokedItem: Codable, Equatable {
      var authorityKey: [UInt8]
      var serial: [UInt8]
      var until: Double
    }
  }

  // MARK: state

  private var state: StateFile { StateFile(path: "\(self.path)/state") }

  /// Nil before the first start. Throws `invalid` for a file that is damaged.
  func record() throws(MeshError) -> Record? {
    guard let bytes = try self.state.read(limit: Self.limit) else { return nil }
    guard let record = try? JSONDecoder().decode(Record.self, from: Data(bytes)),
      [record.signer, record.other ?? record.signer].allSatisfy(Self.isFingerprint)
    else {
      throw MeshError(
        .invalid, self.state.path, "the state of the certificate authority is damaged",
        next: "bring the directory back from a backup; if it is lost, move it away: a new authority is made, and every "
          + "node has to join again")
    }
    return record
  }

  func write(_ record: Record) throws(MeshError) {
    guard let data = try? JSONEncoder().encode(record) else {
      throw MeshError(.internal, self.state.path, "could not be written")
    }
    try self.state.write(Array(data))
  }

  private static func isFingerprint(_ text: String) -> Bool {
    text.utf8.count == 64 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
  }

  // MARK: generations

  /// A new root with an intermediate under it, on disk when this returns.
  func make(trustDomain: String, now: Date) throws(MeshError) -> Generation {
    let rootKey = IdentityKey()
    let certificate = try CertificateAuthority.makeRoot(trustDomain: trustDomain, key: rootKey, now: now)
    let root = try TrustRoot(certificate)
    let directory = try StateDirectory(path: self.directory(root.fingerprint)).path
    try self.file(directory, "root.key", isSecret: true).write(Array(rootKey.pem.utf8))
    try self.file(directory, "root.pem").write(Array(try CertificateAuthority.pem([certificate]).utf8))
    return Generation(
      root: root,
      authority: try self.makeIntermediate(trustDomain: trustDomain, root: root, rootKey: rootKey, now: now))
  }

  private func makeIntermediate(
    trustDomain: String, root: TrustRoot, rootKey: IdentityKey, now: Date
  ) throws(MeshError) -> CertificateAuthority {
    let directory = self.directory(root.fingerprint)
    let key = IdentityKey()
    let intermediate = try CertificateAuthority.makeIntermediate(
      trustDomain: trustDomain, key: key, root: root.certificate, rootKey: rootKey, now: now)
    let chain = [intermediate, root.certificate]
    let authority = try CertificateAuthority(trustDomain: trustDomain, chain: chain, key: key, now: now)
    // Key and certificate in one file: a crash leaves both old or both new.
    let text = try CertificateAuthority.pem(chain) + key.pem + "\n"
    try self.file(directory, "signing.pem", isSecret: true).write(Array(text.utf8))
    return authority
  }

  /// The generation of a root that was made before. An intermediate whose life is half over is replaced, as long as the
  /// root's key is there.
  func load(_ fingerprint: String, trustDomain: String, now: Date) throws(MeshError) -> Generation {
    let directory = self.directory(fingerprint)
    let rootText = try self.text(directory, "root.pem")
    let certificates = try? CertificateAuthority.certificates(pem: rootText, object: "\(directory)/root.pem")
    guard let certificate = certificates?.first, let root = try? TrustRoot(certificate), root.fingerprint == fingerprint
    else {
      throw MeshError(
        .invalid, "\(directory)/root.pem", "is not the root \(fingerprint.prefix(16)) that state names",
        next: "bring the directory back from a backup")
    }
    let rootKey: IdentityKey? = try self.file(directory, "root.key", isSecret: true).read(limit: Self.limit).map {
      bytes throws(MeshError) in
      try IdentityKey(pem: String(decoding: bytes, as: UTF8.self), object: "\(directory)/root.key")
    }
    let signing = try self.signing(directory)
    if let rootKey, signing.chain.first.map({ Self.isHalfOver($0.validity, now) }) ?? true {
      return Generation(
        root: root,
        authority: try self.makeIntermediate(trustDomain: trustDomain, root: root, rootKey: rootKey, now: now))
    }
    do throws(MeshError) {
      let authority = try CertificateAuthority(
        trustDomain: trustDomain, chain: signing.chain, key: signing.key, now: now)
      return Generation(root: root, authority: authority)
    } catch {
      throw MeshError(.invalid, "\(directory)/signing.pem", error.message, next: error.next)
    }
  }

  /// The keys of a root that signs no more. What it signed is checked without them.
  func forget(_ fingerprint: String) {
    let directory = self.directory(fingerprint)
    self.file(directory, "root.key").remove()
    self.file(directory, "signing.pem").remove()
  }

  private func signing(_ directory: String) throws(MeshError) -> SigningFile {
    try SigningFile(pem: try self.text(directory, "signing.pem", isSecret: true), object: "\(directory)/signing.pem")
  }

  static func isHalfOver(_ validity: ClosedRange<Date>, _ now: Date) -> Bool {
    now.timeIntervalSince(validity.lowerBound) >= validity.upperBound.timeIntervalSince(validity.lowerBound) / 2
  }

  private func directory(_ fingerprint: String) -> String { "\(self.path)/\(fingerprint.prefix(16))" }

  private func file(_ directory: String, _ name: String, isSecret: Bool = false) -> StateFile {
    StateFile(path: "\(directory)/\(name)", isSecret: isSecret)
  }

  private func text(_ directory: String, _ name: String, isSecret: Bool = false) throws(MeshError) -> String {
    guard let bytes = try self.file(directory, name, isSecret: isSecret).read(limit: Self.limit) else {
      throw MeshError(
        .notFound, "\(directory)/\(name)", "is missing", next: "bring the directory back from a backup")
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
