import Crypto
package import MeshBase
package import X509

/// A private key, ECDSA over P-256. Says nothing of itself.
package struct IdentityKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  let key: P256.Signing.PrivateKey

  /// A new one.
  package init() { self.key = P256.Signing.PrivateKey() }

  /// PKCS #8 or SEC 1, as written by `pem` or OpenSSL. Throws `invalid`, naming `object` and nothing of the text.
  package init(pem: String, object: String) throws(MeshError) {
    guard let key = try? P256.Signing.PrivateKey(pemRepresentation: pem) else {
      throw MeshError(
        .invalid, object, "is not a private key of ECDSA over P-256 in PEM",
        next: "make one with `openssl ecparam -name prime256v1 -genkey -noout`")
    }
    self.key = key
  }

  /// PKCS #8. Whoever writes it somewhere makes the file 0600.
  package var pem: String { self.key.pemRepresentation }

  /// PKCS #8, DER: for the TLS library, and for the proxy that speaks for the workload.
  package var der: [UInt8] { Array(self.key.derRepresentation) }

  package var publicKey: Certificate.PublicKey { Certificate.PublicKey(self.key.publicKey) }

  var signing: Certificate.PrivateKey { Certificate.PrivateKey(self.key) }

  package var description: String { "private key (not shown)" }
  package var debugDescription: String { self.description }
  package var customMirror: Mirror { Mirror(self, children: []) }
}
