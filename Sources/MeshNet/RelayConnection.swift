import Glibc
import MeshBase
import MeshRouting
import NIOCore
import NIOPosix

/// One accepted connection and its upstream: drives `ConnectAttempts` until an upstream stands, then `RelayMachine` until
/// both are done. Confined to its loop.
final class RelayConnection {
  let number: UInt64
  let flow: AcceptedFlow
  private let owner: RelayLoop
  private let client: any Channel
  private var upstream: (any Channel)?
  private var clientHandler: RelayHandler?
  private var upstreamHandler: RelayHandler?
  private var machine = RelayMachine()
  private var attempts: ConnectAttempts
  private var quietSweeps = 0
  /// Taken from the stock, not given to a channel yet.
  private var dialSocket: CInt?
  /// A place in the queue for an upstream socket, and what it is for.
  private var waiting: (shelf: StockRoom.Shelf, choice: RoutingTable.Choice, timeout: Scheduled<Void>)?

  init(number: UInt64, flow: AcceptedFlow, loop: RelayLoop, client: any Channel) {
    self.number = number
    self.flow = flow
    self.owner = loop
    self.client = client
    self.attempts = ConnectAttempts(table: loop.table, original: flow.original)
  }

  func attach() throws {
    let handler = RelayHandler(.client, self)
    self.clientHandler = handler
    try self.client.pipeline.syncOperations.addHandler(handler)
    if let options = self.client.syncOptions { try Self.setOptions(options) }
  }

  private static func setOptions(_ options: any NIOSynchronousChannelOptions) throws {
    try options.setOption(.allowRemoteHalfClosure, value: true)
    try options.setOption(.recvAllocator, value: RelayBufferSizes())
    try options.setOption(.maxMessagesPerRead, value: 1)
  }

  // MARK: dialling

