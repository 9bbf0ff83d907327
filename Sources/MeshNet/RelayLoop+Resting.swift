import CMeshRelay

/// A connection needs a socket that the agent makes. While no agent is there and few are left, who calls waits in the listener:
/// whoever accepts there next, this proxy with the next agent or the proxy that takes its place, serves it. Accepted, it could
/// only be reset when its time to connect is over.
extension RelayLoop {
  /// How often is looked whether there is an agent again.
  private static let restInterval: UInt64 = 20

  func lacksSockets(_ listener: RelayListener) -> Bool {
    guard let stock = self.stock, let shelf = listener.lastShelf else { return false }
    return stock.isShort(shelf, now: self.now)
  }

  func rest(_ listener: RelayListener) {
    if self.resting.isEmpty { self.nextRestLook = self.now + Self.restInterval }
    guard self.resting.insert(listener.number).inserted else { return }
    _ = cmesh_poll_remove(self.thread.poll, listener.descriptor)
  }

  func lookAtResting() {
    self.nextRestLook = self.now + Self.restInterval
    for number in self.resting {
      guard let listener = self.listeners[number], !self.lacksSockets(listener) else { continue }
      self.resting.remove(number)
      if self.pausedUntil == nil { self.watch(listener) }
    }
  }
}
