import FoundationEssentials
import Glibc
import MeshBase
import MeshControlPlane
import MeshIdentity
import MeshLinux
import MeshProto
import MeshSnapshot
import MeshTelemetry
import Testing

@Suite("The certificate authority on disk")
struct AuthorityTests {
  private static let now = Date(timeIntervalSince1970: 1_800_000_000)

  private func office(_ directory: TemporaryDirectory) throws -> AuthorityOffice {
    AuthorityOffice(.directory(try StateDirectory(path: directory.path).authority()))
  }

  @Test("it is made once, its keys are nobody else's, and a restart has the same root")
  func restart() throws {
    let directory = try TemporaryDirectory()
    let first = try self.office(directory)
    try first.open(trustDomain: "mesh.test", now: Self.now)
    let root = try #require(first.verifier?.bundle.roots.first)
    let second = try self.office(directory)
    try second.open(trustDomain: "mesh.test", now: Self.now.addingTimeInterval(60))
    #expect(second.verifier?.bundle.roots == [root])
    let generation = "\(directory.path)/ca/\(root.fingerprint.prefix(16))"
    for (path, mode) in [
      ("\(directory.path)/ca", 0o700), (generation, 0o700), ("\(generation)/root.key", 0o600),
      ("\(generation)/signing.pem", 0o600),
    ] as [(String, UInt32)] {
      let found = try DiskFile.status(path)?.mode
      #expect(found.map { $0 & 0o777 } == mode)
    }
  }

