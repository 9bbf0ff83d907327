import CMeshRelay
import Glibc
import MeshBase
import MeshHTTP
import MeshRouting

/// One accepted connection that speaks HTTP/1.1, or turns out to speak HTTP/2 and becomes an `HTTP2Server`: gives the client's bytes to `HTTP1ServerConnection`, sends each request where
/// its route says, and the answer back. Confined to its loop.
///
/// Bytes are read into the loop's buffer, dealt with there, and passed on from there where the other side takes them; only what
/// cannot go on yet is kept. No side is read while what it sent before waits: that bounds what a connection holds.
///
/// This file: the client's socket. `+Request`: where a request goes, `+Answer`: what comes back, `+HTTP2`: on a stream of an
/// upstream of HTTP/2, `+Ending`: deadlines and ends.
final class HTTPConnection: LoopMember, HTTPDispatcher {
  enum Phase: Equatable {
    case open
    /// Nothing is parsed any more; closes when everything is written.
    case closing(lingers: Bool)
    /// Everything is written: what comes is dropped for a while.
    case lingering
    case over
  }

  /// Bytes of one turn, so that a fast connection does not starve the others of its loop.
  private static let turn = 1 << 20
  /// What waits for a side is at most this and one buffer.
  static let most = 64 << 10

  let number: UInt64
  let flow: AcceptedFlow
  let loop: RelayLoop
  /// -1: not there (any more).
  var client: CInt
  var server: HTTP1ServerConnection
  var phase = Phase.open
  /// To the client.
  var output = OutputQueue()
  /// Of the client, received and not dealt with yet, from `heldStart`.
  var held: [UInt8] = []
  var heldStart = 0
  var isReadable = false
  private var endIsNear = false
  /// The client sent FIN.
  private(set) var hasEnded = false

  /// The request that is open.
  var dispatch: HTTPDispatch
  /// No byte says yet which version the client speaks.
  private var isUngreeted = true
  /// What is left of the request's body is nobody's.
  var dropsBody = false
  /// All of the request was passed on.
  var requestHasEnded = false
  /// How the answer that is under way is written.
  var plan: HTTP1ServerConnection.AnswerPlan?

  /// Milliseconds: when something last moved, when the head that has begun has to be whole.
  var movedAt: UInt64
  var headBegan: UInt64?
  var lingerEnd: UInt64 = 0
  /// When the loop looks here next.
  var armedFor = UInt64.max
  private var isQueued = false
  /// The machine was not asked until it had no more to say.
  private var isOwed = false
  /// Bytes are being dealt with: nobody else may read into the loop's buffer.
  var isPumping = false
  private var wasReached = false

  init(number: UInt64, flow: AcceptedFlow, loop: RelayLoop, client: CInt) {
    self.number = number
    self.flow = flow
    self.loop = loop
    self.client = client
    self.server = HTTP1ServerConnection(limits: loop.http.limits)
    self.dispatch = HTTPDispatch(to: flow.original)
    self.movedAt = loop.now
  }

  var sourceWorkload: UInt32 { self.flow.sourceWorkload }
  /// An upstream answers for its own.
  var namespaces: [UInt64] { [self.flow.namespaceCookie] }
  var isClients: Bool { true }
  var upstream: HTTPUpstream? { self.dispatch.upstream }
  /// In place of `upstream`, for a request to an upstream of HTTP/2.
  var leg: HTTP2Leg? { self.dispatch.leg }

  func begin() {
    let token = RelayToken(connection: self.number, attempt: 0, side: .client)
    guard cmesh_poll_add_stream(self.loop.thread.poll, self.client, token.value) == 0 else { return self.abort() }
    self.arm()
  }

  func delivered(_ socket: CInt) -> Bool { false }

  // MARK: the client's socket

