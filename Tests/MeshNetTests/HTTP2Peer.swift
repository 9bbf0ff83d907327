import Glibc
import MeshHTTP
import Testing

/// One end of a connection of HTTP/2 on a blocking socket. Unchecked: a test that hands one to a task leaves it alone until that
/// is done.
final class HTTP2Peer: @unchecked Sendable {
  /// What came of one stream.
  struct Message {
    var heads: [HTTP2Head] = []
    var body: [UInt8] = []
    var ended = false
    var reset: HTTP2ErrorCode?

    var isOver: Bool { self.ended || self.reset != nil }
    var text: String { String(decoding: self.body, as: UTF8.self) }

    /// Status of the last head that has one.
    var status: Int {
      for head in self.heads.reversed() { if case .response(let status) = head.start { return Int(status) } }
      return 0
    }

    var trailers: HTTP2Head? { self.heads.last { $0.start == .trailers } }

    /// Of the last head that has the field.
    subscript(name: String) -> String? {
      for head in self.heads.reversed() {
        for field in head.fields where head.text(field.name).elementsEqual(name.utf8) {
          return String(decoding: head.text(field.value), as: UTF8.self)
        }
      }
      return nil
    }

    var request: String {
      guard case .request(let method, _, let authority, let path)? = self.heads.first?.start,
        let head = self.heads.first
      else { return "" }
      return [method, authority, path].map { String(decoding: head.text($0), as: UTF8.self) }.joined(separator: " ")
    }
  }

  let descriptor: CInt
  private let socket: HTTPBench.Peer
  private(set) var machine: HTTP2Connection
  private(set) var streams: [UInt32: Message] = [:]
  private(set) var goAways: [HTTP2ErrorCode] = []
  private(set) var hasEnded = false
  private(set) var failure: HTTP2Reason?
  /// Whether data is given back as it comes.
  var consumes = true
  private var held: [UInt8] = []
  private var now: UInt64 = 1000
  /// One byte at a time.
  var isSlow = false

  init(_ socket: HTTPBench.Peer, _ role: HTTP2Connection.Role, limits: HTTP2Limits = .defaults) {
    self.socket = socket
    self.descriptor = socket.descriptor
    self.machine = HTTP2Connection(role, limits: limits)
    var output: [UInt8] = []
    self.machine.start(now: self.now, to: &output)
    self.write(output)
  }

  func write(_ bytes: [UInt8]) {
    if self.isSlow { for byte in bytes { self.socket.send([byte]) } } else { self.socket.send(bytes) }
  }

  private func act(_ body: (inout HTTP2Connection, inout [UInt8]) throws -> Void) {
    var output: [UInt8] = []
    do { try body(&self.machine, &output) } catch { Issue.record("cannot be said: \(error)") }
    self.write(output)
  }

  static func block(_ fields: [(String, String)]) -> FieldBlock {
    var block = FieldBlock()
    for (name, value) in fields { block.append(name, value) }
    return block
  }

  // MARK: saying

  func open(
    _ method: String = "GET", _ path: String = "/", _ fields: [(String, String)] = [], ends: Bool = true
  ) -> UInt32 {
    var id: UInt32 = 0
    let head = [(":method", method), (":scheme", "http"), (":authority", "web"), (":path", path)]
    self.act { machine, output in id = try machine.open(Self.block(head + fields), ends: ends, to: &output) }
    return id
  }

  func head(_ id: UInt32, _ fields: [(String, String)], ends: Bool = false) {
    self.act { machine, output in try machine.send(Self.block(fields), on: id, ends: ends, to: &output) }
  }

  /// All of it, as the windows open.
  func data(_ id: UInt32, _ bytes: [UInt8], ends: Bool) {
    var at = 0
    repeat {
      var (count, isLast) = (0, false)
      self.act { machine, output in
        let grant = try machine.sendData(bytes.count - at, of: id, ends: ends, to: &output)
        (count, isLast) = (grant.count, grant.ends)
        output += bytes[at..<at + count]
      }
      at += count
      if isLast || at == bytes.count && !ends { return }
      if count == 0, !self.receive() { return }
    } while true
  }

