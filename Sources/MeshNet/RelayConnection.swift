import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshRouting
import MeshSnapshot

/// One accepted connection and its upstream: drives `ConnectAttempts` until an upstream stands, then `RelayMachine` until
/// both are done. Confined to its loop.
final class RelayConnection: LoopMember {
  let number: UInt64
  let flow: AcceptedFlow
  private let owner: RelayLoop
  /// -1: not there (any more).
  private var client: CInt
  private var upstream: CInt = -1
  private var machine = RelayMachine()
  private var attempts: ConnectAttempts
  private var outward: RelayStream
  private var homeward = RelayStream()
  private var bytesAtSweep: UInt64 = 0
  private var quietSweeps = 0
  private var isQueued = false
  private var upstreamDial: UpstreamDial
  /// The endpoints that it may go to; nil: the port's, until it is begun.
  private var share: RoutingTable.Share?
  /// Of the endpoint that it is at, and since when, in microseconds.
  private var ticket: AttemptTicket?
  private var chosenAt: UInt64 = 0
  private var wasConnected = false
  private var permit: UpstreamRecord.Permit?
  /// In the place of one of the sockets.
  private var tunnel: (stream: TunnelStream, side: RelaySide)?
  private var tunnelHasEnded = false
  private var bridge: (bridge: TunnelBridge, tunnel: Tunnel)?
  /// Of a tunnel, before there is a socket for it.
  private static let mostEarly = 64 << 10

  init(
    number: UInt64, flow: AcceptedFlow, loop: RelayLoop, client: CInt, within share: RoutingTable.Share? = nil,
    held: [UInt8] = []
  ) {
    self.share = share
    self.outward = RelayStream(left: held)
    self.number = number
    self.flow = flow
    self.owner = loop
    self.client = client
    self.attempts = ConnectAttempts(
      table: loop.table, original: flow.original,
      chosen: flow.chosen.map { loop.choice(at: $0, of: flow) }, opensTunnels: true)
    self.upstreamDial = UpstreamDial(loop: loop, member: number, flow: flow)
  }

  /// Of requests: `client` is one end of a pair of sockets.
  init(
    number: UInt64, flow: AcceptedFlow, loop: RelayLoop, client: CInt, through tunnel: Tunnel, bridge: TunnelBridge
  ) {
    self.outward = RelayStream()
    self.number = number
    self.flow = flow
    self.owner = loop
    self.client = client
    self.bridge = (bridge, tunnel)
    self.attempts = ConnectAttempts(
      table: loop.table, original: flow.original,
      chosen: RoutingTable.Choice(target: tunnel.authority, workload: nil, needsTunnel: true), opensTunnels: true)
    self.upstreamDial = UpstreamDial(loop: loop, member: number, flow: flow)
  }

  /// What another node's workload sends through a tunnel, to `flow.chosen`.
  init(number: UInt64, flow: AcceptedFlow, loop: RelayLoop, tunnel: TunnelStream) {
    self.outward = RelayStream()
    self.number = number
    self.flow = flow
    self.owner = loop
    self.client = -1
    self.tunnel = (tunnel, .client)
    self.attempts = ConnectAttempts(
      table: loop.table, original: flow.original,
      chosen: RoutingTable.Choice(target: flow.chosen ?? flow.original, workload: nil))
    self.upstreamDial = UpstreamDial(loop: loop, member: number, flow: flow)
  }

  /// A tunnel of which both ends stand, `client` and `upstream`: whose they are is this connection's from here on.
  /// - sent, received: bytes that each end has to get before all others.
  init(
    number: UInt64, flow: AcceptedFlow, loop: RelayLoop, client: CInt, upstream: CInt, dial: UpstreamDial,
    permit: consuming UpstreamRecord.Permit?, sent: [UInt8], received: [UInt8]
  ) {
    self.share = nil
    self.permit = permit
    self.number = number
    self.flow = flow
    self.owner = loop
    self.client = client
    self.upstream = upstream
    self.attempts = ConnectAttempts(table: nil, original: flow.original)
    self.upstreamDial = dial
    self.outward = RelayStream(left: sent)
    self.homeward = RelayStream(left: received)
    _ = self.machine.connected()
  }

  /// Begins to relay between two ends that stand.
  func beginTunnel() {
    guard self.watch(self.client, .client), self.watch(self.upstream, .upstream) else { return self.abort() }
    self.resume()
  }

