import MeshHTTP
import Testing

@Suite("HTTP/1.1: what is written")
struct HTTP1WriterTests {
  private func forwarded(
    _ text: String, edit: HTTP1FieldEdit = .init(), passage: HTTP1Passage = .init(), target: [UInt8]? = nil
  ) -> [String] {
    let bytes = Array(text.utf8)
    var connection = HTTP1ServerConnection()
    var output: [UInt8] = []
    guard connection.receive(bytes.span).event == .request, let request = connection.request else { return [] }
    HTTP1Writer.request(
      request, connection.fields, present: connection.present, bytes.span, edit: edit, passage: passage, target: target,
      to: &output)
    return String(decoding: output, as: UTF8.self).split(separator: "\r\n").map(String.init)
  }

  private func get(_ fields: String) -> String { "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" }

  @Test("Fields of the connection stay on it; host and framing are written anew")
  func hopByHop() {
    #expect(
      self.forwarded(
        "POST http://a/x HTTP/1.1\r\nX-A: 1\r\nhost: A\r\nTransfer-Encoding: Chunked\r\nTE: trailers\r\nKeep-Alive: 5\r\n"
          + "Upgrade: h2c\r\nHTTP2-Settings: AA\r\nConnection: keep-alive\r\nX-B: 2\r\n\r\n")
        == ["POST /x HTTP/1.1", "host: A", "X-A: 1", "X-B: 2", "transfer-encoding: chunked"])
    #expect(self.forwarded("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").last == "content-length: 0")
    #expect(self.forwarded("GET / HTTP/1.0\r\n\r\n") == ["GET / HTTP/1.1", "host: "])
  }

  @Test("H1-32: Connection takes away what it names, but nothing that others rely on")
  func nominated() {
    #expect(
      self.forwarded(
        self.get(
          "Connection: close, authorization, cookie, :path, x-hop\r\nAuthorization: b\r\nX-Hop: 1\r\nX-Hop2: 2\r\nCookie: c\r\n"
        ))
        == ["GET / HTTP/1.1", "host: a", "Authorization: b", "X-Hop2: 2", "Cookie: c"])
  }

  @Test("H1-18: an expectation is passed on once, however often it was said, and only with a body")
  func expectation() {
    let expect = "Expect: 100-continue\r\n"
    let post = { (fields: String) in "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n" + fields + "\r\n" }
    let once = ["POST / HTTP/1.1", "host: a", "expect: 100-continue", "content-length: 1"]
    #expect(self.forwarded(post(expect)) == once)
    #expect(self.forwarded(post(expect + expect)) == once)
    var edit = HTTP1FieldEdit()
    #expect(!edit.remove("Expect") && !edit.add("Expect", "x"))
    #expect(self.forwarded(self.get(expect)) == ["GET / HTTP/1.1", "host: a"])
  }

  @Test("HN-02: nobody but the mesh says who a client is")
  func identity() {
    #expect(
      self.forwarded(
        self.get(
          "X-Forwarded-Client-Cert: me\r\nForwarded: for=x\r\nl5d-client-id: x\r\nX-Envoy-Peer: x\r\nx-spiffe-id: x\r\nA: b\r\n"
        ))
        == ["GET / HTTP/1.1", "host: a", "A: b"])
  }

  @Test("HN-05, HN-06: what a passage adds, what is kept and what is dropped")
  func passage() {
    var passage = HTTP1Passage()
    passage.via = Array("martlet".utf8)
    passage.forwardedFor = Array("10.0.0.1".utf8)
    passage.forwarded = Array("for=10.0.0.1".utf8)
    passage.requestID = Array("new".utf8)
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    passage.traceparent = Array(trace.utf8)
    let added = ["x-forwarded-for: 10.0.0.1", "forwarded: for=10.0.0.1", "via: 1.1 martlet"]
    #expect(
      self.forwarded(self.get(""), passage: passage)
        == ["GET / HTTP/1.1", "host: a"] + added + ["x-request-id: new", "traceparent: " + trace])
    #expect(
      self.forwarded(self.get("X-Request-Id: old\r\ntraceparent: \(trace)\r\n"), passage: passage)
        == ["GET / HTTP/1.1", "host: a", "X-Request-Id: old", "traceparent: " + trace] + added)
    let many = String(repeating: "1.1.1.1, ", count: 1000)
    #expect(
      self.forwarded(self.get("traceparent: nonsense\r\nX-Forwarded-For: \(many)\r\n"), passage: passage)
        == ["GET / HTTP/1.1", "host: a"] + added + ["x-request-id: new", "traceparent: " + trace])
  }

  @Test("The client's address is the last of one field; scheme and host are said where the client does not say them")
  func way() {
    var passage = HTTP1Passage()
    passage.forwardedFor = Array("10.0.0.1".utf8)
    passage.forwardedProto = Array("http".utf8)
    passage.tellsHost = true
    let line = ["GET / HTTP/1.1", "host: a"]
    #expect(
      self.forwarded(
        self.get("X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for:\r\nA: b\r\nX-Forwarded-For: 2.2.2.2\r\n"),
        passage: passage)
        == line + [
          "A: b", "x-forwarded-for: 1.1.1.1, 2.2.2.2, 10.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: a",
        ])
    let own = ["X-Forwarded-Proto: https", "X-Forwarded-Host: b"]
    let request = self.get(own.map { $0 + "\r\n" }.joined())
    #expect(self.forwarded(request, passage: passage) == line + own + ["x-forwarded-for: 10.0.0.1"])
    passage.removed = [.xForwardedFor, .xForwardedProto, .xForwardedHost, .xRequestID]
    #expect(
      self.forwarded(
        self.get("X-Request-Id: 1\r\nX-Forwarded-For: 1.1.1.1\r\n" + own.map { $0 + "\r\n" }.joined()), passage: passage
      )
        == line + ["x-forwarded-for: 10.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: a"])
    passage = HTTP1Passage()
    #expect(
      self.forwarded(self.get("X-Forwarded-For: 1.1.1.1\r\n"), passage: passage) == line + ["X-Forwarded-For: 1.1.1.1"])
  }

  @Test("A rule sets, adds and removes fields, and cannot touch the connection")
  func edits() {
    var edit = HTTP1FieldEdit()
    let changes = [
      edit.set("X-A", "new"), edit.add("x-b", "more"), edit.remove("user-agent"), edit.remove("X-C"),
    ]
    #expect(changes == [true, true, true, true])
    for name in ["connection", "Content-Length", "transfer-encoding", "host", "a b", ""] {
      let refused = [edit.set(name, "x"), edit.add(name, "x"), edit.remove(name)]
      #expect(refused == [false, false, false], "\(name)")
    }
    let split = edit.set("x-a", "a\r\nb")
    #expect(!split)
    #expect(
      self.forwarded(
        self.get("x-a: old\r\nX-B: b\r\nUser-Agent: u\r\nx-c: c\r\nX-D: d\r\n"), edit: edit, target: Array("/new".utf8))
        == ["GET /new HTTP/1.1", "host: a", "X-B: b", "X-D: d", "X-A: new", "x-b: more"])
  }

  private func answered(_ answer: String, to request: String) -> (text: String, plan: HTTP1ServerConnection.AnswerPlan?)
  {
    var server = HTTP1ServerConnection()
    var client = HTTP1ClientConnection()
    let down = Array(request.utf8)
    let up = Array(answer.utf8)
    let step = server.receive(down.span)
    _ = server.receive(down.span.extracting(step.consumed..<down.count))
    _ = client.begin(isHead: server.request?.isHead ?? false, upgrades: server.request?.upgrades ?? false)
    guard client.receive(up.span).event == .response, let response = client.response,
      let plan = server.answer(status: response.status, framing: response.framing)
    else { return ("", nil) }
    var output: [UInt8] = []
    HTTP1Writer.response(
      response, client.fields, up.span, plan: plan, edit: .init(), via: Array("martlet".utf8), to: &output)
    return (String(decoding: output, as: UTF8.self), plan)
  }

  @Test("An answer's framing is what the client understands")
  func answers() {
    #expect(
      self.answered("HTTP/1.1 200 Fine\r\nContent-Length: 5\r\nKeep-Alive: x\r\nA: b\r\n\r\n", to: self.get("")).text
        == "HTTP/1.1 200 Fine\r\nA: b\r\nvia: 1.1 martlet\r\ncontent-length: 5\r\n\r\n")
    let unframed = self.answered("HTTP/1.1 200 OK\r\n\r\n", to: self.get(""))
    #expect(unframed.plan?.framing == .chunked)
    #expect(unframed.text == "HTTP/1.1 200 OK\r\nvia: 1.1 martlet\r\ntransfer-encoding: chunked\r\n\r\n")
    let old = self.answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", to: "GET / HTTP/1.0\r\n\r\n")
    #expect(old.plan?.framing == .untilClose)
    #expect(old.text == "HTTP/1.1 200 OK\r\nvia: 1.1 martlet\r\nconnection: close\r\n\r\n")
    let kept = self.answered(
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    #expect(kept.text.contains("connection: keep-alive\r\ncontent-length: 5"))
    let head = self.answered("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", to: "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(head.plan?.framing == HTTP1Framing.none)
    #expect(head.text.contains("content-length: 5"))
    #expect(
      !self.answered("HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", to: self.get("")).text.contains("content-length"))
  }

  @Test("Chunks, trailers that may pass, and local answers")
  func chunks() {
    var output: [UInt8] = []
    HTTP1Writer.chunkBegin(0x1a2b, to: &output)
    HTTP1Writer.chunkEnd(to: &output)
    HTTP1Writer.answer(403, "Forbidden", closes: true, to: &output)
    #expect(
      String(decoding: output, as: UTF8.self)
        == "1a2b\r\n\r\nHTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    let bytes = Array(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: e\r\nX-Sum: 1\r\nAuthorization: x\r\nx-envoy-a: b\r\n\r\n"
        .utf8)
    var connection = HTTP1ServerConnection()
    let rest = Array(bytes.dropFirst(connection.receive(bytes.span).consumed))
    guard case .requestEnd(let from) = connection.receive(rest.span).event else {
      Issue.record("no end")
      return
    }
    output.removeAll()
    HTTP1Writer.lastChunk(connection.trailers, rest.span.extracting(from..<rest.count), to: &output)
    #expect(String(decoding: output, as: UTF8.self) == "0\r\nX-Sum: 1\r\n\r\n")
  }

  @Test("Known names are found in any case, and no other name is taken for one")
  func names() {
    for name in HTTPFieldName.allCases where name != .other {
      let bytes = Array(("GET / HTTP/1.0\r\n" + name.text.uppercased() + ": x\r\n").utf8) + Array("\r\n".utf8)
      var connection = HTTP1ServerConnection()
      _ = connection.receive(bytes.span)
      #expect(connection.fields.first?.name == name)
      let other = Array(("GET / HTTP/1.0\r\nq" + name.text.dropFirst() + ": x\r\n\r\n").utf8)
      var second = HTTP1ServerConnection()
      _ = second.receive(other.span)
      #expect(second.fields.first?.name == .other)
    }
  }
}
