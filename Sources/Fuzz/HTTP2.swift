import MeshHTTP

/// A peer's frames to either role, behind the preface that both need.
func fuzzHTTP2(_ bytes: [UInt8], cut: Int) {
  let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]
  let size = 1 + cut / 2 % 31
  if cut % 2 == 0 {
    let stream = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + settings + bytes
    compare(stream, .server, size)
  } else {
    compare(settings + bytes, .client, size)
  }
}

private func compare(_ stream: [UInt8], _ role: HTTP2Connection.Role, _ size: Int) {
  let (whole, cutUp) = (Conversation(stream, role, size: 0), Conversation(stream, role, size: size))
  expect(whole.told == cutUp.told, "what a peer says depends on where it was cut:", "\(whole.told)\n\(cutUp.told)")
}

private struct Conversation {
  var told: [String] = []
  private var connection: HTTP2Connection
  private var output: [UInt8] = []

  init(_ stream: [UInt8], _ role: HTTP2Connection.Role, size: Int) {
    self.connection = HTTP2Connection(role)
    self.connection.start(now: 1000, to: &self.output)
    if role == .client {
      // Something that answers can be to.
      for _ in 0..<4 { self.open() }
    }
    var buffer: [UInt8] = []
    for piece in pieces(of: stream, size: size) {
      buffer += piece
      while true {
        let step = self.connection.receive(buffer.span, now: 1000, to: &self.output)
        expect((0...buffer.count).contains(step.consumed), "more is consumed than there is")
        if self.hasEnded(step.event, buffer) { return }
        buffer.removeFirst(step.consumed)
        if step.event == .needsInput, step.consumed == 0 || buffer.isEmpty { break }
      }
      expect(self.connection.openStreams <= 200, "more streams are open than may be")
    }
    _ = self.connection.expire(now: 1_000_000, to: &self.output)
  }

  private mutating func open() {
    var request = FieldBlock()
    for (name, value) in [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")] {
      request.append(name, value)
    }
    _ = try? self.connection.open(request, ends: false, to: &self.output)
  }

  private mutating func hasEnded(_ event: HTTP2Connection.Event, _ input: [UInt8]) -> Bool {
    switch event {
    case .needsInput: break
    case .head(let id, let head, let ends):
      self.told.append("head \(id) \(head.fields.count) \(ends)")
      if self.connection.role == .server { self.answer(id, head, ends: ends) }
    case .data(let id, let range, let ends):
      let word = "data \(id) "
      let text = text(input[range])
      if let last = self.told.last, last.hasPrefix(word), !last.hasSuffix("\n") {
        self.told[self.told.count - 1] = last + text + (ends ? "\n" : "")
      } else {
        self.told.append(word + text + (ends ? "\n" : ""))
      }
      self.connection.consumed(range.count, of: id, to: &self.output)
    case .reset(let id, let code, _): self.told.append("reset \(id) \(code.rawValue)")
    case .refused(let id, _, let reason): self.told.append("refused \(id) \(reason.rawValue)")
    case .writable, .settings, .pong: break
    case .goAway(let code): self.told.append("goaway \(code.rawValue)")
    case .failed(_, let reason):
      self.told.append("failed \(reason.rawValue)")
      return true
    case .closed: return true
    }
    return false
  }

  /// What the proxy does with a request: into HTTP/1.1, where it has to be one, and an answer back.
  private mutating func answer(_ id: UInt32, _ head: HTTP2Head, ends: Bool) {
    guard case .request = head.start else { return }
    var lines: [UInt8] = []
    if let framing = try? HTTPBridge.request(
      head, ends: ends, edit: HTTP1FieldEdit(), passage: HTTP1Passage(), to: &lines)
    {
      var server = HTTP1ServerConnection()
      let step = server.receive(lines.span)
      expect(step.event == .request && step.consumed == lines.count, "a head is another in HTTP/1.1:", text(lines))
      expect(server.request?.framing == framing, "a body is framed as another in HTTP/1.1:", text(lines))
    }
    var response = FieldBlock()
    response.append(":status", "200")
    try? self.connection.send(response, on: id, ends: false, to: &self.output)
    if let grant = try? self.connection.sendData(5, of: id, ends: true, to: &self.output) {
      self.output += repeatElement(0x61, count: grant.count)
    }
  }
}
