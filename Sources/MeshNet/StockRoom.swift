import Glibc
package import MeshBase
import Synchronization

/// The upstream sockets of all workloads, shared by the loops: one short lock for each dial and delivery, none for bytes.
package final class StockRoom: Sendable {
  package struct Shelf: Hashable, Sendable {
    package var workload: UInt32
    package var isV4: Bool
    /// Nil: sockets of the workload's own namespace. Else: of the namespace that has this address, good for nothing else.
    package var destination: IPAddress?

    package init(workload: UInt32, isV4: Bool, destination: IPAddress? = nil) {
      self.workload = workload
      self.isV4 = isV4
      self.destination = destination
    }

    /// Of the workload's own namespace.
    var outbound: Shelf { Shelf(workload: self.workload, isV4: self.isV4) }

    fileprivate var fresh: UpstreamStock {
      UpstreamStock(target: self.destination == nil ? UpstreamStock.firstTarget : UpstreamStock.firstTargetAcross)
    }
  }

  private let shelves = Mutex<[Shelf: UpstreamStock]>([:])
  /// Whose sockets are on the shelves that have a destination.
  private let namespaces = Mutex<[Shelf: UInt64]>([:])
  /// Since when there is no agent that could be asked, in milliseconds of the loops' clock. 0: there is one.
  private let unsuppliedSince = Atomic<UInt64>(0)
  /// How many of a shelf are kept for connections that are accepted already, while there is no agent.
  static let reserve = 8
  /// For so long connections may wait in their listeners for the next agent; then those who call shall hear that there is none.
  static let restMilliseconds: UInt64 = 20_000
  /// Asks the agent for `count` more. Called without the lock, on any thread.
  private let order: @Sendable (Shelf, Int) -> Void

  package init(order: @escaping @Sendable (Shelf, Int) -> Void) {
    self.order = order
  }

  /// Asks for a first stock, so that the first connection need not wait.
  package func prepare(_ shelf: Shelf) {
    let wanted = self.shelves.withLock { $0[shelf, default: shelf.fresh].order() }
    if wanted > 0 { self.order(shelf, wanted) }
  }

  package func take(_ shelf: Shelf, for waiter: UpstreamStock.Waiter) -> UpstreamStock.Take {
    let (take, wanted) = self.shelves.withLock { shelves in
      let take = shelves[shelf, default: shelf.fresh].take(waiter)
      return (take, shelves[shelf]?.order() ?? 0)
    }
    if wanted > 0 { self.order(shelf, wanted) }
    return take
  }

  /// A socket for who cannot wait; the caller's. Nil: there is none now.
  package func takeIfThere(_ shelf: Shelf) -> CInt? {
    let (socket, wanted) = self.shelves.withLock { shelves in
      let socket = shelves[shelf, default: shelf.fresh].takeIfThere()
      return (socket, shelves[shelf]?.order() ?? 0)
    }
    if wanted > 0 { self.order(shelf, wanted) }
    return socket
  }

  /// The sockets are the room's from here on; those in the result are the waiters'. What comes for a workload that was
  /// withdrawn after the order is closed: each socket keeps a network namespace alive.
  package func deposit(
    _ sockets: [CInt], on shelf: Shelf, namespaceCookie: UInt64 = 0
  ) -> [UpstreamStock.Delivery] {
    if shelf.destination != nil {
      let last = self.namespaces.withLock { $0.updateValue(namespaceCookie, forKey: shelf) }
      // The address is another namespace's now.
      if let last, last != namespaceCookie {
        for socket in self.shelves.withLock({ $0[shelf]?.reset() ?? [] }) { close(socket) }
      }
    }
    let deliveries = self.shelves.withLock { $0[shelf]?.deposit(sockets) }
    if deliveries == nil {
      for socket in sockets { close(socket) }
      self.namespaces.withLock { $0[shelf] = nil }
    }
    return deliveries ?? []
  }

  package func cancel(_ waiter: UpstreamStock.Waiter, at shelf: Shelf) {
    self.shelves.withLock { $0[shelf]?.cancel(waiter) }
  }

  /// Once a second: asks again where an answer stayed away.
  package func tick() {
    let wanted = self.shelves.withLock { shelves in
      var wanted: [(Shelf, Int)] = []
      // In place: whoever walks over keys or indices holds the dictionary, and a change copies it.
      var index = shelves.startIndex
      while index != shelves.endIndex {
        shelves.values[index].tick()
        let count = shelves.values[index].order()
        if count > 0 { wanted.append((shelves[index].key, count)) }
        shelves.formIndex(after: &index)
      }
      return wanted
    }
    for (shelf, count) in wanted { self.order(shelf, count) }
  }

  /// No agent is there. Nothing changes if there was none.
  package func supplyEnded(now: UInt64) {
    _ = self.unsuppliedSince.compareExchange(expected: 0, desired: max(1, now), ordering: .relaxed)
  }

  /// No agent is there, and the next one is waited for.
  func isUnsupplied(now: UInt64) -> Bool {
    let since = self.unsuppliedSince.load(ordering: .relaxed)
    return since > 0 && now < since + Self.restMilliseconds
  }

  /// Whether a connection for this shelf had better wait in its listener: what is left is for those that were accepted already, and
  /// who can give more is away.
  func isShort(_ shelf: Shelf, now: UInt64) -> Bool {
    guard self.isUnsupplied(now: now) else { return false }
    return self.shelves.withLock { $0[shelf]?.sockets.count ?? 0 } <= Self.reserve
  }

  /// A new agent: what the old one gave is closed; those who wait are asked for again.
  package func reset() {
    self.unsuppliedSince.store(0, ordering: .relaxed)
    let (sockets, wanted) = self.shelves.withLock { shelves in
      var sockets: [CInt] = []
      var wanted: [(Shelf, Int)] = []
      for shelf in shelves.keys {
        sockets += shelves[shelf]?.reset() ?? []
        if shelves[shelf]?.waiters.isEmpty == false {
          wanted.append((shelf, shelves[shelf]?.order() ?? 0))
        } else {
          shelves[shelf] = nil
        }
      }
      return (sockets, wanted)
    }
    for socket in sockets { close(socket) }
    self.namespaces.withLock { $0 = [:] }
    for (shelf, count) in wanted where count > 0 { self.order(shelf, count) }
  }

  /// The workload is gone. Its waiting connections are closed by their loops.
  package func withdraw(workload: UInt32) {
    let sockets = self.shelves.withLock { shelves in
      var sockets: [CInt] = []
      for shelf in shelves.keys where shelf.workload == workload {
        sockets += shelves[shelf]?.reset() ?? []
        shelves[shelf] = nil
      }
      return sockets
    }
    for socket in sockets { close(socket) }
    self.namespaces.withLock { namespaces in
      for shelf in namespaces.keys where shelf.workload == workload { namespaces[shelf] = nil }
    }
  }

  /// These namespaces are gone: what was to dial into them is closed. Who waits goes on waiting for whoever has the address.
  package func withdraw(namespaces isGone: (UInt64) -> Bool) {
    let gone = self.namespaces.withLock { namespaces in
      let gone = namespaces.filter { isGone($0.value) }.map(\.key)
      for shelf in gone { namespaces[shelf] = nil }
      return gone
    }
    self.clear(gone)
  }

  private func clear(_ gone: [Shelf]) {
    let sockets = self.shelves.withLock { shelves in
      var sockets: [CInt] = []
      for shelf in gone {
        sockets += shelves[shelf]?.reset() ?? []
        if shelves[shelf]?.waiters.isEmpty == true { shelves[shelf] = nil }
      }
      return sockets
    }
    for socket in sockets { close(socket) }
  }

  /// Sockets in stock, of all workloads.
  package var count: Int { self.shelves.withLock { $0.values.reduce(0) { $0 + $1.sockets.count } } }
}