  /// As much as may go now; how many went.
  func dataNow(_ id: UInt32, _ bytes: [UInt8]) -> Int {
    var at = 0
    while at < bytes.count {
      var count = 0
      self.act { machine, output in
        count = try machine.sendData(bytes.count - at, of: id, ends: false, to: &output).count
        output += bytes[at..<at + count]
      }
      if count == 0 { break }
      at += count
    }
    return at
  }

  func answer(_ id: UInt32, _ body: String = "ok", _ fields: [(String, String)] = [], trailers: [(String, String)] = [])
  {
    self.head(id, [(":status", "200")] + fields)
    self.data(id, Array(body.utf8), ends: trailers.isEmpty)
    if !trailers.isEmpty { self.head(id, trailers, ends: true) }
  }

  func reset(_ id: UInt32, _ code: HTTP2ErrorCode) {
    self.act { machine, output in machine.reset(id, code, to: &output) }
  }

  func drain() { self.act { machine, output in machine.drain(now: self.now, to: &output) } }

  func consume(_ count: Int, of id: UInt32) {
    self.act { machine, output in machine.consumed(count, of: id, to: &output) }
  }

  // MARK: hearing

  /// Receives once. False: nothing came in three seconds, or nothing will.
  private func receive(milliseconds: CInt = 3000) -> Bool {
    var poll = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
    guard !self.hasEnded, Glibc.poll(&poll, 1, milliseconds) > 0 else { return false }
    var bytes = [UInt8](repeating: 0, count: self.isSlow ? 1 : 65536)
    let count = recv(self.descriptor, &bytes, bytes.count, 0)
    if count <= 0 { self.hasEnded = true }
    self.held += bytes[..<max(0, count)]
    var output: [UInt8] = []
    while true {
      let input = self.held
      let step = self.machine.receive(input.span, now: self.now, ended: self.hasEnded, to: &output)
      self.note(step.event, input, &output)
      self.held.removeFirst(step.consumed)
      if step.event == .closed || step.event == .needsInput && (step.consumed == 0 || self.held.isEmpty) { break }
    }
    self.write(output)
    return true
  }

  private func note(_ event: HTTP2Connection.Event, _ input: [UInt8], _ output: inout [UInt8]) {
    switch event {
    case .head(let id, let head, let ends):
      self.streams[id, default: Message()].heads.append(head)
      if ends { self.streams[id]?.ended = true }
    case .data(let id, let range, let ends):
      self.streams[id, default: Message()].body += input[range]
      if ends { self.streams[id]?.ended = true }
      if self.consumes { self.machine.consumed(range.count, of: id, to: &output) }
    case .reset(let id, let code, _), .refused(let id, let code, _): self.streams[id, default: Message()].reset = code
    case .goAway(let code): self.goAways.append(code)
    case .failed(_, let reason): self.failure = reason
    case .needsInput, .writable, .settings, .pong, .closed: break
    }
  }

  /// Receives until it holds, or nothing more comes. Whether it holds.
  @discardableResult func wait(_ condition: (HTTP2Peer) -> Bool) -> Bool {
    while !condition(self) { guard self.receive() else { return condition(self) } }
    return true
  }

  /// The whole message of a stream.
  func message(_ id: UInt32) -> Message {
    self.wait { $0.streams[id]?.isOver == true }
    return self.streams[id] ?? Message()
  }

  /// How the other side reset a stream, which may have ended before.
  func reset(of id: UInt32) -> HTTP2ErrorCode? {
    self.wait { $0.streams[id]?.reset != nil }
    return self.streams[id]?.reset
  }

  /// The next request: its stream and what came of it so far.
  func request(_ number: Int = 1) -> UInt32 {
    self.wait { $0.streams.count >= number }
    return self.streams.keys.sorted().dropFirst(number - 1).first ?? 0
  }

  /// What comes within a moment.
  func settle(milliseconds: CInt = 100) { while self.receive(milliseconds: milliseconds) {} }
}
