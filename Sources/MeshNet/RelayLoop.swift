import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshRouting
import MeshTelemetry
import Synchronization

typealias RelayThread = LoopThread<RelayLoop>

/// Everything that one loop knows: its table, its connections, its counters. Touched on its thread only.
final class RelayLoop: ThreadLoop {
  let thread: RelayThread
  let stock: StockRoom?
  let strain: SharedStrain
  let kit = RelayKit()
  var table: RoutingTable? {
    didSet {
      self.across = []
      self.httpScratch.clients = [:]
      self.warmed = [:]
      self.tableNumber &+= 1
      self.closeOrphans()
    }
  }
  /// How many there were.
  private(set) var tableNumber: UInt64 = 0
  /// What was found to be dialled from inside of the destination's namespace. Always right, if not always needed.
  var across: Set<StockRoom.Shelf> = []
  var counters = RelayCounters()
  var bill = LoopBill()
  /// Of requests that are over.
  var requests = RequestLedger()
  var random = LoopRandom(seed: UInt64.random(in: 0...UInt64.max))
  /// False: ports that speak HTTP are relayed too.
  private let parsesHTTP: Bool
  private(set) var http: HTTPConfiguration
  var httpScratch = HTTPScratch()
  /// Copies of requests that are under way.
  var mirrorCalls = 0
  var callers = RelayCallers()
  var pool = UpstreamPool()
  /// Who is warm, and when to look again.
  var warmed: [WarmKey: UInt64] = [:]
  /// Requests that wait for a connection, by the number of their place.
  var places: [UInt64: HTTPPlace] = [:]
  /// Those that may take requests, and those whose last are under way.
  var http2Upstreams: [UpstreamPool.Key: [HTTP2Upstream]] = [:]
  /// What tunnels are proven with.
  let certificates: CertificateShelf?
  /// Toward other nodes.
  var tunnelUpstreams: [HBONEUpstream.Key: [HBONEUpstream]] = [:]
  var deadlines = DeadlineQueue()
  var isStopping = false
  let peers: [RelayThread]
  let sweepInterval: UInt64
  private let idleSweeps: Int?
  let logger: Logger
  private(set) var accessLog: AccessLog?
  private(set) var connections: [UInt64: any LoopMember] = [:]
  private var lastConnection: UInt64 = 0
  /// Connections whose upstream does not stand yet: they have a deadline.
  private var dialling: [UInt64: RelayConnection] = [:]
  /// Connections that used up their turn.
  var again: [any LoopMember] = []
  /// What there was no time for, in the order in which it is done.
  var turns = FairTurns()
  private(set) var listeners: [UInt64: RelayListener] = [:]
  /// Those that are not watched, for want of sockets (`RelayLoop+Resting`), and when they are looked at next.
  var resting: Set<UInt64> = []
  var nextRestLook: UInt64 = 0
  /// Listeners that this loop has never seen empty: connections wait there that stood before the listener had its options.
  private var fresh: Set<UInt64> = []
  /// No descriptor is left: no listener is watched until then.
  private(set) var pausedUntil: UInt64?
  private var nextSweep: UInt64
  private var nextExpiry: UInt64 = 0
  /// Milliseconds of a steady clock, read once a turn.
  private(set) var now: UInt64
  /// The same moment.
  private(set) var microseconds: UInt64

  /// How often connect deadlines are looked at.
  private static let expiryInterval: UInt64 = 20
  private static let acceptPause: UInt64 = 1000
  /// How long who stands still may do so when no memory is left.
  static let strainPatience: UInt64 = 1000
  /// Connections accepted in one turn from one listener.
  private static let acceptBatch = 16
  /// The last time: as many as can wait in a listener (net.core.somaxconn).
  private static let lastBatch = 4096
  static let listenerMark: UInt64 = 1 << 63