  func ready(_ token: RelayToken, _ events: UInt32) {
    guard self.client >= 0, token.side == .client else { return }
    if events & (CMESH_INPUT_ENDS | CMESH_HUNG_UP | CMESH_FAILED) != 0 { self.endIsNear = true }
    if self.endIsNear || events & CMESH_READABLE != 0 { self.isReadable = true }
    if events & CMESH_FAILED != 0 { return self.abort() }
    if events & CMESH_WRITABLE != 0, !self.output.isEmpty {
      self.flushClient()
      // It held up the answer.
      self.pumpUpstream()
    }
    self.pump()
  }

  func resume() {
    self.isQueued = false
    self.pumpUpstream()
    self.pump()
  }

  func runSoon() {
    guard !self.isQueued else { return }
    self.isQueued = true
    self.loop.runSoon(self)
  }

  /// Deals with what the client has sent, as far as it may go on. Never from inside of itself: whoever wants it there is
  /// served by the turn that runs.
  func pump() {
    guard !self.isPumping, self.phase != .over else { return }
    var turns = 16
    while true {
      self.isPumping = true
      self.pumpClient()
      self.isPumping = false
      let wasHeldUp = self.phase == .open && !self.mayParse
      self.flushUpstream()
      self.flushClient()
      // What held it up is gone, and no event tells.
      guard wasHeldUp, self.mayParse, self.isReadable || !self.held.isEmpty || self.isOwed else { break }
      turns -= 1
      if turns == 0 {
        self.runSoon()
        break
      }
    }
    self.arm()
  }

  private func pumpClient() {
    var taken = 0
    while self.phase == .open {
      if !self.held.isEmpty || self.hasEnded || self.isOwed { self.takeHeld() }
      guard self.phase == .open, self.mayRead else { break }
      guard taken < self.loop.kit.turn(Self.turn) else { return self.runSoon() }
      taken += self.receive()
    }
    if self.phase == .lingering { self.dropInput() }
  }

  private func takeHeld() {
    let held = self.held
    let start = self.heldStart
    self.held = []
    self.heldStart = 0
    let used = self.take(held.span.extracting(start..<held.count))
    guard self.phase == .open, start + used < held.count else { return }
    self.held = held
    self.heldStart = start + used
  }

  /// Whether the client's next bytes have somewhere to go.
  private var mayRead: Bool {
    self.isReadable && !self.hasEnded && self.mayParse
      && self.server.wantsRead(held: self.held.count - self.heldStart)
  }

  private var mayParse: Bool {
    if self.phase != .open || self.output.count >= Self.most { return false }
    guard self.dispatch.phase != .idle, !self.dropsBody else { return true }
    guard self.dispatch.phase != .dialling else { return false }
    return switch self.dispatch.way {
    case .none: false
    case .http1(let upstream): upstream.output.count < Self.most
    case .http2(let leg): leg.outflow.count < Self.most
    }
  }

  /// Receives once, and deals with it. Returns the bytes.
  private func receive() -> Int {
    let buffer = self.loop.kit.buffer
    let count = cmesh_relay_receive(self.client, buffer.baseAddress, buffer.count)
    guard count > 0 else {
      self.isReadable = false
      if count == 0 {
        self.hasEnded = true
      } else if count != -Int(EAGAIN) {
        self.abort()
      }
      return 0
    }
    if count < buffer.count, !self.endIsNear { self.isReadable = false }
    self.movedAt = self.loop.now
    self.loop.counters.sentBytes &+= UInt64(count)
    guard self.held.isEmpty else {
      if self.heldStart > 0 { self.held.removeFirst(self.heldStart) }
      self.heldStart = 0
      self.held.append(contentsOf: buffer[..<count])
      return count
    }
    let bytes = UnsafeBufferPointer(rebasing: UnsafeRawBufferPointer(buffer).bindMemory(to: UInt8.self)[..<count])
    let used = self.take(Span(_unsafeElements: bytes))
    if used < count, self.phase == .open { self.held = Array(bytes[used...]) }
    return count
  }