  var sourceWorkload: UInt32 { self.flow.sourceWorkload }
  var namespaces: [UInt64] { [self.flow.namespaceCookie] + (self.upstreamDial.namespace.map { [$0] } ?? []) }
  /// Those of requests are counted where the requests come from.
  var isClients: Bool { self.bridge == nil }
  var heldBytes: Int { self.outward.heldBytes + self.homeward.heldBytes }

  func drain() {}

  private func token(_ side: RelaySide) -> RelayToken {
    RelayToken(connection: self.number, attempt: side == .client ? 0 : self.attempts.count, side: side)
  }

  private func watch(_ descriptor: CInt, _ side: RelaySide) -> Bool {
    cmesh_poll_add_stream(self.owner.thread.poll, descriptor, self.token(side).value) == 0
  }

  // MARK: dialling

  func begin() {
    guard self.tunnel != nil || self.watch(self.client, .client) else { return self.refuse(.upstreamFailed) }
    let now = self.owner.now
    guard self.flow.chosen == nil, self.bridge == nil, let table = self.owner.table else {
      return self.perform(self.attempts.begin(now: now, using: &self.owner.random))
    }
    switch self.share(of: table) {
    case .failure(let failure): self.refuse(failure.refusal)
    case .success(let share):
      self.share = share
      self.permit = share.record.admit(.connections, share.traffic?.limits)
      guard self.permit != nil else {
        self.owner.say("connection refused", self.flow, [LogKey.reason: "\(RoutingRefusal.overflow.rawValue)"])
        return self.refuse(.overflow)
      }
      let key = share.keys.flatMap { $0.hash(source: self.owner.address(of: self.flow)) }
      self.attempts = ConnectAttempts(table: table, original: self.flow.original, key: key, opensTunnels: true)
      self.perform(self.attempts.begin(in: share, now: now, using: &self.owner.random))
    }
  }

  private func share(of table: RoutingTable) -> Result<RoutingTable.Share, RoutingFailure> {
    if let share = self.share { return .success(share) }
    return table.share(to: self.flow.original, using: &self.owner.random)
  }

  private func perform(_ action: ConnectAttempts.Action) {
    guard self.machine.phase == .connecting else { return }
    switch action {
    case .refuse(let refusal): self.refuse(refusal)
    case .dial(let choice, _): self.dial(choice)
    }
  }

  private func refuse(_ refusal: RoutingRefusal) {
    self.owner.count(refusal.rawValue)
    self.perform(self.machine.refused())
  }

  private func dial(_ choice: RoutingTable.Choice) {
    self.ticket = choice.attempt()
    self.chosenAt = self.owner.microseconds
    switch self.bridge.map({ .tunnel($0.tunnel) }) ?? self.owner.passage(of: self.flow, to: choice) {
    case .direct: self.dialled(self.upstreamDial.begin(choice.target, client: self.client))
    case .tunnel(let tunnel):
      guard let stream = self.owner.tunnel(tunnel, for: self, client: self.client) else { return self.cannotTunnel() }
      self.tunnel = (stream, .upstream)
    case .refused: self.cannotTunnel()
    }
  }

  func delivered(_ socket: CInt) -> Bool {
    guard let outcome = self.upstreamDial.delivered(socket, client: self.client) else { return false }
    self.dialled(outcome)
    return true
  }

  private func dialled(_ outcome: UpstreamDial.Outcome) {
    switch outcome {
    case .waits: break
    case .noSocket: self.refuse(.upstreamFailed)
    case .failed: self.dialFailed()
    case .connected(let socket), .connecting(let socket):
      self.upstream = socket
      // Watched only from here on: an unconnected socket polls as hung up.
      guard self.watch(socket, .upstream) else { return self.dialFailed() }
      if case .connected = outcome { self.connected() }
    }
  }

  private func dialFailed() {
    if self.upstream >= 0 { close(self.upstream) }
    self.upstream = -1
    self.attemptEnded(self.upstreamDial.wasTried ? .unreachable : nil)
    self.perform(
      self.attempts.failed(as: self.upstreamDial.refusal, now: self.owner.now, using: &self.owner.random))
  }

  /// - outcome: nil: it says nothing about the endpoint.
  private func attemptEnded(_ outcome: AttemptOutcome?) {
    guard let ticket = self.ticket.take(), let outcome else { return }
    ticket.ended(as: outcome, now: self.owner.now)
  }

