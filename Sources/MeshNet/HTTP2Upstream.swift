import CMeshRelay
import Glibc
import MeshHTTP
import MeshRouting
import MeshSnapshot

/// A connection toward an upstream that is spoken HTTP/2 on, shared by the requests of one loop that one workload sends to one
/// endpoint. Streams are opened when the peer's first SETTINGS are there: then it is known how many it takes, and that it
/// speaks HTTP/2 at all. Those beyond wait for a connection of their own.
final class HTTP2Upstream: HTTP2Wire {
  let key: UpstreamPool.Key
  private let flow: AcceptedFlow
  private(set) var dial: UpstreamDial
  private var isConnected = false
  /// The peer's SETTINGS came.
  private(set) var stands = false
  /// Others, or it stood without a request: it may end as one is sent.
  private(set) var hasServed = false
  private var legs: [UInt32: HTTP2Leg] = [:]
  private var queued: [HTTP2Leg] = []
  private var idleSince: UInt64
  private let began: UInt64
  /// As whoever used it last has them.
  var terms: UpstreamTerms
  private let share: RoutingTable.Share
  private var permit: UpstreamRecord.Permit?
  private var resting: UpstreamRecord.Resting?
  /// Whoever waits is looked for soon.
  private var isOffering = false
  /// There may be no more connections.
  private var isOverloaded = false
  /// Requests that it was given.
  private var count: UInt64 = 0
  private var isUnwanted = false
  /// Who comes later than this to one that does not stand yet dials by itself.
  private static let sharedDial: UInt64 = 1000

  init(
    number: UInt64, key: UpstreamPool.Key, flow: AcceptedFlow, _ share: RoutingTable.Share, _ terms: UpstreamTerms,
    _ permit: consuming UpstreamRecord.Permit, loop: RelayLoop
  ) {
    self.key = key
    self.share = share
    self.terms = terms
    self.permit = consume permit
    self.flow = flow
    self.dial = UpstreamDial(loop: loop, member: number, flow: flow)
    self.idleSince = loop.now
    self.began = loop.now
    super.init(.client, number: number, loop: loop)
  }

  override var sourceWorkload: UInt32 { self.key.workload }
  /// The service port that it is counted for.
  var record: UpstreamRecord { self.share.record }
  override var namespaces: [UInt64] { [self.key.namespaceCookie] + (self.dial.namespace.map { [$0] } ?? []) }

  // MARK: dialling

  /// What its failure is told as, while it does not stand.
  var refusal: RoutingRefusal { self.isOverloaded ? .overflow : self.dial.refusal }

  func begin(client: CInt) {
    self.dialled(self.dial.begin(self.key.target, through: self.key.tunnel, client: client))
  }

  override func delivered(_ socket: CInt) -> Bool {
    guard let outcome = self.dial.delivered(socket, client: self.queued.first?.client ?? -1) else { return false }
    self.dialled(outcome)
    return true
  }

  private func dialled(_ outcome: UpstreamDial.Outcome) {
    switch outcome {
    case .waits: break
    case .failed, .noSocket: self.unreachable()
    case .connected(let socket), .connecting(let socket):
      guard self.attach(socket) else { return self.unreachable() }
      if case .connected = outcome { self.connected() }
    }
  }

  private func connected() {
    self.isConnected = true
    self.start()
  }

  override func ready(_ token: RelayToken, _ events: UInt32) {
    guard !self.isConnected, self.socket >= 0 else { return super.ready(token, events) }
    let isGone = events & (CMESH_HUNG_UP | CMESH_FAILED) != 0
    if cmesh_relay_error(self.socket) < 0 || isGone { return self.unreachable() }
    guard events & CMESH_WRITABLE != 0 else { return }
    self.connected()
    super.ready(token, events)
  }

  /// It could not be reached, or what answers there speaks no HTTP/2.
  private func unreachable() {
    let queued = self.queued
    self.queued = []
    self.close()
    for leg in queued { leg.unreachable() }
  }

  // MARK: streams

  /// Whether another request may use it.
  var hasRoom: Bool {
    guard self.phase == .open, !self.isSpent, self.legs.count + self.queued.count < self.terms.streams else {
      return false
    }
    guard self.stands else { return self.isYoung && self.queued.count < self.loop.http.http2.concurrentStreams }
    return self.queued.isEmpty && self.machine.canOpen
  }

  /// It ends with the requests that it has.
  private var isSpent: Bool {
    self.isUnwanted || self.count >= self.terms.requests || self.loop.now >= self.terms.end(of: self.began)
  }

  private var isResting: Bool { self.legs.isEmpty && self.queued.isEmpty }

  private var isYoung: Bool { self.loop.now < self.began + Self.sharedDial }

  func begin(_ leg: HTTP2Leg) {
    self.count += 1
    self.resting = nil
    guard self.stands else { return self.queued.append(leg) }
    self.open(leg)
  }

  private func open(_ leg: HTTP2Leg) {
    do throws(HTTP2SendRefusal) {
      let id = try self.open(leg.request, ends: leg.isWhole)
      self.legs[id] = leg
      leg.opened(id)
    } catch {
      leg.failed(error == .noStream ? .refused : .unsendable(error))
    }
  }

