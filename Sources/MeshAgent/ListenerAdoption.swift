import MeshBase
import MeshLinux

/// After the agent's own restart its listeners live on in the proxy that runs on. New ones cannot be opened while the old
/// are there, and must not: connections wait in them. So they are copied back out of the proxy (pidfd_getfd(2)).
enum ListenerAdoption {
  struct Key: Hashable, Sendable {
    var cookie: UInt64
    var isV4: Bool
  }

  /// The relay listeners that the process holds, by namespace and family.
  static func listeners(in process: ProcessHandle) -> [Key: RelayListener] {
    var found: [Key: RelayListener] = [:]
    process.copyListeners(port: MeshPort.outbound) { descriptor, isV4, cookie in
      found[Key(cookie: cookie, isV4: isV4)] = RelayListener(descriptor, isV4: isV4)
    }
    return found
  }
}
