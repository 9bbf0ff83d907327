import MeshBase
import MeshLinux

/// What the agent tells systemd.
extension Agent {
  /// Serves until it is cancelled, and says twice in the watchdog's time that the agent still takes changes: the answer goes
  /// through the actor, so an agent that only exists is not enough.
  nonisolated func sayAlive() async {
    guard let interval = self.service.watchdogInterval else { return }
    while !Task.isCancelled {
      await self.isAlive()
      self.service.send(.watchdog)
      try? await Task.sleep(for: interval)
    }
  }

  private func isAlive() {}

  /// systemd keeps what is enrolled, and nothing else.
  func followStore() {
    guard self.service.notifySocket != nil else { return }
    var listeners: [ListenerAdoption.Key: CInt] = [:]
    for workload in self.enrolled.values {
      for listener in workload.listeners {
        listeners[listener.key(in: workload.namespace.cookie)] =
          listener.descriptor.rawValue
      }
      for socket in self.naming.sockets[.workload(workload.name)] ?? [] {
        listeners[socket.key(cookie: workload.namespace.cookie)] = socket.descriptor.rawValue
      }
    }
    for socket in self.naming.sockets[.host] ?? [] {
      listeners[socket.key(cookie: self.host.cookie)] = socket.descriptor.rawValue
    }
    for listener in self.hostListeners {
      listeners[listener.key(in: self.host.cookie)] = listener.descriptor.rawValue
    }
    let actions = self.store.actions(wanted: Set(listeners.keys), isComplete: self.isComplete && self.foreignersAreGone)
    for action in actions {
      let isSaid: Bool
      switch action {
      case .store(let key):
        guard let listener = listeners[key], let notice = ServiceNotice.store(name: ListenerStore.name(of: key)) else {
          continue
        }
        isSaid = self.service.send(notice, descriptors: [listener])
      case .remove(let name):
        // systemd's own name for what has none.
        isSaid = ServiceNotice.remove(name: name).map { self.service.send($0) } ?? true
      }
      // Whoever does not listen now is asked again with the next change.
      guard isSaid else { break }
      self.store.done(action)
    }
    if !actions.isEmpty {
      self.service.send(.status("\(self.enrolled.count) workloads enrolled"))
    }
  }
}
