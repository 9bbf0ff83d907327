import Glibc
import MeshBase
import Synchronization

/// The upstream sockets of all workloads, shared by the loops: one short lock for each dial and delivery, none for bytes.
package final class StockRoom: Sendable {
  package struct Shelf: Hashable, Sendable {
    package var workload: UInt32
    package var isV4: Bool

    package init(workload: UInt32, isV4: Bool) {
      self.workload = workload
      self.isV4 = isV4
    }
  }

  private let shelves = Mutex<[Shelf: UpstreamStock]>([:])
  /// Asks the agent for `count` more. Called without the lock, on any thread.
  private let order: @Sendable (Shelf, Int) -> Void

  package init(order: @escaping @Sendable (Shelf, Int) -> Void) {
    self.order = order
  }

  /// Asks for a first stock, so that the first connection need not wait.
  package func prepare(_ shelf: Shelf) {
    let wanted = self.shelves.withLock { $0[shelf, default: UpstreamStock()].order() }
    if wanted > 0 { self.order(shelf, wanted) }
  }

  package func take(_ shelf: Shelf, for waiter: UpstreamStock.Waiter) -> UpstreamStock.Take {
    let (take, wanted) = self.shelves.withLock { shelves in
      let take = shelves[shelf, default: UpstreamStock()].take(waiter)
      return (take, shelves[shelf]?.order() ?? 0)
    }
    if wanted > 0 { self.order(shelf, wanted) }
    return take
  }

  /// A socket for who cannot wait; the caller's. Nil: there is none now.
  package func takeIfThere(_ shelf: Shelf) -> CInt? {
    let (socket, wanted) = self.shelves.withLock { shelves in
      let socket = shelves[shelf, default: UpstreamStock()].takeIfThere()
      return (socket, shelves[shelf]?.order() ?? 0)
    }
    if wanted > 0 { self.order(shelf, wanted) }
    return socket
  }

  /// The sockets are the room's from here on; those in the result are the waiters'. What comes for a workload that was
  /// withdrawn after the order is closed: each socket keeps a network namespace alive.
  package func deposit(_ sockets: [CInt], on shelf: Shelf) -> [UpstreamStock.Delivery] {
    let deliveries = self.shelves.withLock { $0[shelf]?.deposit(sockets) }
    if deliveries == nil {
      for socket in sockets { close(socket) }
    }
    return deliveries ?? []
  }

  package func cancel(_ waiter: UpstreamStock.Waiter, at shelf: Shelf) {
    self.shelves.withLock { $0[shelf]?.cancel(waiter) }
  }

  /// Once a second: asks again where an answer stayed away.
  package func tick() {
    let wanted = self.shelves.withLock { shelves in
      shelves.keys.map { shelf -> (Shelf, Int) in
        shelves[shelf]?.tick()
        return (shelf, shelves[shelf]?.order() ?? 0)
      }
    }
    for (shelf, count) in wanted where count > 0 { self.order(shelf, count) }
  }

  /// A new agent: what the old one gave is closed; those who wait are asked for again.
  package func reset() {
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
    for (shelf, count) in wanted where count > 0 { self.order(shelf, count) }
  }

  /// The workload is gone. Its waiting connections are closed by their loops.
  package func withdraw(workload: UInt32) {
    let sockets = self.shelves.withLock { shelves in
      var sockets: [CInt] = []
      for isV4 in [true, false] {
        let shelf = Shelf(workload: workload, isV4: isV4)
        sockets += shelves[shelf]?.reset() ?? []
        shelves[shelf] = nil
      }
      return sockets
    }
    for socket in sockets { close(socket) }
  }

  /// Sockets in stock, of all workloads.
  package var count: Int { self.shelves.withLock { $0.values.reduce(0) { $0 + $1.sockets.count } } }
}
