import CMeshRelay
import Glibc
package import Logging
package import MeshBase
package import MeshDNS

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

  private let thread: LoopThread<NameLoop>

  private init(_ thread: LoopThread<NameLoop>) { self.thread = thread }

  deinit { self.thread.stop() }

  /// Runs until `stop`.
  package static func start(
    limits: ResolverLimits = ResolverLimits(), supply: Supply, logger: Logger
  ) throws(MeshError) -> NameServer {
    do throws(LoopThreadError) {
      let thread = try LoopThread<NameLoop>.open()
      try thread.start(name: "names") { NameLoop(thread: $0, limits: limits, supply: supply, logger: logger) }
      return NameServer(thread)
    } catch {
      throw MeshError(
        .unavailable, "name server", "cannot start", cause: String(cString: strerror(error.number)),
        next: "raise the limits of descriptors and threads")
    }
  }

  /// The names from now on. Nothing is answered before the first zone is there: questions wait in their sockets.
  package func use(_ zone: MeshZone) { self.thread.post { $0.use(zone) } }

  /// Who is asked on behalf of a namespace, in this order.
  package func use(_ upstreams: [SocketEndpoint], for namespace: UInt64) {
    self.thread.post { $0.use(upstreams, for: namespace) }
  }

  /// Answers on a bound UDP socket or a listening TCP socket, which is the server's from here on. It takes the place of an
  /// earlier one of the same kind and place, unless it is the same socket.
  package func listen(_ descriptor: CInt, _ transport: DNSTransport, at place: Place) throws(MeshError) {
    let isFit = transport == .udp ? cmesh_is_datagram(descriptor) : cmesh_relay_is_listener(descriptor)
    guard isFit != 0, cmesh_set_nonblocking(descriptor) == 0 else {
      close(descriptor)
      throw MeshError(.invalid, "name listener", "the descriptor is no socket of its kind")
    }
    if !self.thread.post({ $0.listen(descriptor, transport, at: place) }) { close(descriptor) }
  }

  /// Fresh UDP sockets, the server's from here on.
  package func deposit(_ sockets: [CInt], at place: Place) {
    let isTaken = self.thread.post { $0.deposit(sockets, at: place) }
    if !isTaken { for socket in sockets { close(socket) } }
  }

  /// A new supplier of the namespace: what the old one gave is closed, and asked for anew.
  package func renewSupply(namespace: UInt64) { self.thread.post { $0.renewSupply(namespace: namespace) } }

  /// The namespace is gone: so is everything that was opened in it.
  package func withdraw(namespace: UInt64) { self.thread.post { $0.withdraw(namespace: namespace) } }

  /// Every other namespace is gone.
  package func retain(namespaces: [UInt64]) { self.thread.post { $0.retain(Set(namespaces)) } }

  /// Takes no more questions; those that wait for upstreams are still answered.
  package func drain() { self.thread.post { $0.drain() } }

  /// Questions that wait for upstreams.
  package func waiting() async -> Int {
    await withCheckedContinuation { answer in
      if !self.thread.post({ answer.resume(returning: $0.machine.waiting) }) { answer.resume(returning: 0) }
    }
  }

  package func counters() async -> ResolverCounters {
    await withCheckedContinuation { answer in
      if !self.thread.post({ answer.resume(returning: $0.machine.counters) }) {
        answer.resume(returning: ResolverCounters())
      }
    }
  }

  /// Closes everything. Listeners live on with their other holders.
  package func stop() async {
    await withCheckedContinuation { done in self.thread.stop { done.resume() } }
  }
}
