import CMeshRelay
import Glibc
package import Logging
package import MeshBase
package import MeshRouting
package import MeshTelemetry
import Synchronization

/// The loops, the listeners, and what is said to all of them. Its methods may be called from any thread.
package final class Relay: Sendable {
  /// Where accepted sockets come from, and how their flow is found.
  package struct Listener: Sendable {
    package var flow: @Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>
    /// Other nodes dial it: nothing is asked of the kernel.
    package var entrance: TunnelEntrance?

    package init(flow: @escaping @Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>) {
      self.flow = flow
    }

    /// For tunnels of other nodes.
    package init(entrance: TunnelEntrance) {
      self.flow = { _ in .failure(.noFlow) }
      self.entrance = entrance
    }

    /// The kernel's flow, of connections from this namespace only.
    package static func kernel(namespaceCookie: UInt64) -> Listener {
      Listener { descriptor in
        AcceptedFlow.ofAccepted(descriptor).flatMap { flow in
          flow.namespaceCookie == namespaceCookie ? .success(flow) : .failure(.wrongNamespace)
        }
      }
    }
  }

  private let threads: [RelayThread]
  private let stock: StockRoom?
  private let lastListener = Atomic<UInt64>(0)

  /// - loops: threads that carry connections.
  /// - stock: nil: upstream sockets are the process's own.
  /// - idleTimeout: relays without a byte for so long (give or take a sweep) are closed; nil: never.
  /// - sweepInterval: how often quiet relays are looked for, in milliseconds.
  /// - http: nil: ports that speak HTTP are relayed like all others.
  /// - accessLog: of their requests.
  /// - certificates: what tunnels to and from other nodes are proven with; nil: there are none.
  /// - strain: what the loops do no more, because memory runs out.
  package init(
    loops: Int, stock: StockRoom?, idleTimeout: Duration? = nil, sweepInterval: UInt64 = 10_000,
    http: HTTPConfiguration? = nil, accessLog: AccessLog? = nil, certificates: CertificateShelf? = nil,
    strain: SharedStrain = SharedStrain(), logger: Logger
  ) throws(MeshError) {
    self.stock = stock
    let threads = (0..<max(1, loops)).compactMap { try? RelayThread.open(number: $0) }
    self.threads = threads
    for thread in threads {
      let started: Void? = try? thread.start(name: "relay-\(thread.number)") {
        RelayLoop(
          thread: $0, peers: threads, stock: stock, idleTimeout: idleTimeout, sweepInterval: sweepInterval,
          http: http, accessLog: accessLog, certificates: certificates, strain: strain, logger: logger)
      }
      guard started != nil, threads.count == max(1, loops) else {
        throw MeshError(
          .unavailable, "relay", "cannot start \(loops) loops", next: "raise the limits of descriptors and threads")
      }
    }
    if threads.isEmpty {
      throw MeshError(.unavailable, "relay", "no descriptor is left", next: "raise the limit of descriptors")
    }
  }

  deinit { for thread in self.threads { thread.stop() } }

  /// Ends all loops, their connections with RST.
  package func stop() async {
    for thread in self.threads {
      await withCheckedContinuation { done in thread.stop { done.resume() } }
    }
  }

  /// The table for connections accepted from now on, on every loop. `whenUsed` is called when all loops have it.
  package func use(_ table: RoutingTable, whenUsed: @escaping @Sendable () -> Void) {
    let left = Countdown(self.threads.count)
    for thread in self.threads {
      let isTaken = thread.post { loop in
        loop.table = table
        if left.isLast() { whenUsed() }
      }
      if !isTaken, left.isLast() { whenUsed() }
    }
  }

  package func use(_ table: RoutingTable) async {
    await withCheckedContinuation { done in self.use(table) { done.resume() } }
  }

  /// What holds for requests from now on, on every loop. `whenUsed` is called when no loop writes to another log any more.
  package func use(
    _ http: HTTPConfiguration, accessLog: AccessLog?, whenUsed: @escaping @Sendable () -> Void = {}
  ) {
    let left = Countdown(self.threads.count)
    for thread in self.threads {
      let isTaken = thread.post { loop in
        loop.use(http, accessLog)
        if left.isLast() { whenUsed() }
      }
      if !isTaken, left.isLast() { whenUsed() }
    }
  }

  /// Accepts on a listening socket, which is the relay's from here on.
  package func listen(_ descriptor: CInt, _ listener: Listener) throws(MeshError) -> RelayListener {
    guard cmesh_relay_is_listener(descriptor) != 0, cmesh_set_nonblocking(descriptor) == 0 else {
      close(descriptor)
      throw MeshError(.invalid, "listener", "the descriptor is no listening socket")
    }
    cmesh_relay_tune(descriptor)
    let result = RelayListener(
      descriptor: descriptor, number: self.lastListener.add(1, ordering: .relaxed).newValue, threads: self.threads,
      flow: listener.flow, entrance: listener.entrance)
    for thread in self.threads { thread.post { $0.listen(result) } }
    return result
  }

  /// Fresh upstream sockets, the relay's from here on.
  package func deposit(_ sockets: [CInt], on shelf: StockRoom.Shelf, namespaceCookie: UInt64 = 0) {
    guard let stock = self.stock else {
      for socket in sockets { close(socket) }
      return
    }
    // Now, and not when a connection has to wait for it.
    for socket in sockets { cmesh_relay_tune(socket) }
    for delivery in stock.deposit(sockets, on: shelf, namespaceCookie: namespaceCookie) {
      let isTaken = self.threads[delivery.waiter.loop].post { loop in
        if !loop.deliver(delivery.socket, to: delivery.waiter.connection) {
          self.deposit([delivery.socket], on: shelf, namespaceCookie: namespaceCookie)
        }
      }
      if !isTaken { close(delivery.socket) }
    }
  }

  /// Who a source workload is. Holds for connections of listeners that are listened on after it.
  package func name(workload: UInt32, _ name: ResourceName) {
    for thread in self.threads { thread.post { $0.name(workload, name) } }
  }

  /// Ends the connections of a source workload, with GOAWAY or RST, and its stock.
  package func withdraw(workload: UInt32) {
    self.stock?.withdraw(workload: workload)
    for thread in self.threads {
      thread.post { loop in
        loop.withdrawAll { $0.sourceWorkload == workload }
        loop.forget(workload)
      }
    }
  }

  /// Ends the connections from and into a namespace, with GOAWAY or RST, and what is in stock to dial into it.
  package func withdraw(namespaceCookie: UInt64) {
    self.stock?.withdraw { $0 == namespaceCookie }
    for thread in self.threads { thread.post { $0.withdrawAll { $0.namespaces.contains(namespaceCookie) } } }
  }

  /// Closes what is in stock to dial into every other namespace.
  package func retainStock(namespaceCookies kept: Set<UInt64>) {
    self.stock?.withdraw { !kept.contains($0) }
  }

  /// Ends the connections from and into every other namespace, with GOAWAY or RST.
  package func retain(namespaceCookies kept: Set<UInt64>) {
    for thread in self.threads { thread.post { $0.withdrawAll { !kept.isSuperset(of: $0.namespaces) } } }
  }

  /// Ends the connections that came through tunnels and for which it holds, with RST.
  package func abortTunnelled(where condition: @escaping @Sendable (AcceptedFlow) -> Bool) {
    for thread in self.threads {
      thread.post { loop in
        loop.abortAll { member in
          guard let connection = member as? RelayConnection, connection.flow.peer != nil else { return false }
          guard condition(connection.flow) else { return false }
          loop.count("policy_changed")
          return true
        }
      }
    }
  }

  /// Of every connection the message that is under way is the last, where there are messages.
  package func drain() {
    for thread in self.threads {
      thread.post { loop in for member in Array(loop.connections.values) { member.drain() } }
    }
  }

  /// Memory runs out, as `strain` says: what can go goes.
  package func relieve() {
    for thread in self.threads { thread.post { $0.relieve() } }
  }

  /// Free pages of the heap are the kernel's again. Takes a moment in which nothing is allocated.
  package static func giveBackMemory() { cmesh_relay_give_back() }

  /// Closes every connection with RST.
  package func abortAll() {
    for thread in self.threads { thread.post { $0.abortAll { _ in true } } }
  }

  // MARK: whether the loops turn

  package var loopCount: Int { self.threads.count }

  /// How often each loop began to work or to wait: odd while it works.
  package var turns: [UInt64] { self.threads.map { $0.turns.load(ordering: .relaxed) } }

  /// Milliseconds of the steady clock that the loops go by.
  package static func clock() -> UInt64 { RelayLoop.clock() }

  /// The loop's thread writes to standard error where it is. Nothing happens if there is no such loop.
  package func traceLoop(_ number: Int) {
    if self.threads.indices.contains(number) { self.threads[number].trace() }
  }

  /// The sum over all loops.
  package func counters() async -> RelayCounters {
    var sum = RelayCounters()
    for thread in self.threads {
      sum =
        sum
        + (await withCheckedContinuation { answer in
          if !thread.post({ answer.resume(returning: $0.counters) }) { answer.resume(returning: RelayCounters()) }
        })
    }
    return sum
  }

  /// What each workload cost since this was asked last, on all loops.
  package func takeCosts() async -> [WorkloadCost] {
    var costs: [UInt32: WorkloadCost] = [:]
    for thread in self.threads {
      let taken = await withCheckedContinuation { answer in
        if !thread.post({ answer.resume(returning: $0.takeCosts()) }) { answer.resume(returning: []) }
      }
      for cost in taken { costs[cost.workload] = costs[cost.workload].map { $0 + cost } ?? cost }
    }
    return costs.values.sorted { $0.workload < $1.workload }
  }

  /// The requests of all loops since this was asked last.
  package func takeRequests() async -> [RequestCount] {
    var counts: [RequestCount] = []
    for thread in self.threads {
      counts += await withCheckedContinuation { answer in
        if !thread.post({ answer.resume(returning: $0.requests.take()) }) { answer.resume(returning: []) }
      }
    }
    return counts
  }
}

private final class Countdown: Sendable {
  private let left: Atomic<Int>

  init(_ count: Int) { self.left = Atomic(count) }

  func isLast() -> Bool { self.left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
}
