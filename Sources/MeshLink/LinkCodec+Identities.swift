import MeshBase
import NIOCore

/// Certificates and roots are lists of byte strings: a count (two bytes), and each its length (four bytes) and its bytes.
extension ByteBuffer {
  mutating func writeIdentity(_ material: IdentityMaterial) {
    self.writeText(material.identity.description)
    self.writeInteger(material.expires)
    self.writeByteStrings(material.chain)
    self.writeByteString(material.key)
  }

  mutating func writeTrust(_ material: TrustMaterial) {
    self.writeText(material.trustDomain)
    self.writeByteStrings(material.roots)
    self.writeByteStrings(material.revoked)
  }

  private mutating func writeByteStrings(_ strings: [[UInt8]]) {
    self.writeInteger(UInt16(clamping: strings.count))
    for string in strings.prefix(Int(UInt16.max)) { self.writeByteString(string) }
  }

  private mutating func writeByteString(_ string: [UInt8]) {
    self.writeInteger(UInt32(clamping: string.count))
    self.writeBytes(string)
  }
}

extension LinkReader {
  mutating func identity() throws(MeshError) -> SPIFFEID {
    guard let identity = SPIFFEID(try self.text()) else { throw self.malformed("identity") }
    return identity
  }

  mutating func identityMaterial() throws(MeshError) -> IdentityMaterial {
    let identity = try self.identity()
    let expires: Int64 = try self.integer()
    let chain = try self.byteStrings(atMost: IdentityMaterial.longestChain)
    guard !chain.isEmpty else { throw self.malformed("no certificate") }
    return IdentityMaterial(identity: identity, chain: chain, key: try self.byteString(), expires: expires)
  }

  mutating func trustMaterial() throws(MeshError) -> TrustMaterial {
    TrustMaterial(
      trustDomain: try self.text(), roots: try self.byteStrings(atMost: TrustMaterial.mostRoots),
      revoked: try self.byteStrings(atMost: Int(UInt16.max)))
  }

  private mutating func byteStrings(atMost most: Int) throws(MeshError) -> [[UInt8]] {
    let count: UInt16 = try self.integer()
    guard Int(count) <= most else { throw self.malformed("\(count) certificates, more than \(most)") }
    var strings: [[UInt8]] = []
    for _ in 0..<count { strings.append(try self.byteString()) }
    return strings
  }

  private mutating func byteString() throws(MeshError) -> [UInt8] {
    let length: UInt32 = try self.integer()
    return try self.bytes(Int(length))
  }
}
