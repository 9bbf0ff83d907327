import SwiftASN1

/// `SEQUENCE { what is signed, algorithm, signature BIT STRING }`, as certificates and requests are (RFC 5280 section 4.1, RFC 2986).
enum SignedDER {
  /// Not too large, and its signature has whole bytes. swift-certificates 1.21 passes over the number of unused bits, which nobody
  /// signed: one certificate would have several encodings.
  static func isExact(_ der: [UInt8]) -> Bool {
    guard der.count <= MeshIdentity.largestCertificate else { return false }
    let padding = try? DER.sequence(try DER.parse(der), identifier: .sequence) { nodes in
      var last: ASN1Node?
      while let node = nodes.next() { last = node }
      return try last.map { try ASN1BitString(derEncoded: $0).paddingBits }
    }
    return padding == 0
  }
}