  private static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds / 1_000_000 }

  func active(_ side: RelaySide) {
    switch side {
    case .client: self.perform(self.attempts.begin(now: Self.now(), using: &self.owner.random))
    case .upstream: self.connected()
    }
  }

  private func perform(_ action: ConnectAttempts.Action) {
    guard self.machine.phase == .connecting else { return }
    switch action {
    case .refuse(let refusal): self.refuse(refusal)
    case .dial(let choice, let deadline): self.dial(choice, deadline: deadline)
    }
  }

  private func refuse(_ refusal: RoutingRefusal) {
    self.owner.count(refusal.rawValue)
    self.perform(self.machine.refused())
  }

  private func dial(_ choice: RoutingTable.Choice, deadline: UInt64) {
    guard let stock = self.owner.stock else { return self.connect(choice, socket: nil) }
    let shelf = StockRoom.Shelf(workload: self.flow.sourceWorkload, isV4: choice.target.address.isV4)
    switch stock.take(shelf, for: self.waiter) {
    case .socket(let socket): self.connect(choice, socket: socket)
    case .wait:
      let left = TimeAmount.milliseconds(
        Int64(clamping: deadline.subtractingReportingOverflow(Self.now()).partialValue))
      let timeout = self.owner.loop.assumeIsolated().scheduleTask(in: left) {
        self.stopWaiting()
        if self.machine.phase == .connecting { self.refuse(.connectTimeout) }
      }
      self.waiting = (shelf, choice, timeout)
    }
  }

  private var waiter: UpstreamStock.Waiter { .init(loop: self.owner.number, connection: self.number) }

  private func stopWaiting() {
    guard let waiting = self.waiting else { return }
    self.waiting = nil
    waiting.timeout.cancel()
    self.owner.stock?.cancel(self.waiter, at: waiting.shelf)
  }

  /// The socket that this connection waited for. False: it waits no more.
  func delivered(_ socket: CInt) -> Bool {
    guard let waiting = self.waiting else { return false }
    self.waiting = nil
    waiting.timeout.cancel()
    self.connect(waiting.choice, socket: socket)
    return true
  }

  /// `socket` is this connection's: it becomes the channel's, or is closed.
  private func connect(_ choice: RoutingTable.Choice, socket: CInt?) {
    self.dialSocket = socket
    guard let address = choice.target.socketAddress else {
      self.closeDialSocket()
      return self.refuse(.upstreamFailed)
    }
    let left = max(1, Int64(clamping: self.attempts.deadline) - Int64(clamping: Self.now()))
    let bound = NIOLoopBound(self, eventLoop: self.owner.loop)
    ClientBootstrap(group: self.owner.loop)
      .connectTimeout(.milliseconds(left))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try bound.value.prepare(channel) }
      }
      .connect(to: address)
      .assumeIsolated()
      .whenFailure { self.dialFailed($0) }
  }

  private func closeDialSocket() {
    guard let socket = self.dialSocket else { return }
    self.dialSocket = nil
    close(socket)
  }

  /// Before the channel is registered and connects.
  private func prepare(_ channel: any Channel) throws {
    guard self.machine.phase == .connecting else { throw RoutingFailure(.upstreamFailed) }
    let isReady = channel.withDescriptor { descriptor -> Bool in
      if let socket = self.dialSocket {
        // NIO made a socket of this process's namespace: the one of the source's namespace takes its place and number.
        guard dup2(socket, descriptor) >= 0 else { return false }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        self.closeDialSocket()
      }
      SocketTuning.apply(to: descriptor)
      return true
    }
    guard isReady == true else { throw RoutingFailure(.upstreamFailed) }
    let handler = RelayHandler(.upstream, self)
    self.upstream = channel
    self.upstreamHandler = handler
    try channel.pipeline.syncOperations.addHandler(handler)
    if let options = channel.syncOptions { try Self.setOptions(options) }
  }

  private func dialFailed(_ error: any Error) {
    self.closeDialSocket()
    self.upstream = nil
    self.upstreamHandler = nil
    guard self.machine.phase == .connecting else { return }
    if case .connectTimeout = error as? ChannelError {
      self.refuse(.connectTimeout)
    } else {
      self.perform(self.attempts.failed(now: Self.now(), using: &self.owner.random))
    }
  }

  private func connected() {
    guard self.machine.phase == .connecting, let client = self.clientHandler, let upstream = self.upstreamHandler else {
      self.upstream?.abort()
      return
    }
    self.owner.counters.relayed += 1
    client.pair(with: upstream)
    upstream.pair(with: client)
    self.perform(self.machine.connected())
  }

  // MARK: relaying

  func flushSoon(_ handler: RelayHandler) { self.owner.flushSoon(handler) }

  func inputEnded(_ side: RelaySide) { self.perform(self.machine.inputEnded(side)) }

  func failed(_ side: RelaySide) { self.perform(self.machine.failed(side)) }

  func closed(_ side: RelaySide) {
    // A dial that failed closes its channel too; its future says so.
    if side == .upstream, self.machine.phase == .connecting { return }
    self.perform(self.machine.closed(side))
  }

  /// Closes both sides with RST.
  func abort() {
    self.client.abort()
    self.upstream?.abort()
    self.perform(self.machine.failed(.client))
  }

  /// Called once per sweep: shrinks what is quiet, and closes what was quiet for too long.
  func sweep(idleSweeps limit: Int?) {
    guard self.machine.phase == .relaying, let client = self.clientHandler, let upstream = self.upstreamHandler else {
      return
    }
    let moved = (client.sweep(), upstream.sweep())
    self.quietSweeps = moved.0 || moved.1 ? 0 : self.quietSweeps + 1
    guard let limit, self.quietSweeps >= limit else { return }
    self.owner.count("idle")
    self.abort()
  }

  private func channel(_ side: RelaySide) -> (any Channel)? { side == .client ? self.client : self.upstream }

  private func perform(_ action: RelayMachine.Action) {
    switch action {
    case .none: break
    case .flush(let side):
      // An empty write is done when all before it is: NIO drops what waits if a half-closed channel is closed.
      guard let channel = self.channel(side) else { break }
      channel.writeAndFlush(ByteBuffer()).assumeIsolated().whenSuccess {
        self.perform(self.machine.flushed(side))
      }
    case .shutdownOutput(let side): self.channel(side)?.close(mode: .output, promise: nil)
    case .abort(let side): self.channel(side)?.abort()
    case .abandonDial:
      self.stopWaiting()
      self.upstream?.abort()
    case .end: break
    }
    if self.machine.phase == .over { self.finish() }
  }

  private func finish() {
    guard let handler = self.clientHandler else { return }
    self.clientHandler = nil
    self.stopWaiting()
    self.owner.counters.sentBytes &+= handler.bytes
    self.owner.counters.receivedBytes &+= self.upstreamHandler?.bytes ?? 0
    handler.unpair()
    self.upstreamHandler?.unpair()
    self.upstreamHandler = nil
    self.owner.ended(self)
  }
}
