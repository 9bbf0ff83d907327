import CMeshRelay
import Glibc
import MeshHTTP

/// One socket that HTTP/2 is spoken on, in either role: gives what comes to the machine, and tells its heirs what that means.
/// Confined to its loop.
///
/// It is read while what waits for its peer is little, whoever that holds up: streams have windows of their own. What a stream
/// is told and cannot pass on stays with the stream, and the peer's window for it closed, until it is told back by `consumed`.
/// Whoever writes here, on behalf of another socket's event, leaves the sending to `runSoon`: the loop's buffer is in use.
class HTTP2Wire: LoopMember {
  enum Phase: Equatable {
    case open
    /// GOAWAY is written: closes when everything is sent.
    case closing
    /// Everything is sent: what comes is dropped for a while, so that no RST takes the GOAWAY from the peer.
    case lingering
    case over
  }

  /// Bytes of one turn.
  private static let turn = 1 << 20
  /// Behind so much nothing more is written.
  static let most = 64 << 10

  /// Behind so much nothing more is read. More than streams' data alone can be, or two proxies that send each other much would both
  /// wait for the other to read.
  private let mostUnanswered: Int

  let number: UInt64
  let loop: RelayLoop
  private let side: RelaySide
  /// -1: not there (any more).
  private(set) var socket: CInt = -1
  var machine: HTTP2Connection
  private(set) var output = OutputQueue()
  private(set) var phase = Phase.open
  private var held: [UInt8] = []
  /// Nil: bytes go as they are.
  private(set) var tls: TLSStream?
  private var handshakeEnd: UInt64 = 0
  /// Bytes that wait for the peer.
  final var pending: Int { self.output.count + (self.tls?.output.count ?? 0) }
  var heldBytes: Int { self.held.count + self.pending }
  private var isReadable = false
  private var endIsNear = false
  private var hasEnded = false
  private(set) var isPumping = false
  private var isQueued = false
  /// Streams that have more to say than the output took.
  private var waiting: [UInt32] = []
  /// When something was last received, and when the peer last took something that waited for it.
  private(set) var movedAt: UInt64
  private var takenAt: UInt64
  /// Nothing was left when it was last sent.
  private var wasEmpty = true
  private var lingerEnd: UInt64 = 0
  private var armedFor = UInt64.max

  /// - limits: nil: those of requests.
  init(_ role: HTTP2Connection.Role, number: UInt64, loop: RelayLoop, limits: HTTP2Limits? = nil) {
    let limits = limits ?? loop.http.http2
    self.mostUnanswered = Self.most + 2 * limits.largestDataFrame
    self.number = number
    self.loop = loop
    self.side = role == .server ? .client : .upstream
    self.machine = HTTP2Connection(role, limits: limits)
    self.movedAt = loop.now
    self.takenAt = loop.now
  }

  // MARK: for heirs

  var sourceWorkload: UInt32 { 0 }
  var namespaces: [UInt64] { [] }
  var isClients: Bool { false }
  /// Of its streams; the machine's own is added.
  var streamDeadline: UInt64? { nil }

  func delivered(_ socket: CInt) -> Bool { false }
  func handle(_ event: HTTP2Connection.Event, _ input: Span<UInt8>) {}
  /// Writes more of what the stream has to say. True: the output took not all of it.
  func resumeStream(_ id: UInt32) -> Bool { false }
  /// All streams are gone: the connection ended (nil) or failed.
  func lost(_ reason: HTTP2Reason?) {}
  func expireStreams(now: UInt64) {}
  /// TLS ended it.
  func failed(_ failure: TLSFailure) {}
  func drain() {
    self.machine.drain(now: self.loop.now, to: &self.output.bytes)
    self.runSoon()
  }

  // MARK: the socket

  /// `received`: what was read of it already.
  final func attach(_ socket: CInt, received: [UInt8] = []) -> Bool {
    self.socket = socket
    self.held = received
    let token = RelayToken(connection: self.number, attempt: 0, side: self.side)
    return cmesh_poll_add_stream(self.loop.thread.poll, socket, token.value) == 0
  }

  final func start() {
    self.machine.start(now: self.loop.now, to: &self.output.bytes)
    self.movedAt = self.loop.now
    self.runSoon()
  }

  /// Begins with a handshake; `start` follows by itself.
  final func secure(_ tls: TLSStream) {
    self.tls = tls
    self.handshakeEnd = self.loop.now + Self.handshakeTimeout
    self.shake(tls)
    self.runSoon()
  }

  private static let handshakeTimeout: UInt64 = 10_000

  private func shake(_ tls: TLSStream) {
    switch tls.handshake() {
    case .needsInput: break
    case .done: self.start()
    case .failed(let failure): self.endTLS(failure)
    }
  }