  @Test("resources of another trust domain find no authority, and are told so")
  func otherDomain() throws {
    let directory = try TemporaryDirectory()
    let office = try self.office(directory)
    try office.open(trustDomain: "mesh.test", now: Self.now)
    for other in [office, try self.office(directory)] {
      #expect {
        try other.open(trustDomain: "other.test", now: Self.now)
      } throws: { error in
        (error as? MeshError)?.code == .conflict && (error as? MeshError)?.next != nil
      }
    }
  }

  @Test(
    "a file that is broken, gone or open to everybody is named, with what to do",
    arguments: ["state", "root.pem", "root.key", "signing.pem"], ["garbage", "empty", "gone", "open"])
  func broken(name: String, damage: String) throws {
    let directory = try TemporaryDirectory()
    let office = try self.office(directory)
    try office.open(trustDomain: "mesh.test", now: Self.now)
    let root = try #require(office.verifier?.bundle.roots.first)
    let folder = name == "state" ? "ca" : "ca/\(root.fingerprint.prefix(16))"
    let path = "\(directory.path)/\(folder)/\(name)"
    switch damage {
    case "garbage": try directory.write("\(folder)/\(name)", "no such thing\n")
    case "empty": try directory.write("\(folder)/\(name)", "")
    case "gone": #expect(unlink(path) == 0)
    default: #expect(chmod(path, 0o666) == 0)
    }
    let next = try self.office(directory)
    // Without its key a root still serves: it was put away. Without a state there is a new authority.
    if damage == "gone", name == "root.key" || name == "state" {
      try next.open(trustDomain: "mesh.test", now: Self.now)
      return
    }
    #expect {
      try next.open(trustDomain: "mesh.test", now: Self.now)
    } throws: { error in
      guard let error = error as? MeshError else { return false }
      return error.object == path && error.next != nil && !error.description.contains("PRIVATE KEY")
    }
  }

  @Test(
    "TL-13: a rotation signs with the new root only when all hold it, drops the old one's keys, and survives a restart")
  func rotation() throws {
    let directory = try TemporaryDirectory()
    let office = try self.office(directory)
    try office.open(trustDomain: "mesh.test", now: Self.now)
    let old = try #require(office.verifier?.bundle.roots.first)
    try office.rotate(spread: 100, now: Self.now)
    let roots = try #require(office.verifier?.bundle.roots)
    #expect(roots.count == 2)
    #expect(roots.first == old)
    #expect(throws: MeshError.self) { try office.rotate(spread: 100, now: Self.now) }
    try office.tick(now: Self.now.addingTimeInterval(200), allHold: false)
    #expect(office.verifier?.bundle.roots.first == old)
    let restarted = try self.office(directory)
    try restarted.open(trustDomain: "mesh.test", now: Self.now.addingTimeInterval(200))
    try restarted.tick(now: Self.now.addingTimeInterval(201), allHold: true)
    #expect(restarted.verifier?.bundle.roots == [roots[1], old])
    let later = Self.now.addingTimeInterval(201 + 90_000)
    try restarted.tick(now: later, allHold: true)
    #expect(restarted.verifier?.bundle.roots == [roots[1]])
    #expect(access("\(directory.path)/ca/\(old.fingerprint.prefix(16))/root.key", F_OK) != 0)
    let last = try self.office(directory)
    try last.open(trustDomain: "mesh.test", now: later)
    #expect(last.verifier?.bundle.roots == [roots[1]])
  }

  @Test("a rotation can be taken back until the new root signs")
  func abort() throws {
    let directory = try TemporaryDirectory()
    let office = try self.office(directory)
    try office.open(trustDomain: "mesh.test", now: Self.now)
    let old = try #require(office.verifier?.bundle.roots.first)
    #expect(throws: MeshError.self) { try office.abortRotation() }
    try office.rotate(spread: 0, now: Self.now)
    try office.abortRotation()
    #expect(office.verifier?.bundle.roots == [old])
  }

  @Test("an intermediate whose life is half over is replaced under the same root")
  func intermediate() throws {
    let directory = try TemporaryDirectory()
    let office = try self.office(directory)
    try office.open(trustDomain: "mesh.test", now: Self.now)
    let first = try office.report(refused: [:])
    let later = Self.now.addingTimeInterval(200 * 86_400)
    try office.tick(now: later, allHold: true)
    let second = try office.report(refused: [:])
    #expect(second.roots == first.roots)
    #expect(first.signingNotAfter < second.signingNotAfter)
  }

  @Test("an authority that somebody brings is used as it is, and is not rotated here")
  func brought() throws {
    let directory = try TemporaryDirectory()
    let (rootKey, key) = (IdentityKey(), IdentityKey())
    let root = try CertificateAuthority.makeRoot(trustDomain: "mesh.test", key: rootKey, now: Self.now)
    let signing = try CertificateAuthority.makeIntermediate(
      trustDomain: "mesh.test", key: key, root: root, rootKey: rootKey, now: Self.now)
    try directory.write("c.pem", try CertificateAuthority.pem([signing]))
    try directory.write("k.pem", key.pem)
    try directory.write("r.pem", try CertificateAuthority.pem([root]))
    func files(_ key: String = "k.pem", root: String = "r.pem") -> AuthorityOffice {
      AuthorityOffice(
        .brought(
          BroughtAuthority(
            certificate: "\(directory.path)/c.pem", key: "\(directory.path)/\(key)", root: "\(directory.path)/\(root)"))
      )
    }
    let office = files()
    try office.open(trustDomain: "mesh.test", now: Self.now)
    #expect(office.verifier?.bundle.roots.map(\.certificate) == [root])
    #expect(throws: MeshError.self) { try office.rotate(spread: nil, now: Self.now) }
    // Another root, another key, no file: the file is named.
    let stranger = try CertificateAuthority.makeRoot(trustDomain: "mesh.test", key: IdentityKey(), now: Self.now)
    try directory.write("other.pem", try CertificateAuthority.pem([stranger]))
    try directory.write("otherkey.pem", rootKey.pem)
    for (broken, name) in [
      (files(root: "other.pem"), "other.pem"), (files("otherkey.pem"), "c.pem"), (files("none"), "none"),
    ] {
      #expect {
        try broken.open(trustDomain: "mesh.test", now: Self.now)
      } throws: { error in
        (error as? MeshError)?.object == "\(directory.path)/\(name)" && (error as? MeshError)?.next != nil
      }
    }
  }

  @Test("every node's configuration has the roots, and the certificates that are revoked")
  func snapshot() throws {
    let directory = try TemporaryDirectory()
    let office = try self.office(directory)
    try office.open(trustDomain: "mesh.test", now: Self.now)
    try office.revoke(serial: [1, 2, 3], now: Self.now)
    let snapshot = Snapshot([VersionedEntry(.config(ConfigEntry(trustDomain: "mesh.test")))])
    let config = try #require(snapshot.trusting(office.verifier).config?.value)
    #expect(config.trustRoots == office.verifier?.bundle.roots.map(\.der))
    #expect(config.revoked.map(\.serial) == [[1, 2, 3]])
    #expect(snapshot.trusting(nil) == snapshot)
  }
}
