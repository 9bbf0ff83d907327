import CMeshRelay
import Glibc
package import Logging
package import MeshBase
package import MeshDNS
import Synchronization

/// Answers names: a thread of its own that drives a `ResolverMachine` with the sockets of all namespaces. Its methods may be
/// called from any thread.
package final class NameServer: Sendable {
  /// Sockets of one namespace and family.
  package struct Place: Hashable, Sendable {
    package var namespace: UInt64
    package var isV4: Bool

    package init(namespace: UInt64, isV4: Bool) {
      self.namespace = namespace
      self.isV4 = isV4
    }
  }

  /// Where sockets to ask upstreams with come from.
  package struct Supply: Sendable {
    /// Asks for so many unconnected UDP sockets; they come by `deposit`. They serve again and again.
    package var orderDatagrams: @Sendable (Place, Int) -> Void
    /// An unconnected, non-blocking TCP socket, the server's. Nil: there is none now.
    package var stream: @Sendable (Place) -> CInt?

    package init(
      orderDatagrams: @escaping @Sendable (Place, Int) -> Void, stream: @escaping @Sendable (Place) -> CInt?
    ) {
      self.orderDatagrams = orderDatagrams
      self.stream = stream
    }
  }

  typealias Work = @Sendable (NameLoop) -> Void

  private struct Mailbox {
    var work: [Work] = []
    /// The loop will look into the mailbox without another wake-up.
    var isAwake = false
    var isClosed = false
    var whenEnded: [@Sendable () -> Void] = []
  }

  private let mailbox = Mutex(Mailbox())
  let poll: CInt
  private let wake: CInt

  private init(poll: CInt, wake: CInt) {
    self.poll = poll
    self.wake = wake
  }

  deinit {
    close(self.wake)
    close(self.poll)
  }

  /// Runs until `stop`.
  package static func start(
    limits: ResolverLimits = ResolverLimits(), supply: Supply, logger: Logger
  ) throws(MeshError) -> NameServer {
    var poll: CInt = -1
    var wake: CInt = -1
    let error = cmesh_poll_open(&poll, &wake)
    guard error == 0 else {
      throw MeshError(
        .unavailable, "name server", "cannot start", cause: String(cString: strerror(-error)),
        next: "raise the limit of descriptors")
    }
    let server = NameServer(poll: poll, wake: wake)
    let failure = LoopThread.start {
      cmesh_relay_thread("names")
      let loop = NameLoop(server: server, limits: limits, supply: supply, logger: logger)
      loop.run()
      server.ended(loop)
    }
    guard failure == 0 else {
      throw MeshError(
        .unavailable, "name server", "cannot start a thread", cause: String(cString: strerror(failure)))
    }
    return server
  }

  /// The names from now on. Nothing is answered before the first zone is there: questions wait in their sockets.
  package func use(_ zone: MeshZone) { self.post { $0.use(zone) } }

  /// Who is asked on behalf of a namespace, in this order.
  package func use(_ upstreams: [SocketEndpoint], for namespace: UInt64) {
    self.post { $0.use(upstreams, for: namespace) }
  }

  /// Answers on a bound UDP socket or a listening TCP socket, which is the server's from here on. It takes the place of an
  /// earlier one of the same kind and place, unless it is the same socket.
  package func listen(_ descriptor: CInt, _ transport: DNSTransport, at place: Place) throws(MeshError) {
    let isFit = transport == .udp ? cmesh_is_datagram(descriptor) : cmesh_relay_is_listener(descriptor)
    guard isFit != 0, cmesh_set_nonblocking(descriptor) == 0 else {
      close(descriptor)
      throw MeshError(.invalid, "name listener", "the descriptor is no socket of its kind")
    }
    if !self.post({ $0.listen(descriptor, transport, at: place) }) { close(descriptor) }
  }

  /// Fresh UDP sockets, the server's from here on.
  package func deposit(_ sockets: [CInt], at place: Place) {
    let isTaken = self.post { $0.deposit(sockets, at: place) }
    if !isTaken { for socket in sockets { close(socket) } }
  }

  /// A new supplier of the namespace: what the old one gave is closed, and asked for anew.
  package func renewSupply(namespace: UInt64) { self.post { $0.renewSupply(namespace: namespace) } }

  /// The namespace is gone: so is everything that was opened in it.
  package func withdraw(namespace: UInt64) { self.post { $0.withdraw(namespace: namespace) } }

  /// Every other namespace is gone.
  package func retain(namespaces: [UInt64]) { self.post { $0.retain(Set(namespaces)) } }

  /// Takes no more questions; those that wait for upstreams are still answered.
  package func drain() { self.post { $0.drain() } }

  /// Questions that wait for upstreams.
  package func waiting() async -> Int {
    await withCheckedContinuation { answer in
      if !self.post({ answer.resume(returning: $0.machine.waiting) }) { answer.resume(returning: 0) }
    }
  }

  package func counters() async -> ResolverCounters {
    await withCheckedContinuation { answer in
      if !self.post({ answer.resume(returning: $0.machine.counters) }) {
        answer.resume(returning: ResolverCounters())
      }
    }
  }

  /// Closes everything. Listeners live on with their other holders.
  package func stop() async {
    await withCheckedContinuation { done in
      let isEnded = self.mailbox.withLock { box -> Bool in
        if !box.isClosed { box.whenEnded.append { done.resume() } }
        return box.isClosed
      }
      if isEnded { done.resume() } else { self.post { $0.isStopping = true } }
    }
  }

  // MARK: the thread

  /// False: the loop has ended, and the work is dropped.
  @discardableResult
  private func post(_ work: @escaping Work) -> Bool {
    let (isTaken, mustWake) = self.mailbox.withLock { box -> (Bool, Bool) in
      if box.isClosed { return (false, false) }
      box.work.append(work)
      defer { box.isAwake = true }
      return (true, !box.isAwake)
    }
    if mustWake { _ = cmesh_wake(self.wake) }
    return isTaken
  }

  /// On the loop's thread, when the wake-up came.
  func takeWork() -> [Work] {
    _ = cmesh_wake_clear(self.wake)
    return self.mailbox.withLock { box in
      box.isAwake = false
      defer { box.work = [] }
      return box.work
    }
  }

  private func ended(_ loop: NameLoop) {
    let (work, ended) = self.mailbox.withLock { box -> ([Work], [@Sendable () -> Void]) in
      box.isClosed = true
      defer { box.work = [] }
      return (box.work, box.whenEnded)
    }
    for one in work { one(loop) }
    loop.end()
    for one in ended { one() }
  }
}
