import Glibc
import Logging
import MeshBase
import MeshLink
import MeshNet
import Synchronization

/// The listeners that the agent handed over, by namespace and family. May be called from any thread.
final class ProxyListeners: Sendable {
  private struct Place: Hashable {
    var namespaceCookie: UInt64
    var isV4: Bool
    var isTunnel: Bool
  }

  private struct Entry {
    var workload: UInt32
    /// Of the socket: tells a listener that is handed over again from a new one.
    var inode: UInt64
    var listener: RelayListener
  }

  private struct State {
    var entries: [Place: Entry] = [:]
    var isDraining = false
  }

  private let state = Mutex(State())
  private let relay: Relay
  private let flow: @Sendable (UInt64) -> Relay.Listener
  private let tunnels: ProxyTunnels?

  /// - flow: how the flow of a connection is found, by the cookie of its listener's namespace.
  /// - tunnels: who decides on those of other nodes; nil: there are none.
  init(
    relay: Relay, flow: @escaping @Sendable (UInt64) -> Relay.Listener = { .kernel(namespaceCookie: $0) },
    tunnels: ProxyTunnels? = nil
  ) {
    self.tunnels = tunnels
    self.relay = relay
    self.flow = flow
  }

  var count: Int { self.state.withLock { $0.entries.count } }

  /// Accepts on `descriptor`, which is this call's. A socket that is accepted on already is only noted again, under the
  /// number that its workload has now.
  func adopt(_ descriptor: CInt, _ key: ListenerKey) throws(MeshError) {
    self.tunnels?.place(key)
    let place = Place(namespaceCookie: key.namespaceCookie, isV4: key.isV4, isTunnel: key.isTunnel)
    guard let inode = Self.inode(of: descriptor) else {
      close(descriptor)
      throw MeshError(.invalid, "listener of workload \(key.workload)", "is no socket")
    }
    let (isDone, known) = self.state.withLock { state -> (Bool, RelayListener?) in
      if state.isDraining { return (true, nil) }
      guard let old = state.entries[place], old.inode == inode, old.listener.isActive else { return (false, nil) }
      state.entries[place]?.workload = key.workload
      return (true, old.listener)
    }
    if isDone {
      known?.poke()
      close(descriptor)
      return
    }
    let listener = try self.relay.listen(descriptor, try self.kind(of: key, descriptor))
    let (old, isDraining) = self.state.withLock { state -> (RelayListener?, Bool) in
      if state.isDraining { return (nil, true) }
      let old = state.entries.updateValue(
        Entry(workload: key.workload, inode: inode, listener: listener), forKey: place)
      return (old?.listener, false)
    }
    old?.close()
    if isDraining { listener.close() }
  }

  private func kind(of key: ListenerKey, _ descriptor: CInt) throws(MeshError) -> Relay.Listener {
    guard key.isTunnel else { return self.flow(key.namespaceCookie) }
    guard let tunnels = self.tunnels else {
      close(descriptor)
      throw MeshError(.unsupported, "listener of workload \(key.workload)", "is for tunnels, and this proxy has none")
    }
    return Relay.Listener(entrance: tunnels.entrance(key))
  }

  /// The workload is gone: its listeners and connections close.
  func withdraw(workload: UInt32) {
    let gone = self.state.withLock { state in
      let gone = state.entries.filter { $0.value.workload == workload }
      for place in gone.keys { state.entries[place] = nil }
      return gone.map { ($0.key.namespaceCookie, $0.value.listener) }
    }
    self.relay.withdraw(workload: workload)
    self.end(gone)
  }

  /// Every other namespace is gone.
  func retain(namespaceCookies: [UInt64]) {
    let kept = Set(namespaceCookies)
    let (gone, isDraining) = self.state.withLock { state in
      let gone = state.entries.filter { !kept.contains($0.key.namespaceCookie) }
      for place in gone.keys { state.entries[place] = nil }
      return (gone.map { ($0.key.namespaceCookie, $0.value.listener) }, state.isDraining)
    }
    self.end(gone)
    self.relay.retainStock(namespaceCookies: kept)
    // Without listeners it is the connections that tell where this proxy still is.
    if isDraining { self.relay.retain(namespaceCookies: kept) }
  }

  /// Accepts no more, for good: connections that wait in a listener are left to its other holders.
  func drain() {
    let listeners = self.state.withLock { state in
      state.isDraining = true
      defer { state.entries = [:] }
      return state.entries.values.map(\.listener)
    }
    for listener in listeners { listener.close() }
  }

  private func end(_ gone: [(UInt64, RelayListener)]) {
    for (cookie, listener) in gone {
      listener.withdraw()
      self.relay.withdraw(namespaceCookie: cookie)
    }
  }

  private static func inode(of descriptor: CInt) -> UInt64? {
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else { return nil }
    return UInt64(status.st_ino)
  }
}
