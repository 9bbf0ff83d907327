import CMeshRelay
import Glibc
import MeshBase
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// A connection toward an upstream that is spoken HTTP/1.1 on: dials, serves one request after another for whoever uses it, and
/// waits in its loop's pool between them. `+Answer`: what it says.
final class HTTPUpstream: LoopMember {
  let number: UInt64
  let key: UpstreamPool.Key
  let loop: RelayLoop
  private(set) var descriptor: CInt = -1
  private(set) var dial: UpstreamDial
  var machine: HTTP1ClientConnection
  var output = OutputQueue()
  /// Received and not understood yet: the beginning of a head.
  var held: [UInt8] = []
  /// The socket had an event since it was last found empty (edge-triggered).
  var isReadable = false
  /// FIN, RST or an error was announced: a short read is not the last then (epoll(7)).
  private(set) var endIsNear = false
  var hasEnded = false
  /// It takes no more, but what it said before may still be read.
  var isDeaf = false
  private(set) var isOpen = false
  /// Requests.
  private var served: UInt64 = 0
  private let began: UInt64
  /// Milliseconds that one may take to stand that no request waits for.
  private static let warmTimeout: UInt64 = 5000
  /// As whoever uses it now has them.
  var terms: UpstreamTerms
  /// The service port that it is counted for.
  let record: UpstreamRecord
  private var permit: UpstreamRecord.Permit?
  private var resting: UpstreamRecord.Resting?
  /// While it waits for a request: until when.
  private var patience: UInt64 = 0
  /// When the loop looks here next.
  private var armedFor = UInt64.max
  /// The table that the endpoint was last seen in.
  private var tableNumber: UInt64
  private var isQueued = false
  /// Whose request it serves, or is to serve. Nil: it is in the pool, or over.
  private(set) var user: (any HTTPUpstreamUser)?

  init(
    number: UInt64, key: UpstreamPool.Key, flow: AcceptedFlow, _ record: UpstreamRecord, _ terms: UpstreamTerms,
    _ permit: consuming UpstreamRecord.Permit, user: (any HTTPUpstreamUser)?, loop: RelayLoop
  ) {
    self.number = number
    self.began = loop.now
    self.terms = terms
    self.record = record
    self.permit = consume permit
    self.tableNumber = loop.tableNumber
    self.key = key
    self.loop = loop
    self.user = user
    self.dial = UpstreamDial(loop: loop, member: number, flow: flow)
    self.machine = HTTP1ClientConnection(limits: loop.http.limits)
  }

  var sourceWorkload: UInt32 { self.key.workload }
  var namespaces: [UInt64] { [self.key.namespaceCookie] + (self.dial.namespace.map { [$0] } ?? []) }
  var isClients: Bool { false }

  // MARK: dialling

  func begin(client: CInt) {
    self.dialled(self.dial.begin(self.key.target, through: self.key.tunnel, client: client))
  }

  func delivered(_ socket: CInt) -> Bool {
    guard let user = self.user, let outcome = self.dial.delivered(socket, client: user.client) else { return false }
    self.dialled(outcome)
    return true
  }

  private func dialled(_ outcome: UpstreamDial.Outcome) {
    switch outcome {
    // Without a request there is nothing to wait for: the next one asks again.
    case .waits: if self.user == nil { self.close() }
    case .failed, .noSocket: self.failed()
    case .connected(let socket), .connecting(let socket):
      self.descriptor = socket
      let token = RelayToken(connection: self.number, attempt: 0, side: .upstream)
      guard cmesh_poll_add_stream(self.loop.thread.poll, socket, token.value) == 0 else { return self.failed() }
      if case .connected = outcome { self.opened() }
    }
  }

  private func opened() {
    self.isOpen = true
    guard let user = self.user else { return self.rest() }
    user.upstreamOpened(self)
  }

  /// It could not be reached.
  private func failed() {
    let user = self.user
    self.close()
    user?.upstreamUnreachable(self)
  }

  // MARK: events

  func ready(_ token: RelayToken, _ events: UInt32) {
    guard self.descriptor >= 0 else { return }
    let isGone = events & (CMESH_HUNG_UP | CMESH_FAILED) != 0
    if !self.isOpen {
      if cmesh_relay_error(self.descriptor) < 0 || isGone { return self.failed() }
      if events & CMESH_WRITABLE != 0 { self.opened() }
      return
    }
    if isGone || events & CMESH_INPUT_ENDS != 0 { self.endIsNear = true }
    if self.endIsNear || events & CMESH_READABLE != 0 { self.isReadable = true }
    guard let user = self.user else {
      // Nobody asked: it ended, or what it says belongs to no request.
      if self.isReadable { self.close() }
      return
    }
    user.upstreamReady(self, isWritable: events & CMESH_WRITABLE != 0)
  }

  // MARK: use