  func ready(_ token: RelayToken, _ events: UInt32) {
    guard self.socket >= 0 else { return }
    if events & (CMESH_INPUT_ENDS | CMESH_HUNG_UP | CMESH_FAILED) != 0 { self.endIsNear = true }
    if self.endIsNear || events & CMESH_READABLE != 0 { self.isReadable = true }
    if events & CMESH_FAILED != 0 { return self.broken() }
    if events & CMESH_WRITABLE != 0 { self.push() }
    self.pump()
  }

  final func resume() {
    self.isQueued = false
    guard self.socket >= 0 else { return }
    self.push()
    self.pump()
  }

  final func runSoon() {
    guard !self.isQueued, self.phase != .over else { return }
    self.isQueued = true
    self.loop.runSoon(self)
  }

  /// Reads, as long as the answers to it go away.
  private func pump() {
    self.isPumping = true
    if !self.held.isEmpty, self.phase == .open { self.takeHeld() }
    var taken = 0
    while self.phase == .open, self.isReadable, !self.hasEnded {
      if self.pending >= Self.most { self.flush() }
      guard self.pending < self.mostUnanswered else { break }
      guard taken < self.loop.kit.turn(Self.turn) else {
        self.runSoon()
        break
      }
      taken += self.receive()
    }
    self.isPumping = false
    if self.phase == .lingering { self.dropInput() }
    self.push()
    self.settle()
  }

  private func receive() -> Int {
    let buffer = self.loop.kit.buffer
    let count = cmesh_relay_receive(self.socket, buffer.baseAddress, buffer.count)
    guard count > 0 else {
      self.isReadable = false
      if count == 0 {
        guard self.tls == nil else {
          self.endTLS(.truncated)
          return 0
        }
        self.hasEnded = true
        self.takeHeld()
      } else if count != -Int(EAGAIN) {
        self.broken()
      }
      return 0
    }
    if count < buffer.count, !self.endIsNear { self.isReadable = false }
    self.movedAt = self.loop.now
    self.count(received: count)
    let received = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
    if let tls { self.decrypt(received, tls) } else { self.take(received) }
    return count
  }

