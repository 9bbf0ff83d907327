import CMeshRelay
import Glibc
import Logging
import MeshBase
import MeshDNS

/// Everything that the name server knows: machine, zone, sockets. Touched on its thread only.
final class NameLoop: ThreadLoop {
  struct Listener {
    let descriptor: CInt
    let transport: DNSTransport
    let place: NameServer.Place
    /// Tells a socket that is handed over again from a new one.
    let inode: UInt64
  }

  let thread: LoopThread<NameLoop>
  let supply: NameServer.Supply
  let logger: Logger
  var machine: ResolverMachine
  var zone: MeshZone?
  /// The kernel's: ids that nobody can foresee.
  var random = SystemRandomNumberGenerator()
  var isStopping = false
  var listeners: [UInt64: Listener] = [:]
  /// The sockets among them that answer by UDP.
  private var datagrams: [NameServer.Place: CInt] = [:]
  /// Listeners that are not watched until the next tick, because no descriptor was left.
  private var paused: Set<UInt64> = []
  var connections: [UInt64: NameConnection] = [:]
  var upstreams: [UInt64: NameUpstream] = [:]
  var attempts: [DNSAttempt: UInt64] = [:]
  var stocks: [NameServer.Place: UpstreamStock] = [:]
  /// Counts suppliers of a namespace: a socket of an earlier one does not go back on the shelf.
  var suppliers: [UInt64: Int] = [:]
  private var isDraining = false
  /// Connections that used up their turn.
  var again: [UInt64] = []
  /// Attempts by TCP that wait for a socket.
  var streamless: [UInt64] = []
  /// What the machine said and is not done yet.
  private var queue: [ResolverAction] = []
  private var isPerforming = false
  let buffer: UnsafeMutableRawBufferPointer
  /// Milliseconds of a steady clock, read once a turn.
  private(set) var now = RelayLoop.clock()
  private var nextExpiry: UInt64 = 0
  private var nextTick: UInt64 = 0
  private var lastNumber: UInt64 = 0

  /// How often deadlines are looked at while somebody waits.
  private static let expiryInterval: UInt64 = 50
  private static let tickInterval: UInt64 = 1000
  /// Datagrams taken in one turn from one socket.
  private static let batch = 64

  init(thread: LoopThread<NameLoop>, limits: ResolverLimits, supply: NameServer.Supply, logger: Logger) {
    self.thread = thread
    self.supply = supply
    self.logger = logger
    self.machine = ResolverMachine(limits: limits)
    self.buffer = .allocate(byteCount: 1 << 16, alignment: 64)
  }

  deinit { self.buffer.deallocate() }

  // MARK: the loop

  func run() {
    let events = UnsafeMutablePointer<cmesh_poll_event>.allocate(capacity: Int(CMESH_POLL_EVENTS))
    defer { events.deallocate() }
    while !self.isStopping {
      let count = cmesh_poll_wait(self.thread.poll, events, self.timeout)
      guard count >= 0 else {
        self.logger.critical(
          "the name server cannot wait for events",
          metadata: [LogKey.error: "\(String(cString: strerror(-count)))"])
        return
      }
      self.now = RelayLoop.clock()
      for i in 0..<Int(count) { self.handle(events[i]) }
      self.runAgain()
      self.tick()
    }
  }

  private func handle(_ event: cmesh_poll_event) {
    if event.token == 0 {
      for work in self.thread.takeWork() { work(self) }
    } else if let listener = self.listeners[event.token] {
      switch listener.transport {
      case .udp: self.receive(listener)
      case .tcp: self.accept(event.token, listener)
      }
    } else if let connection = self.connections[event.token] {
      self.ready(connection, event.events)
    } else if let upstream = self.upstreams[event.token] {
      self.ready(upstream, event.events)
    }
  }

  private func runAgain() {
    var ready: [UInt64] = []
    swap(&ready, &self.again)
    for number in ready {
      if let connection = self.connections[number] { self.resume(connection) }
    }
  }

  /// Milliseconds until there is something to do without an event; -1: never.
  private var timeout: CInt {
    if !self.again.isEmpty { return 0 }
    if self.machine.waiting > 0 { return CInt(Self.expiryInterval) }
    let isTicking =
      !self.connections.isEmpty || !self.paused.isEmpty || self.stocks.values.contains { $0.isWaitingForSupply }
    return isTicking ? CInt(Self.tickInterval) : -1
  }

  private func tick() {
    if self.machine.waiting > 0, self.now >= self.nextExpiry {
      self.nextExpiry = self.now + Self.expiryInterval
      self.supplyStreams()
      self.perform(self.machine.expire(now: self.now, using: &self.random))
    }
    guard self.now >= self.nextTick else { return }
    self.nextTick = self.now + Self.tickInterval
    for place in self.stocks.keys {
      self.stocks[place]?.tick()
      self.order(place)
    }
    for number in self.paused { if let listener = self.listeners[number] { self.watch(number, listener) } }
    self.paused = []
    self.closeIdleConnections()
  }

  /// After the last turn.
  func end() {
    for namespace in Set(self.listeners.values.map(\.place.namespace) + self.stocks.keys.map(\.namespace)) {
      self.withdraw(namespace: namespace)
    }
  }

  /// Names a socket in events; never 0.
  func number() -> UInt64 {
    self.lastNumber &+= 1
    return self.lastNumber
  }

  // MARK: what is said to it

  func use(_ zone: MeshZone) {
    let isFirst = self.zone == nil
    self.zone = zone
    if isFirst { for (number, listener) in self.listeners { self.watch(number, listener) } }
  }

