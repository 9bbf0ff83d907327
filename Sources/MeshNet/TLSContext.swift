import CMeshTLS
package import MeshBase

/// What one workload proves its identity with, and whom it believes. DER throughout.
package struct TLSMaterial: Sendable, CustomStringConvertible, CustomReflectable {
  /// The leaf first, then those above it, without a root.
  package var chain: [[UInt8]]
  /// PKCS #8. Nobody logs it.
  package var key: [UInt8]
  package var roots: [[UInt8]]

  package init(chain: [[UInt8]], key: [UInt8], roots: [[UInt8]]) {
    self.chain = chain
    self.key = key
    self.roots = roots
  }

  package var description: String { "\(self.chain.count) certificates, a key (not shown), \(self.roots.count) roots" }
  package var customMirror: Mirror { Mirror(self, children: []) }
}

/// What handshakes of one side and identity have in common; costly to make, shared by all loops. TLS 1.3 only, both sides show a
/// certificate, ALPN `h2`, no tickets and so no resumption: a session cannot outlive what it was judged by.
///
/// Ciphers are BoringSSL's own order: AES-128-GCM first where the processor has AES.
package final class TLSContext: @unchecked Sendable {
  package enum Side: Sendable { case server, client }

  package let side: Side
  /// Immutable once made, and counted by references of its own (SSL_CTX).
  let handle: OpaquePointer

  /// Throws `invalid`: what of the material is wrong. `object` is whose it is.
  package init(_ side: Side, _ material: TLSMaterial, object: String) throws(MeshError) {
    var fault = MESH_TLS_MATERIAL_GOOD
    let handle = Self.withBytes(material.chain) { chain in
      Self.withBytes(material.roots) { roots in
        material.key.withUnsafeBufferPointer { key in
          var all = mesh_tls_material(
            chain: chain.baseAddress, chain_count: chain.count,
            key: mesh_tls_bytes(bytes: key.baseAddress, size: key.count), roots: roots.baseAddress,
            roots_count: roots.count)
          return mesh_tls_context_new(&all, side == .server ? 1 : 0, &fault)
        }
      }
    }
    guard let handle else { throw Self.error(fault, object) }
    self.side = side
    self.handle = handle
  }

  deinit { mesh_tls_context_free(self.handle) }

  private static func error(_ fault: mesh_tls_material_fault, _ object: String) -> MeshError {
    let next = "the agent asks for a new certificate at its next start"
    switch fault {
    case MESH_TLS_BAD_CERTIFICATE:
      return MeshError(.invalid, object, "has a certificate chain that cannot be read", next: next)
    case MESH_TLS_BAD_KEY: return MeshError(.invalid, object, "has no private key in PKCS #8", next: next)
    case MESH_TLS_KEY_OF_ANOTHER:
      return MeshError(.invalid, object, "has a private key that is not its certificate's", next: next)
    case MESH_TLS_BAD_ROOT: return MeshError(.invalid, object, "has no root certificate that can be read", next: next)
    default: return MeshError(.unavailable, object, "no memory is left for TLS")
    }
  }

  /// The pieces side by side, so that all can be pointed at.
  private static func withBytes<Result>(
    _ pieces: [[UInt8]], _ body: (UnsafeBufferPointer<mesh_tls_bytes>) -> Result
  ) -> Result {
    let all = Array(pieces.joined())
    return all.withUnsafeBufferPointer { bytes in
      var at = 0
      let places = pieces.map { piece in
        defer { at += piece.count }
        return mesh_tls_bytes(bytes: bytes.baseAddress.map { $0 + at }, size: piece.count)
      }
      return places.withUnsafeBufferPointer(body)
    }
  }
}