  /// Gives the machine bytes from the first that it has not consumed. Returns how many it consumed.
  private func take(_ input: Span<UInt8>) -> Int {
    if self.isUngreeted, !self.greets(input) { return self.phase == .over ? input.count : 0 }
    var at = 0
    self.isOwed = false
    while self.mayParse {
      let rest = input.extracting(at..<input.count)
      let step = self.server.receive(rest, ended: self.hasEnded)
      switch step.event {
      case .needsInput:
        if step.consumed == 0 {
          self.noteHead(isBegun: !self.server.isIdle && self.server.request == nil)
          if self.headBegan != nil, self.loop.strain.now >= .shed { self.answerLocally(.overloaded) }
          return at
        }
      case .waits: return at
      case .request:
        self.requestBegan(rest)
        self.noteHead(isBegun: false)
      case .body(let range): self.forwardBody(rest, range)
      case .requestEnd(let from): self.requestEnded(rest.extracting(from..<rest.count))
      case .refused(let fault): self.refused(fault)
      case .closed: self.finish(lingers: false)
      case .tunnel: break
      }
      at += step.consumed
    }
    self.isOwed = true
    return at
  }

  /// Whether the first bytes are not, and cannot become, those of HTTP/2.
  private func greets(_ input: Span<UInt8>) -> Bool {
    guard !input.isEmpty else { return true }
    switch HTTP2Connection.greeting(input) {
    case .other: self.isUngreeted = false
    case .beginning:
      self.isOwed = false
      // Who ends the stream here sent the beginning of a method.
      guard self.hasEnded else {
        self.noteHead(isBegun: true)
        return false
      }
      self.isUngreeted = false
    case .preface:
      self.becomeServer(received: input)
      return false
    }
    return true
  }

  private func noteHead(isBegun: Bool) {
    if !isBegun { self.headBegan = nil } else if self.headBegan == nil { self.headBegan = self.loop.now }
  }

  /// What comes after the last answer is dropped, so that no RST takes the answer from the client.
  func dropInput() {
    let buffer = self.loop.kit.buffer
    for _ in 0..<16 where self.isReadable {
      let count = cmesh_relay_receive(self.client, buffer.baseAddress, buffer.count)
      if count == -Int(EAGAIN) { self.isReadable = false }
      if count == 0 || (count < 0 && count != -Int(EAGAIN)) { return self.close() }
      if count > 0, count < buffer.count, !self.endIsNear { self.isReadable = false }
    }
    if self.isReadable { self.runSoon() }
  }

  // MARK: output

  func flushClient() {
    guard self.client >= 0 else { return }
    let before = self.output.sent
    let outcome = self.output.flush(to: self.client)
    if self.output.sent != before { self.movedAt = self.loop.now }
    switch outcome {
    case .failed: self.abort()
    case .full: break
    case .empty: if case .closing(let lingers) = self.phase { self.written(lingers: lingers) }
    }
    if let leg = self.leg, self.output.count < Self.most { leg.consumed() }
  }

  func flushUpstream() {
    guard let upstream = self.upstream, upstream.isOpen, !upstream.isDeaf else { return }
    let before = upstream.output.sent
    let outcome = upstream.output.flush(to: upstream.descriptor)
    if upstream.output.sent != before { self.movedAt = self.loop.now }
    if outcome == .failed { self.upstreamDeaf(upstream) }
  }

  /// It takes no more. What it said before may be the answer: it is read first, and the end comes by an event.
  func upstreamDeaf(_ upstream: HTTPUpstream) {
    upstream.isDeaf = true
    upstream.output = OutputQueue()
    self.dropsBody = true
    upstream.isReadable = true
    self.runSoon()
  }

  /// A connection that reached an upstream is counted once.
  func reached() {
    guard !self.wasReached else { return }
    self.wasReached = true
    self.loop.counters.relayed += 1
  }
}