  func use(_ upstreams: [SocketEndpoint], for namespace: UInt64) {
    self.perform(self.machine.use(upstreams, for: namespace, now: self.now, using: &self.random))
    for isV4 in Set(upstreams.map(\.address.isV4)) {
      self.order(NameServer.Place(namespace: namespace, isV4: isV4))
    }
  }

  func listen(_ descriptor: CInt, _ transport: DNSTransport, at place: NameServer.Place) {
    var status = stat()
    fstat(descriptor, &status)
    let inode = UInt64(status.st_ino)
    if let old = self.listeners.first(where: { $0.value.place == place && $0.value.transport == transport }) {
      if old.value.inode == inode {
        close(descriptor)
        return
      }
      self.unlisten(old.key)
    }
    let number = self.number()
    let listener = Listener(descriptor: descriptor, transport: transport, place: place, inode: inode)
    self.listeners[number] = listener
    if transport == .udp { self.datagrams[place] = descriptor }
    if self.zone != nil { self.watch(number, listener) }
  }

  /// Other holders of the listeners take what comes from here on.
  func drain() {
    self.isDraining = true
    for (number, listener) in self.listeners {
      _ = cmesh_poll_remove(self.thread.poll, listener.descriptor)
      // The kernel may have woken this loop alone for what is there (EPOLLEXCLUSIVE): nobody else would hear of it.
      switch listener.transport {
      case .udp: self.receive(listener)
      case .tcp: self.accept(number, listener)
      }
    }
  }

  private func watch(_ number: UInt64, _ listener: Listener) {
    guard !self.isDraining else { return }
    let error = cmesh_poll_add_listener(self.thread.poll, listener.descriptor, number)
    guard error < 0 else { return }
    self.logger.error(
      "a name listener cannot be watched", metadata: [LogKey.error: "\(String(cString: strerror(-error)))"])
  }

  /// Without descriptors left, accepting rests until the next tick instead of spinning; others close meanwhile.
  func pause(_ number: UInt64) {
    guard let listener = self.listeners[number] else { return }
    self.logger.warning("cannot accept a client of names; pausing")
    self.paused.insert(number)
    _ = cmesh_poll_remove(self.thread.poll, listener.descriptor)
  }

  private func unlisten(_ number: UInt64) {
    guard let listener = self.listeners.removeValue(forKey: number) else { return }
    if listener.transport == .udp { self.datagrams[listener.place] = nil }
    _ = cmesh_poll_remove(self.thread.poll, listener.descriptor)
    close(listener.descriptor)
  }

  func withdraw(namespace: UInt64) {
    self.perform(self.machine.withdraw(namespace: namespace))
    for (number, listener) in self.listeners where listener.place.namespace == namespace { self.unlisten(number) }
    for connection in Array(self.connections.values) where connection.client.namespace == namespace {
      self.drop(connection)
    }
    for place in Array(self.stocks.keys) where place.namespace == namespace {
      for socket in self.stocks[place]?.reset() ?? [] { close(socket) }
      self.stocks[place] = nil
    }
    self.suppliers[namespace] = nil
  }

  func retain(_ namespaces: Set<UInt64>) {
    let present = Set(self.listeners.values.map(\.place.namespace) + self.stocks.keys.map(\.namespace))
    for namespace in present.subtracting(namespaces) { self.withdraw(namespace: namespace) }
  }

  // MARK: the machine

  /// Does what the machine says, and what it says to the outcome. What comes up meanwhile is done after it, not within.
  func perform(_ actions: [ResolverAction]) {
    self.queue += actions
    guard !self.isPerforming else { return }
    self.isPerforming = true
    defer { self.isPerforming = false }
    while !self.queue.isEmpty {
      var actions: [ResolverAction] = []
      swap(&actions, &self.queue)
      for action in actions { self.perform(action) }
    }
  }

  private func perform(_ action: ResolverAction) {
    switch action {
    case .answer(let client, let bytes): self.answer(client, bytes)
    case .end(let attempt): self.end(attempt)
    case .ask(let attempt, let namespace, let upstream, let transport, let bytes):
      let place = NameServer.Place(namespace: namespace, isV4: upstream.address.isV4)
      if !self.ask(attempt, upstream, transport, bytes, place) {
        self.perform(self.machine.failed(attempt, now: self.now, using: &self.random))
      }
    }
  }

  private func receive(_ listener: Listener) {
    guard let zone = self.zone else { return }
    for _ in 0..<Self.batch {
      var from = cmesh_relay_address()
      let count = cmesh_datagram_receive(listener.descriptor, self.buffer.baseAddress, self.buffer.count, &from)
      if count == -Int(EAGAIN) { return }
      // An error of an answer that was sent before (ICMP): the next call finds the next datagram.
      guard count >= 0 else { continue }
      let client = DNSClient(
        namespace: listener.place.namespace, transport: .udp, peer: SocketEndpoint(from))
      self.perform(
        self.machine.received(
          Array(self.buffer[..<count]), from: client, zone: zone, now: self.now, using: &self.random))
    }
  }

  private func answer(_ client: DNSClient, _ bytes: [UInt8]) {
    switch client.transport {
    case .tcp:
      if let connection = self.connections[client.connection] { self.send(bytes, on: connection) }
    case .udp:
      let place = NameServer.Place(namespace: client.namespace, isV4: client.peer.address.isV4)
      guard let descriptor = self.datagrams[place] else { return }
      var address = client.peer.relayAddress
      // What does not fit into the socket now is lost, as datagrams are: the client asks again.
      _ = cmesh_datagram_send(descriptor, bytes, bytes.count, &address)
    }
  }
}

extension SocketEndpoint {
  init(_ address: cmesh_relay_address) {
    self.init(IPAddress(high: address.high, low: address.low), address.port)
  }
}