  func expire(now: UInt64) {
    guard self.machine.phase == .connecting, now >= self.attempts.deadline else { return }
    self.attemptEnded(self.upstreamDial.wasTried ? .unreachable : nil)
    self.refuse(.connectTimeout)
  }

  private func connected() {
    guard self.machine.phase == .connecting else { return }
    self.owner.reached(self)
    self.wasConnected = true
    let now = self.owner.microseconds
    self.ticket?.answerBegan(after: now > self.chosenAt ? now - self.chosenAt : 0, now: self.owner.now)
    if let tunnel, tunnel.side == .client { tunnel.stream.accept() }
    self.perform(self.machine.connected())
    self.resume()
  }

  // MARK: tunnels

  private func cannotTunnel() {
    self.attemptEnded(nil)
    self.perform(self.attempts.failed(as: .noTunnel, now: self.owner.now, using: &self.owner.random))
  }

  func tunnelOpened() { self.connected() }

  func tunnelCut(wasOpen: Bool, wasTried: Bool) {
    guard let tunnel, self.machine.phase != .over else { return }
    guard tunnel.side == .upstream, self.machine.phase == .connecting else { return self.failed(tunnel.side) }
    self.tunnel = nil
    self.attemptEnded(wasTried ? .unreachable : nil)
    self.perform(self.attempts.failed(as: .upstreamFailed, now: self.owner.now, using: &self.owner.random))
  }

  func tunnelReceived(_ input: Span<UInt8>, ends: Bool) {
    guard let tunnel, self.machine.phase != .over else { return }
    if ends { self.tunnelHasEnded = true }
    let isRelaying = self.machine.phase == .relaying
    if !input.isEmpty {
      let sink = !isRelaying ? -1 : tunnel.side == .client ? self.upstream : self.client
      let taken =
        tunnel.side == .client ? self.outward.take(input, to: sink) : self.homeward.take(input, to: sink)
      guard let taken else { return self.failed(tunnel.side.other) }
      tunnel.stream.consumed(taken)
      if !isRelaying, self.heldBytes > Self.mostEarly { return self.failed(tunnel.side) }
    }
    if ends, isRelaying { self.move(from: tunnel.side) }
  }

  func tunnelHasRoom() {
    if let tunnel { self.move(from: tunnel.side.other) }
  }

  private func moveTunnel(_ tunnel: (stream: TunnelStream, side: RelaySide), from side: RelaySide)
    -> RelayStream.Outcome
  {
    guard side == tunnel.side else {
      return side == .client
        ? self.outward.move(from: self.client, into: tunnel.stream, with: self.owner.kit)
        : self.homeward.move(from: self.upstream, into: tunnel.stream, with: self.owner.kit)
    }
    let (outcome, count) =
      side == .client
      ? self.outward.deliver(to: self.upstream, ended: self.tunnelHasEnded, with: self.owner.kit)
      : self.homeward.deliver(to: self.client, ended: self.tunnelHasEnded, with: self.owner.kit)
    tunnel.stream.consumed(count)
    return outcome
  }

  // MARK: relaying

  func ready(_ token: RelayToken, _ events: UInt32) {
    let side = token.side
    guard token == self.token(side) else { return }
    let endIsNear = events & (CMESH_INPUT_ENDS | CMESH_HUNG_UP | CMESH_FAILED) != 0
    let isReadable = endIsNear || events & CMESH_READABLE != 0
    if isReadable {
      switch side {
      case .client: self.outward.noteReadable(endIsNear: endIsNear)
      case .upstream: self.homeward.noteReadable(endIsNear: endIsNear)
      }
    }
    switch self.machine.phase {
    case .over: break
    case .connecting: self.readyWhileConnecting(side, events)
    case .relaying:
      if isReadable { self.move(from: side) }
      if events & CMESH_WRITABLE != 0 { self.move(from: side.other) }
      // What could still be read was; an error ends a side even if nobody takes its bytes.
      if events & CMESH_FAILED != 0 { self.failed(side) }
    }
  }