  init(
    thread: RelayThread, peers: [RelayThread], stock: StockRoom?, idleTimeout: Duration?, sweepInterval: UInt64,
    http: HTTPConfiguration?, accessLog: AccessLog?, certificates: CertificateShelf?, strain: SharedStrain,
    logger: Logger
  ) {
    self.certificates = certificates
    self.strain = strain
    self.accessLog = accessLog
    self.parsesHTTP = http != nil
    self.http = http ?? .defaults
    self.httpScratch.passage = self.http.forwarding.passage
    self.thread = thread
    self.peers = peers
    self.stock = stock
    self.sweepInterval = max(1, sweepInterval)
    let interval = Duration.milliseconds(Int64(clamping: self.sweepInterval))
    self.idleSweeps = idleTimeout.map { max(1, Int($0 / interval)) }
    self.logger = logger
    self.microseconds = Self.microseconds()
    self.now = self.microseconds / 1000
    self.nextSweep = self.now + self.sweepInterval
  }

  /// Milliseconds.
  static func clock() -> UInt64 { Self.microseconds() / 1000 }

  static func microseconds() -> UInt64 { Self.nanoseconds() / 1000 }

  static func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
  }

  /// What holds for requests from here on; a connection keeps the limits of heads that it began with.
  func use(_ http: HTTPConfiguration, _ accessLog: AccessLog?) {
    self.tellAccessLog()
    self.accessLog = accessLog
    guard http != self.http else { return }
    self.http = http
    self.httpScratch.passage = http.forwarding.passage
    self.httpScratch.clients = [:]
  }

  // MARK: the loop

  func run() {
    let events = UnsafeMutablePointer<cmesh_poll_event>.allocate(capacity: Int(CMESH_POLL_EVENTS))
    defer { events.deallocate() }
    var turns: UInt64 = 0
    while !self.isStopping {
      turns &+= 1
      self.thread.turns.store(turns &* 2, ordering: .relaxed)
      let count = cmesh_poll_wait(self.thread.poll, events, self.timeout)
      guard count >= 0 else {
        self.logger.critical(
          "a loop cannot wait for events", metadata: [LogKey.error: "\(String(cString: strerror(-count)))"])
        return
      }
      self.thread.turns.store(turns &* 2 &+ 1, ordering: .relaxed)
      self.microseconds = Self.microseconds()
      self.now = self.microseconds / 1000
      self.work(UnsafeBufferPointer(start: events, count: Int(count)))
      self.tick()
      if self.turns.isEmpty || turns % 16 == 0 { self.tellAccessLog() }
      if self.bill.isOpen { self.bill.end(microseconds: Self.microseconds() - self.microseconds) }
    }
  }

  private var timeout: CInt {
    if !self.again.isEmpty || !self.turns.isEmpty { return 0 }
    var next = self.nextSweep
    if !self.dialling.isEmpty { next = min(next, self.nextExpiry) }
    if let paused = self.pausedUntil { next = min(next, paused) }
    if !self.resting.isEmpty { next = min(next, self.nextRestLook) }
    if let first = self.deadlines.next { next = min(next, first) }
    return next > self.now ? CInt(clamping: next - self.now) : 0
  }

  private func tick() {
    if !self.dialling.isEmpty, self.now >= self.nextExpiry {
      self.nextExpiry = self.now + Self.expiryInterval
      for connection in Array(self.dialling.values) { connection.expire(now: self.now) }
    }
    while let entry = self.deadlines.take(now: self.now) {
      self.connections[entry.member]?.expire(now: self.now)
    }
    if let paused = self.pausedUntil, self.now >= paused {
      self.pausedUntil = nil
      for listener in self.listeners.values where !self.resting.contains(listener.number) { self.watch(listener) }
    }
    if !self.resting.isEmpty, self.now >= self.nextRestLook { self.lookAtResting() }
    if self.now >= self.nextSweep {
      self.nextSweep = self.now + self.sweepInterval
      for connection in Array(self.connections.values) { connection.sweep(idleSweeps: self.idleSweeps) }
      self.closeOldIdle(all: self.strain.now >= .trim)
    }
  }

  /// After the last turn.
  func end() {
    self.abortAll { _ in true }
    self.tellAccessLog()
    self.turns = FairTurns()
    self.listeners = [:]
  }

  // MARK: accepting

  func listen(_ listener: RelayListener) {
    guard !listener.isClosed else { return }
    self.listeners[listener.number] = listener
    self.fresh.insert(listener.number)
    if self.pausedUntil == nil { self.watch(listener) }
  }

  func watch(_ listener: RelayListener) {
    let error = cmesh_poll_add_listener(
      self.thread.poll, listener.descriptor, Self.listenerMark | listener.number)
    if error < 0 { self.pause(-error) }
  }

  func unlisten(_ number: UInt64) {
    guard let listener = self.listeners.removeValue(forKey: number) else { return }
    defer {
      self.fresh.remove(number)
      self.resting.remove(number)
    }
    _ = cmesh_poll_remove(self.thread.poll, listener.descriptor)
    // Of all that wait for the listener the kernel wakes one for each connection (EPOLLEXCLUSIVE). It may have been this loop,
    // and whoever accepts here next would not hear of it: what is there now is still taken.
    self.accept(listener, atMost: Self.lastBatch)
  }

  func acceptWaiting(_ listener: RelayListener) {
    guard self.pausedUntil == nil, self.listeners[listener.number] != nil else { return }
    self.accept(listener, atMost: Self.lastBatch)
  }

  func accept(_ listener: RelayListener, atMost batch: Int = RelayLoop.acceptBatch) {
    let isFresh = self.fresh.contains(listener.number)
    for _ in 0..<batch {
      if self.lacksSockets(listener) { return self.rest(listener) }
      let descriptor = cmesh_relay_accept(listener.descriptor)
      if descriptor >= 0 {
        if isFresh { cmesh_relay_tune(descriptor) }
        self.place(descriptor, listener)
        continue
      }
      switch -descriptor {
      case EAGAIN:
        if isFresh { self.fresh.remove(listener.number) }
        return
      // Of the one connection (accept(2)).
      case ECONNABORTED, EPROTO, EPERM: continue
      default: return self.pause(-descriptor)
      }
    }
  }

  /// Without descriptors or memory left, accepting rests for a second instead of spinning; others close meanwhile.
  private func pause(_ error: CInt) {
    self.logger.warning("cannot accept; pausing", metadata: [LogKey.error: "\(String(cString: strerror(error)))"])
    self.pausedUntil = self.now + Self.acceptPause
    for listener in self.listeners.values { _ = cmesh_poll_remove(self.thread.poll, listener.descriptor) }
  }

  /// The loop that accepts keeps the connection, unless another one has far fewer.
  private func place(_ descriptor: CInt, _ listener: RelayListener) {
    // Another loop would take its socket later, so that more were accepted meanwhile than there are sockets for.
    if self.stock?.isUnsupplied(now: self.now) == true { return self.begin(descriptor, listener) }
    let own = self.thread.load.load(ordering: .relaxed)
    var least = (thread: self.thread, load: own)
    for peer in self.peers {
      let load = peer.load.load(ordering: .relaxed)
      if load < least.load { least = (peer, load) }
    }
    guard own > 2 * least.load + 8, least.thread !== self.thread else { return self.begin(descriptor, listener) }
    if !least.thread.post({ $0.begin(descriptor, listener) }) { cmesh_relay_reset(descriptor) }
  }

  /// Reads the flow of an accepted socket and starts its relay, or closes it with RST.
  private func begin(_ descriptor: CInt, _ listener: RelayListener) {
    if let entrance = listener.entrance {
      return listener.isWithdrawn ? cmesh_relay_reset(descriptor) : self.enter(descriptor, entrance)
    }
    let flow = listener.flow(descriptor)
    if case .success(let canary) = flow, canary.isCanary, !listener.isWithdrawn {
      return Self.answer(canary, on: descriptor)
    }
    self.counters.accepted += 1
    if self.strain.now >= .full {
      self.count(HTTPLocalAnswer.overloaded.reason)
      return cmesh_relay_reset(descriptor)
    }
    switch flow {
    case .success(let flow) where !listener.isWithdrawn:
      listener.note(flow)
      if self.parsesHTTP, self.waitsForName(flow) { return self.hold(descriptor, flow) }
      self.start(descriptor, flow)
    case .success:
      self.count("withdrawn")
      cmesh_relay_reset(descriptor)
    case .failure(let refusal):
      self.count(refusal.rawValue)
      cmesh_relay_reset(descriptor)
    }
  }

  /// The socket is a connection's from here on.
  func start(_ descriptor: CInt, _ flow: AcceptedFlow) {
    if self.parsesHTTP, self.speaksHTTP(flow) {
      let connection = HTTPConnection(number: self.nextNumber(), flow: flow, loop: self, client: descriptor)
      self.add(connection)
      return connection.begin()
    }
    if self.strain.now >= .shed {
      self.count(HTTPLocalAnswer.overloaded.reason)
      self.say("connection refused", flow, [LogKey.reason: "\(HTTPLocalAnswer.overloaded.reason)"])
      return cmesh_relay_reset(descriptor)
    }
    if self.readsHello(flow) {
      let connection = TLSConnection(number: self.nextNumber(), flow: flow, loop: self, client: descriptor)
      self.add(connection)
      return connection.begin()
    }
    self.relay(descriptor, flow)
  }

  /// - share: who may be dialled; nil: whom the port's connections go to.
  /// - held: of the client, received already.
  func relay(
    _ descriptor: CInt, _ flow: AcceptedFlow, within share: RoutingTable.Share? = nil, held: [UInt8] = []
  ) {
    let connection = RelayConnection(
      number: self.nextNumber(), flow: flow, loop: self, client: descriptor, within: share, held: held)
    self.begin(connection)
  }

  func begin(_ connection: RelayConnection) {
    self.add(connection)
    self.dialling[connection.number] = connection
    self.nextExpiry = min(self.nextExpiry, self.now + Self.expiryInterval)
    connection.begin()
  }

  /// Sixteen bytes fit into every fresh socket. Nobody counts them as a connection.
  private static func answer(_ canary: AcceptedFlow, on descriptor: CInt) {
    let answer = CanaryAnswer(namespaceCookie: canary.namespaceCookie, socketCookie: canary.socketCookie)
    _ = answer.bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
    close(descriptor)
  }

  // MARK: for connections

  func count(_ reason: String) { self.counters.refused[reason, default: 0] += 1 }

  func reached(_ connection: RelayConnection) {
    if connection.isClients { self.counters.relayed += 1 }
    self.dialling[connection.number] = nil
  }

  /// What each workload cost since this was asked last.
  func takeCosts() -> [WorkloadCost] { self.bill.take(self.connections.values) }

  func nextNumber() -> UInt64 {
    self.lastConnection &+= 1
    return self.lastConnection
  }

  func add(_ member: any LoopMember) {
    self.connections[member.number] = member
    if member.isClients { self.counters.active += 1 }
    self.thread.load.store(self.connections.count, ordering: .relaxed)
  }

  func runSoon(_ member: any LoopMember) { self.again.append(member) }

  func ended(_ member: any LoopMember) {
    guard self.connections.removeValue(forKey: member.number) != nil else { return }
    self.dialling[member.number] = nil
    if member.isClients { self.counters.active -= 1 }
    self.thread.load.store(self.connections.count, ordering: .relaxed)
  }

  /// A socket that a connection waited for. False: nobody waits any more, the socket is the caller's.
  func deliver(_ socket: CInt, to connection: UInt64) -> Bool {
    self.connections[connection]?.delivered(socket) ?? false
  }

  func withdrawAll(where condition: (any LoopMember) -> Bool) {
    for connection in Array(self.connections.values) where condition(connection) { connection.withdraw() }
  }

  /// Memory runs out.
  func relieve() {
    let strain = self.strain.now
    guard strain >= .trim else { return }
    self.closeOldIdle(all: true)
    for connection in Array(self.connections.values) { connection.relieve(strain) }
  }

  func abortAll(where condition: (any LoopMember) -> Bool) {
    for connection in Array(self.connections.values) where condition(connection) { connection.abort() }
  }
}

/// Names the socket that an event is about. An event that was meant for the socket of an earlier attempt is told apart.
struct RelayToken: Equatable {
  let value: UInt64

  init(_ value: UInt64) { self.value = value }

  init(connection: UInt64, attempt: Int, side: RelaySide) {
    self.value = connection << 4 | UInt64(attempt & 7) << 1 | (side == .upstream ? 1 : 0)
  }

  var connection: UInt64 { (self.value & ~(1 << 63)) >> 4 }
  var side: RelaySide { self.value & 1 == 1 ? .upstream : .client }
}
