package import MeshBase
package import MeshCompiler

/// Service addresses on disk, so that a restart gives every service the one that it had.
package struct VIPStateFile: Sendable {
  private static let limit = 64 << 20

  package let path: String

  package init(path: String) { self.path = path }

  /// A new allocator if there is no file yet.
  package func load() throws(MeshError) -> VIPAllocator {
    guard let bytes = try StateFile(path: self.path).read(limit: Self.limit) else { return VIPAllocator() }
    do throws(MeshError) {
      return try VIPAllocator(importing: String(decoding: bytes, as: UTF8.self))
    } catch {
      throw MeshError(
        .invalid, self.path, "the state of service addresses is damaged", cause: error.message, next: error.next)
    }
  }

  package func save(_ vips: VIPAllocator) throws(MeshError) {
    try StateFile(path: self.path).write(Array(vips.exported().utf8))
  }
}
