import MeshBase
import MeshLinux

/// After the agent's own restart its listeners live on: in systemd's descriptor store, and in the proxy that runs on (copied
/// back by pidfd_getfd(2)). New ones cannot be opened while the old are there, and must not: connections wait in them.
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

  /// Those that systemd kept for us, and what it keeps that is none of them: names to be removed. A descriptor counts as what
  /// it is, and only under its own name, so that it can be removed by it.
  static func stored() -> (listeners: [Key: RelayListener], strange: Set<String>) {
    var found: [Key: RelayListener] = [:]
    var strange: Set<String> = []
    StoredDescriptors.take { descriptor, name in
      guard let facts = descriptor.listener(port: MeshPort.outbound) else {
        strange.insert(name)
        return
      }
      let key = Key(cookie: facts.cookie, isV4: facts.isV4)
      guard ListenerStore.name(of: key) == name else {
        strange.insert(name)
        return
      }
      found[key] = RelayListener(descriptor, isV4: facts.isV4)
    }
    return (found, strange)
  }
}