  /// Several records at a time.
  private func decrypt(_ received: UnsafeRawBufferPointer, _ tls: TLSStream) {
    tls.feed(received)
    defer { tls.forgetInput() }
    if !tls.isOpen { self.shake(tls) }
    let plain = self.loop.kit.plain
    while tls.isOpen, self.phase == .open {
      var filled = 0
      var read = TLSStream.Read.bytes(0)
      while plain.count - filled >= TLSStream.largestRecord {
        read = tls.read(into: UnsafeMutableRawBufferPointer(rebasing: plain[filled...]))
        guard case .bytes(let count) = read else { break }
        filled += count
      }
      if filled > 0 { self.take(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(plain)[..<filled])) }
      switch read {
      case .bytes: break
      case .needsInput: return
      case .ended:
        self.hasEnded = true
        return self.takeHeld()
      case .failed(let failure): return self.endTLS(failure)
      }
    }
  }

  private func take(_ received: UnsafeRawBufferPointer) {
    guard self.held.isEmpty else {
      self.held.append(contentsOf: received)
      return self.takeHeld()
    }
    let bytes = received.bindMemory(to: UInt8.self)
    let used = self.take(Span(_unsafeElements: bytes))
    if used < bytes.count, self.phase == .open { self.held = Array(bytes[used...]) }
  }

  private func count(received count: Int) {
    if self.side == .client {
      self.loop.counters.sentBytes &+= UInt64(count)
    } else {
      self.loop.counters.receivedBytes &+= UInt64(count)
    }
  }

  private func takeHeld() {
    let held = self.held
    self.held = []
    let used = self.take(held.span)
    if used < held.count, self.phase == .open { self.held = Array(held[used...]) }
  }

  /// Gives the machine bytes from the first that it has not consumed. Returns how many it consumed.
  private func take(_ input: Span<UInt8>) -> Int {
    var at = 0
    while self.phase == .open {
      let rest = input.extracting(at..<input.count)
      let step = self.machine.receive(rest, now: self.loop.now, ended: self.hasEnded, to: &self.output.bytes)
      at += step.consumed
      switch step.event {
      case .needsInput: if step.consumed == 0 { return at }
      case .failed(_, let reason): self.fail(reason)
      case .closed:
        self.lost(nil)
        self.close()
      default: self.handle(step.event, rest)
      }
    }
    return input.count
  }

  // MARK: output

  /// Sends what waits, and lets streams say more.
  private func push() {
    for _ in 0..<64 {
      self.flush()
      guard self.phase == .open, !self.waiting.isEmpty, self.pending < Self.most else { return }
      self.resumeWaiting()
    }
    self.runSoon()
  }

  private func flush() {
    guard self.socket >= 0 else { return }
    let before = self.sentBytes
    let outcome = self.tls.map { self.flush($0) } ?? self.output.flush(to: self.socket)
    if self.wasEmpty || self.sentBytes != before { self.takenAt = self.loop.now }
    self.wasEmpty = outcome == .empty
    switch outcome {
    case .failed: self.broken()
    case .full: break
    case .empty: if self.phase == .closing { self.written() }
    }
  }

  private var sentBytes: UInt64 { self.tls?.sentBytes ?? self.output.sent }

  /// Makes records of what waits when those before are sent, so that many go in one call.
  private func flush(_ tls: TLSStream) -> OutputQueue.Outcome {
    while true {
      let outcome = tls.flush(to: self.socket)
      guard outcome == .empty, tls.isOpen, !self.output.isEmpty else { return outcome }
      guard self.output.drain({ tls.write($0) }) else { return .failed }
    }
  }

  /// One frame a stream and turn, so that they share what the peer takes.
  private func resumeWaiting() {
    var left = self.waiting.count
    while left > 0, self.phase == .open, self.pending < Self.most {
      left -= 1
      let id = self.waiting.removeFirst()
      if self.resumeStream(id) { self.waiting.append(id) }
    }
  }

  /// The stream has something to say that may go now.
  final func wake(_ id: UInt32) {
    guard !self.waiting.contains(id) else { return }
    self.waiting.append(id)
    self.runSoon()
  }

  /// Writes what the stream's flow holds, at most a frame. Returns the bytes, and whether the output would not take more.
  final func write(_ flow: inout HTTP2Outflow, of id: UInt32) -> (count: Int, isFull: Bool) {
    guard self.phase == .open, flow.hasWork else { return (0, false) }
    guard self.pending < Self.most else { return (0, true) }
    var written = 0
    if flow.count > 0 || flow.endsWithData {
      guard
        let grant = try? self.machine.sendData(flow.count, of: id, ends: flow.endsWithData, to: &self.output.bytes)
      else { return (0, false) }
      self.output.bytes += flow.prefix(grant.count)
      flow.drop(grant.count)
      written = grant.count
      if grant.ends { flow.ended() }
      if grant.count == 0, !grant.ends { return (0, false) }
    }
    if flow.count == 0, case .trailers(let block) = flow.end {
      do {
        try self.machine.send(block, on: id, ends: true, to: &self.output.bytes)
      } catch {
        self.machine.reset(id, .internalError, to: &self.output.bytes)
      }
      flow.ended()
    }
    self.runSoon()
    return (written, flow.hasWork && self.machine.sendable(id) > 0)
  }

  /// Passes bytes on, from where they are if they may go at once. Returns how many went.
  final func send(_ input: Span<UInt8>, _ flow: inout HTTP2Outflow, of id: UInt32) -> Int {
    var at = 0
    if flow.count == 0 {
      while self.phase == .open, at < input.count, self.output.count < Self.most,
        let grant = try? self.machine.sendData(input.count - at, of: id, ends: false, to: &self.output.bytes),
        grant.count > 0
      {
        self.output.bytes.append(input.extracting(at..<at + grant.count))
        at += grant.count
      }
    }
    if at < input.count {
      flow.append(input.extracting(at..<input.count))
      if self.machine.sendable(id) > 0 { self.wake(id) }
    }
    self.runSoon()
    return at
  }

  final func send(_ block: FieldBlock, on id: UInt32, ends: Bool) throws(HTTP2SendRefusal) {
    try self.machine.send(block, on: id, ends: ends, to: &self.output.bytes)
    self.runSoon()
  }

  final func open(_ request: FieldBlock, ends: Bool) throws(HTTP2SendRefusal) -> UInt32 {
    let id = try self.machine.open(request, ends: ends, to: &self.output.bytes)
    self.runSoon()
    return id
  }

  /// Asks whether the peer is there.
  final func ping() {
    _ = self.machine.ping(now: self.loop.now, to: &self.output.bytes)
    self.runSoon()
  }

  final func reset(_ id: UInt32, _ code: HTTP2ErrorCode) {
    self.machine.reset(id, code, to: &self.output.bytes)
    self.runSoon()
  }

  final func consumed(_ count: Int, of id: UInt32) {
    guard count > 0, self.phase == .open else { return }
    self.machine.consumed(count, of: id, to: &self.output.bytes)
    if !self.output.isEmpty { self.runSoon() }
  }

  // MARK: time

  private var deadline: UInt64? {
    switch self.phase {
    case .over: return nil
    case .lingering: return self.lingerEnd
    case .closing: return self.takenAt + self.loop.http.stallTimeout
    case .open: if let tls, !tls.isOpen { return self.handshakeEnd }
    }
    var first = min(self.machine.deadline ?? .max, self.streamDeadline ?? .max)
    if !self.wasEmpty { first = min(first, self.takenAt + self.loop.http.stallTimeout) }
    return first == .max ? nil : first
  }

  /// Later deadlines the sweep finds.
  final func arm() {
    guard let deadline = self.deadline, deadline < self.armedFor, deadline <= self.loop.now + self.loop.sweepInterval
    else { return }
    self.armedFor = deadline
    self.loop.deadlines.add(deadline, self.number)
  }

  final func expire(now: UInt64) {
    if self.armedFor <= now { self.armedFor = .max }
    guard let deadline = self.deadline, deadline <= now else { return self.arm() }
    switch self.phase {
    case .over: return
    case .lingering: return self.close()
    case .closing: return self.broken()
    case .open:
      if let tls, !tls.isOpen {
        self.endTLS(.handshakeTimeout)
        return
      }
    }
    if !self.wasEmpty, self.takenAt + self.loop.http.stallTimeout <= now {
      self.loop.count("stalled")
      return self.broken()
    }
    if case .failed(_, let reason) = self.machine.expire(now: now, to: &self.output.bytes) {
      self.fail(reason)
    } else {
      self.expireStreams(now: now)
    }
    self.push()
    self.settle()
  }

  /// A client that takes nothing of what waits for it is cut before the kernel ends everybody's.
  func relieve(_ strain: Strain) {
    guard strain >= .full, self.side == .client, self.phase == .open, !self.wasEmpty,
      self.takenAt + RelayLoop.strainPatience <= self.loop.now
    else { return }
    self.loop.count(HTTPLocalAnswer.overloaded.reason)
    self.broken()
  }

  func sweep(idleSweeps: Int?) {
    if self.machine.openStreams == 0 || self.movedAt + self.loop.sweepInterval <= self.loop.now {
      self.output.rest()
      self.tls?.rest()
    }
    self.expire(now: self.loop.now)
  }

  // MARK: ends

  /// Whoever has nothing more to do goes.
  private func settle() {
    if self.phase == .open, self.machine.isDone { self.finish() }
    if self.phase == .closing, self.pending == 0 { self.written() }
    self.arm()
  }

  private func fail(_ reason: HTTP2Reason) {
    guard self.phase == .open else { return }
    self.loop.count("http2_" + reason.rawValue)
    self.finish()
    self.held = []
    self.lost(reason)
    self.runSoon()
  }

  /// The peer gets the alert, if its socket takes it.
  private func endTLS(_ failure: TLSFailure) {
    guard self.phase == .open else { return }
    self.loop.count(failure.rawValue)
    self.failed(failure)
    if let tls { _ = tls.flush(to: self.socket) }
    self.lost(nil)
    self.end(byReset: failure == .truncated)
  }

  /// Closes when everything is sent.
  private func finish() {
    self.phase = .closing
    self.takenAt = self.loop.now
  }

  private func written() {
    // A clean end is said before it is one.
    if let tls, tls.close() { return self.flush() }
    guard self.phase == .closing, !self.hasEnded else { return self.close() }
    shutdown(self.socket, CInt(SHUT_WR))
    self.phase = .lingering
    self.lingerEnd = self.loop.now + self.loop.http.lingerTimeout
    self.runSoon()
  }

  private func dropInput() {
    let buffer = self.loop.kit.buffer
    for _ in 0..<16 where self.isReadable {
      let count = cmesh_relay_receive(self.socket, buffer.baseAddress, buffer.count)
      if count == -Int(EAGAIN) { self.isReadable = false }
      if count == 0 || (count < 0 && count != -Int(EAGAIN)) { return self.close() }
      if count > 0, count < buffer.count, !self.endIsNear { self.isReadable = false }
    }
    if self.isReadable { self.runSoon() }
  }

  /// The socket is of no use any more.
  private func broken() {
    if self.phase == .open { self.lost(nil) }
    self.end(byReset: true)
  }

  final func close() { self.end(byReset: false) }

  func abort() { self.broken() }

  func withdraw() { self.broken() }

  /// Ends with GOAWAY. What the socket does not take of it at once nobody waits for.
  final func dismiss() {
    guard self.phase == .open else { return self.broken() }
    self.machine.dismiss(to: &self.output.bytes)
    self.finish()
    self.held = []
    self.lost(nil)
    self.flush()
    guard self.pending == 0 else { return self.broken() }
    self.settle()
  }

  private func end(byReset: Bool) {
    guard self.phase != .over else { return }
    self.phase = .over
    if self.socket >= 0 { if byReset { cmesh_relay_reset(self.socket) } else { cmesh_relay_close(self.socket) } }
    self.socket = -1
    self.held = []
    self.output = OutputQueue()
    self.tls = nil
    self.waiting = []
    self.ended()
    self.loop.ended(self)
  }

  /// It is over.
  func ended() {}
}
