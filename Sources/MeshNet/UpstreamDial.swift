import CMeshABI
import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshRouting

/// How a connection gets an upstream socket, of the source's namespace or of the destination's, and connects it.
struct UpstreamDial {
  enum Outcome: Equatable {
    case connected(CInt)
    /// The socket is connecting: it tells by an event.
    case connecting(CInt)
    /// For a socket of the agent.
    case waits
    /// The endpoint cannot be reached; `refusal` says why.
    case failed
    /// No socket is to be had.
    case noSocket
  }

  private unowned let loop: RelayLoop
  private let member: UInt64
  private let flow: AcceptedFlow
  /// A place in the queue for an upstream socket, and what it is for.
  private var waiting: (shelf: StockRoom.Shelf, target: SocketEndpoint)?
  /// Where it goes through a tunnel.
  private(set) var bridged: TunnelBridge?
  /// Of the upstream socket, if it is not the client's.
  private(set) var namespace: UInt64?
  /// What a failure of the last attempt is told as.
  private(set) var refusal = RoutingRefusal.upstreamFailed
  /// The endpoint itself was dialled: its failure is none of the proxy's.
  private(set) var wasTried = false

  init(loop: RelayLoop, member: UInt64, flow: AcceptedFlow) {
    self.loop = loop
    self.member = member
    self.flow = flow
  }

  /// - tunnel: nil: the target itself is dialled.
  /// - client: the accepted socket, whose flow the upstream's leg is told with.
  mutating func begin(_ target: SocketEndpoint, through tunnel: Tunnel? = nil, client: CInt) -> Outcome {
    self.refusal = .upstreamFailed
    self.wasTried = false
    if let tunnel { return self.bridge(tunnel) }
    let isV4 = target.address.isV4
    guard let stock = self.loop.stock else {
      let socket = cmesh_relay_socket(isV4 ? 1 : 0)
      if socket >= 0 { cmesh_relay_tune(socket) }
      return self.connect(target, socket: socket, of: nil, client: client)
    }
    let across = StockRoom.Shelf(workload: self.flow.sourceWorkload, isV4: isV4, destination: target.address)
    // What came from another node is dialled by the workload that it comes to, from its own namespace.
    let isAcross = self.flow.peer == nil && (self.flow.chosen != nil || self.loop.across.contains(across))
    return self.take(target, isAcross ? across : across.outbound, from: stock, client: client)
  }

  /// What speaks in requests has a socket of this process, whose other end is relayed.
  private mutating func bridge(_ tunnel: Tunnel) -> Outcome {
    var (own, far) = (CInt(-1), CInt(-1))
    guard cmesh_relay_pair(&own, &far) == 0 else { return .noSocket }
    let bridge = TunnelBridge()
    self.bridged = bridge
    self.loop.relay(far, through: tunnel, of: self.flow, bridge)
    return .connected(own)
  }

  private mutating func take(
    _ target: SocketEndpoint, _ shelf: StockRoom.Shelf, from stock: StockRoom, client: CInt
  ) -> Outcome {
    switch stock.take(shelf, for: self.waiter) {
    case .socket(let socket): return self.connect(target, socket: socket, of: shelf, client: client)
    case .wait:
      self.waiting = (shelf, target)
      return .waits
    }
  }

  private var waiter: UpstreamStock.Waiter { .init(loop: self.loop.thread.number, connection: self.member) }

  mutating func stopWaiting() {
    guard let waiting = self.waiting else { return }
    self.waiting = nil
    self.loop.stock?.cancel(self.waiter, at: waiting.shelf)
  }

  /// The socket that was waited for. Nil: none was.
  mutating func delivered(_ socket: CInt, client: CInt) -> Outcome? {
    guard let waiting = self.waiting else { return nil }
    self.waiting = nil
    return self.connect(waiting.target, socket: socket, of: waiting.shelf, client: client)
  }

  /// `socket` is tuned, and this call's; negative: there is none.
  private mutating func connect(
    _ target: SocketEndpoint, socket: CInt, of shelf: StockRoom.Shelf?, client: CInt
  ) -> Outcome {
    guard socket >= 0 else { return .noSocket }
    if self.loop.stock != nil { AcceptedFlow.handOver(from: client, to: socket) }
    var address = target.relayAddress
    let error = cmesh_relay_connect(socket, &address)
    // The kernel says that another network is in between: from inside of it, then, and the same for those that follow.
    if error == -MESH_ACROSS_ERRNO, let stock = self.loop.stock, let shelf, shelf.destination == nil {
      close(socket)
      let across = StockRoom.Shelf(workload: shelf.workload, isV4: shelf.isV4, destination: target.address)
      self.loop.across.insert(across)
      return self.take(target, across, from: stock, client: client)
    }
    // A refusal of the endpoint's comes later: while connect() holds the socket, the RST waits (tcp_v4_rcv, sk_add_backlog). One
    // that is there at once is the connect hook's, so it says something about the caller: who may not call ejects nobody.
    self.wasTried = error != -EADDRNOTAVAIL && error != -ECONNREFUSED
    self.namespace = shelf?.destination == nil ? nil : AcceptedFlow.namespaceCookie(of: socket)
    switch error {
    case 0: return .connected(socket)
    case -EINPROGRESS: return .connecting(socket)
    case -EADDRNOTAVAIL:
      // A source is never bound here: the kernel chooses it in connect(), with a port that only has to be free toward this
      // target. So it is this target's ports that are used up.
      close(socket)
      self.refusal = .noLocalPort
      self.loop.say(
        "no local port is left toward an upstream", self.flow,
        [LogKey.reason: "\(self.refusal.rawValue)", "upstream": "\(target)"])
      return .failed
    default:
      close(socket)
      return .failed
    }
  }
}