  /// It has waited before, so that it may end as a request is sent.
  private(set) var hasRested = false

  /// Whether it may be used for another request.
  func isFit(now: UInt64) -> Bool { self.machine.isIdle && now < self.patience }

  /// Whether the next request can be sent: nothing has come meanwhile that no event has told yet.
  var isQuiet: Bool { self.machine.isIdle && cmesh_relay_has_input(self.descriptor) == 0 }

  func take(for user: any HTTPUpstreamUser) {
    self.user = user
    self.resting = nil
  }

  /// It waits for the next request.
  private func rest() {
    self.user = nil
    self.hasRested = true
    self.patience = self.terms.patience(since: self.loop.now, began: self.began)
    // Before anybody is looked for who waits: who begins to wait looks the other way round.
    self.resting = self.record.rests()
    guard self.output.isEmpty, self.held.isEmpty, !self.isReadable, !self.hasEnded, self.served < self.terms.requests,
      self.loop.now < self.patience, self.isWanted, self.loop.pool.put(self.number, self.key, until: self.patience)
    else { return self.close() }
    self.arm()
    guard self.record.isWaitedFor else { return }
    // Not now: whoever used it is not done with its turn.
    let number = self.number
    self.loop.thread.post { ($0.connections[number] as? HTTPUpstream)?.serveWaiting() }
  }

  /// At rest while requests wait: it serves the first that can use it, or makes room for one that cannot.
  func serveWaiting() {
    guard self.user == nil, self.isOpen, self.descriptor >= 0, self.record.isWaitedFor else { return }
    self.loop.pool.remove(self.number, self.key)
    guard self.isFit(now: self.loop.now), self.isQuiet,
      let place = self.loop.takeWaiting(for: self.key, isHTTP2: false, of: self.record), let user = place.user
    else { return self.close() }
    user.roomLeft(place, on: self)
  }

  /// Something still leads to its endpoint. Asked once a table.
  private var isWanted: Bool {
    guard self.tableNumber != self.loop.tableNumber else { return true }
    self.tableNumber = self.loop.tableNumber
    return self.loop.table?.leads(to: self.key.target) ?? true
  }

  /// Later ends the sweep finds.
  private func arm() {
    guard self.patience < self.armedFor, self.patience <= self.loop.now + self.loop.sweepInterval else { return }
    self.armedFor = self.patience
    self.loop.deadlines.add(self.patience, self.number)
  }

  func expire(now: UInt64) {
    if self.armedFor <= now { self.armedFor = .max }
    guard self.user == nil, self.descriptor >= 0 else { return }
    if self.patience <= now { self.close() } else { self.arm() }
  }

  /// Its request has been answered.
  func done(isReusable: Bool) {
    self.held = []
    self.served += 1
    if isReusable { self.rest() } else { self.close() }
  }

  /// More of the request's body.
  func say(_ input: Span<UInt8>, as framing: HTTP1Framing) {
    if framing == .chunked { HTTP1Writer.chunkBegin(input.count, to: &self.output.bytes) }
    self.output.bytes.append(input)
    if framing == .chunked { HTTP1Writer.chunkEnd(to: &self.output.bytes) }
  }

  /// Both its streams are whole, or nobody cares: RST if it still sends.
  func close() {
    self.user = nil
    self.dial.stopWaiting()
    self.loop.pool.remove(self.number, self.key)
    if self.descriptor >= 0 {
      if self.hasEnded { cmesh_relay_close(self.descriptor) } else { cmesh_relay_reset(self.descriptor) }
    }
    self.descriptor = -1
    self.resting = nil
    self.permit = nil
    self.loop.ended(self)
  }

  /// What counts the connection, for whoever has it from here on.
  func surrenderPermit() -> UpstreamRecord.Permit? { self.permit.take() }

  /// The socket, for a tunnel: whoever calls owns it.
  func surrender() -> CInt {
    let descriptor = self.descriptor
    _ = cmesh_poll_remove(self.loop.thread.poll, descriptor)
    self.user = nil
    self.descriptor = -1
    self.loop.ended(self)
    return descriptor
  }

  func resume() {
    self.isQueued = false
    self.user?.upstreamReady(self, isWritable: true)
  }

  /// Something may be written or read, and no event tells; not now, because the loop's buffer may be in use.
  func runSoon() {
    guard !self.isQueued else { return }
    self.isQueued = true
    self.loop.runSoon(self)
  }

  func drain() {}

  func sweep(idleSweeps: Int?) {
    guard self.user == nil else { return }
    if !self.isOpen, self.began + Self.warmTimeout <= self.loop.now { return self.close() }
    self.output.rest()
    self.held = []
  }

  func abort() {
    guard let user = self.user else { return self.close() }
    // What was for the workload or namespace that is gone ends with it, and so does its client's connection.
    user.account.flags.insert(.upstreamConnectionTermination)
    user.abort()
  }
}