  private func openQueued() {
    guard self.machine.canOpen else { return self.unreachable() }
    while self.machine.canOpen, !self.queued.isEmpty { self.open(self.queued.removeFirst()) }
    guard !self.queued.isEmpty else { return }
    guard let permit = self.record.admitConnection(self.share.traffic?.limits) else {
      let queued = self.queued
      self.queued = []
      self.isOverloaded = true
      for leg in queued { leg.unreachable() }
      return
    }
    let sibling = self.loop.freshHTTP2Upstream(self.key, self.flow, self.share, permit)
    for leg in self.queued {
      leg.upstream = sibling
      sibling.begin(leg)
    }
    sibling.begin(client: self.queued.first?.client ?? -1)
    self.queued = []
  }

  /// Its user is done with it, or gives it up.
  func release(_ leg: HTTP2Leg, _ code: HTTP2ErrorCode) {
    guard leg.id > 0 else {
      self.queued.removeAll { $0 === leg }
      self.rested()
      // What takes so long is not kept for others.
      if self.queued.isEmpty, !self.stands, !self.isYoung { self.close() }
      return
    }
    guard self.legs.removeValue(forKey: leg.id) != nil else { return }
    self.reset(leg.id, code)
    self.rested()
  }

  private func rested() {
    defer { self.tellRoom() }
    guard self.legs.isEmpty else { return }
    self.idleSince = self.loop.now
    guard self.queued.isEmpty, self.stands else { return }
    self.hasServed = true
    if self.isSpent { super.drain() } else { self.resting = self.record.rests() }
  }

  /// Requests that wait may have the room that it has; not now, because whoever left it is not done with its turn.
  func tellRoom() {
    guard !self.isOffering, self.record.isWaitedFor else { return }
    self.isOffering = true
    let number = self.number
    self.loop.thread.post { _ = ($0.connections[number] as? HTTP2Upstream)?.offerRoom() }
  }

  /// True: it had some, or makes room for a request that cannot use it.
  func offerRoom() -> Bool {
    self.isOffering = false
    var isUsed = false
    while self.hasRoom, let place = self.loop.takeWaiting(for: self.key, isHTTP2: true, of: self.record),
      let user = place.user
    {
      user.roomLeft(place, on: self)
      isUsed = true
    }
    guard !isUsed, self.phase == .open, self.isResting, self.stands, self.record.isWaitedFor else { return isUsed }
    super.drain()
    return true
  }

  /// Nothing leads to its endpoint any more.
  func orphaned() {
    guard !self.isUnwanted else { return }
    self.isUnwanted = true
    if !self.isResting { return }
    if self.stands { super.drain() } else { self.close() }
  }

  override func resumeStream(_ id: UInt32) -> Bool { self.legs[id]?.resume() ?? false }

  override func handle(_ event: HTTP2Connection.Event, _ input: Span<UInt8>) {
    switch event {
    case .settings:
      if !self.stands {
        self.stands = true
        self.openQueued()
        self.rested()
      } else {
        self.wakeAll()
      }
    case .writable(0): self.wakeAll()
    case .writable(let id): self.wake(id)
    case .head(let id, let head, let ends):
      guard let leg = self.legs[id] else { break }
      leg.head(head, ends: ends)
      if ends { self.answered(leg) }
    case .data(let id, let range, let ends):
      guard let leg = self.legs[id] else { return self.consumed(range.count, of: id) }
      leg.body(input.extracting(range), ends: ends)
      if ends { self.answered(leg) }
    case .reset(let id, let code, let isUnprocessed): self.failed(id, isUnprocessed ? .refused : .reset(code))
    case .refused(let id, _, let reason): self.failed(id, .fault(reason))
    case .goAway, .pong, .needsInput, .failed, .closed: break
    }
  }

  private func wakeAll() {
    for (id, leg) in self.legs where leg.outflow.hasWork { self.wake(id) }
  }

  /// The answer is whole. Of a request that is not, nobody wants the rest.
  private func answered(_ leg: HTTP2Leg) {
    self.hasServed = true
    guard self.legs.removeValue(forKey: leg.id) != nil else { return }
    self.reset(leg.id, .cancel)
    self.rested()
  }

  private func failed(_ id: UInt32, _ failure: HTTP2LegFailure) {
    guard let leg = self.legs.removeValue(forKey: id) else { return }
    self.rested()
    leg.failed(failure)
  }

  // MARK: ends

  override func lost(_ reason: HTTP2Reason?) {
    let legs = self.legs.values
    let queued = self.queued
    self.legs = [:]
    self.queued = []
    for leg in queued { leg.unreachable() }
    for leg in legs { leg.failed(reason.map { .fault($0) } ?? .lost) }
  }

  override func ended() {
    self.dial.stopWaiting()
    self.resting = nil
    self.permit = nil
    self.loop.forget(self)
  }

  override func sweep(idleSweeps: Int?) {
    if self.isResting, !self.stands, !self.isYoung { return self.close() }
    super.sweep(idleSweeps: idleSweeps)
  }

  override var streamDeadline: UInt64? {
    self.isResting && self.stands ? self.terms.patience(since: self.idleSince, began: self.began) : nil
  }

  override func expireStreams(now: UInt64) {
    if let deadline = self.streamDeadline, deadline <= now { super.drain() }
  }

  /// Whoever uses it drains.
  override func drain() {}
}