  private func readyWhileConnecting(_ side: RelaySide, _ events: UInt32) {
    let isGone = events & (CMESH_HUNG_UP | CMESH_FAILED) != 0
    switch side {
    case .client:
      if isGone { self.failed(.client) }
    case .upstream:
      guard self.upstream >= 0 else { return }
      if cmesh_relay_error(self.upstream) < 0 || isGone {
        self.dialFailed()
      } else if events & CMESH_WRITABLE != 0 {
        self.connected()
      }
    }
  }

  /// Both directions, as far as they go.
  func resume() {
    self.isQueued = false
    self.move(from: .client)
    self.move(from: .upstream)
  }

  private func move(from side: RelaySide) {
    guard self.machine.phase == .relaying else { return }
    let outcome =
      if let tunnel { self.moveTunnel(tunnel, from: side) } else if side == .client {
        self.outward.move(from: self.client, to: self.upstream, with: self.owner.kit)
      } else {
        self.homeward.move(from: self.upstream, to: self.client, with: self.owner.kit)
      }
    switch outcome {
    case .waits: break
    case .again:
      guard !self.isQueued else { break }
      self.isQueued = true
      self.owner.runSoon(self)
    case .ended: self.perform(self.machine.inputEnded(side))
    case .sourceFailed: self.failed(side)
    case .sinkFailed: self.failed(side.other)
    }
  }

  private func failed(_ side: RelaySide) {
    guard self.machine.phase != .over else { return }
    self.reset(side)
    self.perform(self.machine.failed(side))
  }

  func abort() {
    self.reset(.client)
    self.reset(.upstream)
    self.perform(self.machine.failed(.client))
  }

  /// Gives back what a quiet connection holds, and closes it when it was quiet for too long.
  func sweep(idleSweeps limit: Int?) {
    guard self.machine.phase == .relaying else { return }
    let bytes = self.outward.bytes &+ self.homeward.bytes
    guard bytes == self.bytesAtSweep else {
      self.bytesAtSweep = bytes
      self.quietSweeps = 0
      return
    }
    self.outward.rest(self.owner.kit)
    self.homeward.rest(self.owner.kit)
    self.quietSweeps += 1
    guard let limit, self.quietSweeps >= limit else { return }
    self.owner.count("idle")
    self.abort()
  }

  private func perform(_ action: RelayMachine.Action) {
    switch action {
    case .none: break
    // A direction reads on only when all before was handed to the sink: at its end, nothing waits.
    case .flush(let side): self.perform(self.machine.flushed(side))
    case .shutdownOutput(let side):
      if self.outward.isEnded, self.homeward.isEnded {
        // Both streams are complete; what the kernel has not sent yet it sends after this, and FIN.
        self.tunnel?.stream.finish()
        self.tunnel = nil
        if self.client >= 0 { cmesh_relay_close(self.client) }
        if self.upstream >= 0 { cmesh_relay_close(self.upstream) }
        self.client = -1
        self.upstream = -1
        self.perform(self.machine.closed(.client))
        self.perform(self.machine.closed(.upstream))
      } else if let tunnel, tunnel.side == side {
        tunnel.stream.finish()
      } else {
        shutdown(side == .client ? self.client : self.upstream, CInt(SHUT_WR))
      }
    case .abort(let side):
      self.reset(side)
      self.finish()
    case .abandonDial, .end: self.finish()
    }
  }

  private func reset(_ side: RelaySide) {
    if let tunnel, tunnel.side == side {
      self.tunnel = nil
      return tunnel.stream.reset(refused: !self.wasConnected)
    }
    let descriptor = side == .client ? self.client : self.upstream
    guard descriptor >= 0 else { return }
    if side == .client { self.bridge?.bridge.isCut = true }
    cmesh_relay_reset(descriptor)
    if side == .client { self.client = -1 } else { self.upstream = -1 }
  }

  private func closeSockets() {
    if self.client >= 0 { close(self.client) }
    if self.upstream >= 0 { close(self.upstream) }
    self.client = -1
    self.upstream = -1
  }

  private func finish() {
    if let tunnel {
      self.tunnel = nil
      tunnel.stream.reset()
    }
    self.upstreamDial.stopWaiting()
    self.attemptEnded(self.wasConnected ? .connected : nil)
    self.permit = nil
    self.closeSockets()
    self.outward.release(self.owner.kit)
    self.homeward.release(self.owner.kit)
    self.owner.counters.sentBytes &+= self.outward.bytes
    self.owner.counters.receivedBytes &+= self.homeward.bytes
    self.owner.ended(self)
  }
}
