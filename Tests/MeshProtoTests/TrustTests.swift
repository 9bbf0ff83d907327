import MeshBase
import MeshProto
import MeshSnapshot
import Testing

@Suite("Roots and revoked certificates in the mesh's configuration")
struct TrustTests {
  @Test("they come back as they went, and count for the version")
  func roundTrip() throws {
    let plain = ConfigEntry(trustDomain: "mesh.test")
    let config = ConfigEntry(
      trustDomain: "mesh.test", trustRoots: [[1, 2, 3], [4]],
      revoked: [RevokedCertificate(authorityKey: [], serial: [7]), RevokedCertificate(authorityKey: [9], serial: [8])])
    let decoded = try Entry.decode(.config, bytes: Entry.config(config).encoded())
    #expect(decoded == .config(config))
    #expect(VersionedEntry(.config(config)).version != VersionedEntry(.config(plain)).version)
  }

  @Test("what cannot be a certificate or its number is refused, with its place")
  func refused() throws {
    let none = RevokedCertificate(authorityKey: [], serial: [])
    let long = RevokedCertificate(authorityKey: [UInt8](repeating: 1, count: 65), serial: [1])
    let bad: [(ConfigEntry, String)] = [
      (ConfigEntry(trustDomain: "mesh.test", trustRoots: [[1], []]), "trust_roots[1]"),
      (ConfigEntry(trustDomain: "mesh.test", trustRoots: [[UInt8](repeating: 1, count: 16_385)]), "trust_roots[0]"),
      (ConfigEntry(trustDomain: "mesh.test", trustRoots: [[UInt8]](repeating: [1], count: 17)), "trust_roots"),
      (ConfigEntry(trustDomain: "mesh.test", revoked: [none]), "revoked[0]"),
      (ConfigEntry(trustDomain: "mesh.test", revoked: [long]), "revoked[0]"),
    ]
    for (config, place) in bad {
      #expect {
        try Entry.decode(.config, bytes: Entry.config(config).encoded())
      } throws: { error in
        (error as? MeshError)?.description.contains(place) == true
      }
    }
  }
}
