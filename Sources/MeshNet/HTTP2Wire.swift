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

  let number: UInt64
  let loop: RelayLoop
  private let side: RelaySide
  /// -1: not there (any more).
  private(set) var socket: CInt = -1
  var machine: HTTP2Connection
  private(set) var output = OutputQueue()
  private(set) var phase = Phase.open
  private var held: [UInt8] = []
  var heldBytes: Int { self.held.count + self.output.count }
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

  init(_ role: HTTP2Connection.Role, number: UInt64, loop: RelayLoop) {
    self.number = number
    self.loop = loop
    self.side = role == .server ? .client : .upstream
    self.machine = HTTP2Connection(role, limits: loop.http.http2)
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
      if self.output.count >= Self.most { self.flush() }
      guard self.output.count < Self.most else { break }
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
    guard self.held.isEmpty else {
      self.held.append(contentsOf: buffer[..<count])
      self.takeHeld()
      return count
    }
    let bytes = UnsafeBufferPointer(rebasing: UnsafeRawBufferPointer(buffer).bindMemory(to: UInt8.self)[..<count])
    let used = self.take(Span(_unsafeElements: bytes))
    if used < count, self.phase == .open { self.held = Array(bytes[used...]) }
    return count
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
      guard self.phase == .open, !self.waiting.isEmpty, self.output.count < Self.most else { return }
      self.resumeWaiting()
    }
    self.runSoon()
  }

  private func flush() {
    guard self.socket >= 0 else { return }
    let before = self.output.sent
    let outcome = self.output.flush(to: self.socket)
    if self.wasEmpty || self.output.sent != before { self.takenAt = self.loop.now }
    self.wasEmpty = outcome == .empty
    switch outcome {
    case .failed: self.broken()
    case .full: break
    case .empty: if self.phase == .closing { self.written() }
    }
  }

  /// One frame a stream and turn, so that they share what the peer takes.
  private func resumeWaiting() {
    var left = self.waiting.count
    while left > 0, self.phase == .open, self.output.count < Self.most {
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
    guard self.output.count < Self.most else { return (0, true) }
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
    case .open: break
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
    case .open: break
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
    if self.machine.openStreams == 0 { self.output.rest() }
    self.expire(now: self.loop.now)
  }

  // MARK: ends

  /// Whoever has nothing more to do goes.
  private func settle() {
    if self.phase == .open, self.machine.isDone { self.finish() }
    if self.phase == .closing, self.output.isEmpty { self.written() }
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

  /// Closes when everything is sent.
  private func finish() {
    self.phase = .closing
    self.takenAt = self.loop.now
  }

  private func written() {
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
    guard self.output.isEmpty else { return self.broken() }
    self.settle()
  }

  private func end(byReset: Bool) {
    guard self.phase != .over else { return }
    self.phase = .over
    if self.socket >= 0 { if byReset { cmesh_relay_reset(self.socket) } else { cmesh_relay_close(self.socket) } }
    self.socket = -1
    self.held = []
    self.output = OutputQueue()
    self.waiting = []
    self.ended()
    self.loop.ended(self)
  }

  /// It is over.
  func ended() {}
}
