import Testing

@testable import MeshHTTP

@Suite("Heads between HTTP/1.1 and HTTP/2")
struct HTTPBridgeTests {
  private static func text(_ block: FieldBlock?) -> [String] {
    guard let block else { return ["nil"] }
    return block.fields.map {
      String(decoding: block.name($0), as: UTF8.self) + ": " + String(decoding: block.value($0), as: UTF8.self)
    }
  }

  private static func lines(_ bytes: [UInt8]) -> [String] {
    #expect(bytes.suffix(4).elementsEqual("\r\n\r\n".utf8))
    return String(decoding: bytes, as: UTF8.self).split(separator: "\r\n").map(String.init)
  }

  private func upgraded(
    _ text: String, edit: HTTP1FieldEdit = .init(), passage: HTTP1Passage = .init()
  ) throws -> [String] {
    let bytes = Array(text.utf8)
    var connection = HTTP1ServerConnection()
    let step = connection.receive(bytes.span)
    #expect(step.event == .request)
    let request = try #require(connection.request)
    return Self.text(
      try HTTPBridge.request(request, connection.fields, bytes.span, edit: edit, passage: passage))
  }

  private func downgraded(
    _ fields: Fields, ends: Bool, edit: HTTP1FieldEdit = .init(), passage: HTTP1Passage = .init()
  ) throws -> (lines: [String], framing: HTTP1Framing) {
    let head = try HTTP2Head.request(fieldBlock(fields), HTTP2HeadRules())
    var output: [UInt8] = []
    let framing = try HTTPBridge.request(head, ends: ends, edit: edit, passage: passage, to: &output)
    return (Self.lines(output), framing)
  }

  @Test("1.1 to 2: pseudo fields first, names in lower case, nothing of the connection")
  func requestUp() throws {
    let post =
      "POST http://Web/x?y HTTP/1.1\r\nHost: web\r\nX-A: B\r\nConnection: close, x-hop, authorization, te\r\nX-Hop: 1\r\n"
      + "Keep-Alive: 5\r\nTE: gzip;q=0.5, trailers\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\nAuthorization: s\r\n"
      + "Cookie: a=1; b=2\r\nX-Envoy-Peer: me\r\nX-Forwarded-Client-Cert: me\r\n\r\n"
    #expect(
      try self.upgraded(post)
        == [
          ":method: POST", ":scheme: http", ":authority: web", ":path: /x?y", "x-a: B", "authorization: s",
          "cookie: a=1; b=2", "te: trailers",
        ])
    #expect(
      try self.upgraded("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").suffix(2)
        == ["expect: 100-continue", "content-length: 5"])
    #expect(try self.upgraded("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").last == ":path: *")
  }

  @Test("1.1 to 2: what cannot be said there")
  func refusedUp() {
    let webSocket =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n"
      + "Sec-WebSocket-Version: 13\r\n\r\n"
    #expect(throws: HTTPBridge.Refusal.upgrade) { try self.upgraded(webSocket) }
    #expect(throws: HTTPBridge.Refusal.authority) { try self.upgraded("GET / HTTP/1.0\r\n\r\n") }
  }

  @Test("A secret stays one that no table takes")
  func secrets() throws {
    let bytes = Array("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: s\r\n\r\n".utf8)
    var connection = HTTP1ServerConnection()
    _ = connection.receive(bytes.span)
    let block = try HTTPBridge.request(
      try #require(connection.request), connection.fields, bytes.span, edit: .init(), passage: .init())
    #expect(block.fields.map(\.isSecret) == [false, false, false, false, true])
  }

  @Test("2 to 1.1: one host, one cookie, framing by what is known")
  func requestDown() throws {
    let fields = HTTP2Rig.get + [("host", "b"), ("cookie", "a=1"), ("x-a", "1"), ("cookie", "b=2"), ("te", "trailers")]
    let get = try self.downgraded(fields, ends: true)
    #expect(
      get.lines == ["GET / HTTP/1.1", "host: a", "x-a: 1", "te: trailers", "connection: te", "cookie: a=1; b=2"])
    #expect(get.framing == .none)
    let counted = try self.downgraded(
      HTTP2Rig.post + [("content-length", "5"), ("expect", "100-continue")], ends: false)
    #expect(counted.lines.suffix(2) == ["expect: 100-continue", "content-length: 5"])
    // Once, however often it was said; and nobody's method does not get to a server that may take it for a preface.
    let twice = HTTP2Rig.post + [("expect", "100-continue"), ("content-length", "5"), ("expect", "100-continue")]
    #expect(try self.downgraded(twice, ends: false).lines == counted.lines)
    #expect(throws: HTTPBridge.Refusal.method) {
      _ = try self.downgraded([(":method", "PRI")] + HTTP2Rig.post.dropFirst(), ends: true)
    }
    #expect(counted.framing == .length(5))
    let open = try self.downgraded(HTTP2Rig.post, ends: false)
    #expect(open.lines == ["POST / HTTP/1.1", "host: a", "transfer-encoding: chunked"])
    #expect(
      try self.downgraded(HTTP2Rig.post + [("expect", "100-continue")], ends: true).lines.last == "content-length: 0")
  }

  @Test("2 to 1.1: what cannot be said there")
  func refusedDown() {
    #expect(throws: HTTPBridge.Refusal.method) {
      _ = try self.downgraded([(":method", "get")] + HTTP2Rig.get.dropFirst(), ends: true)
    }
    #expect(throws: HTTPBridge.Refusal.expectation) {
      _ = try self.downgraded(HTTP2Rig.post + [("expect", "x")], ends: false)
    }
    #expect(throws: HTTPBridge.Refusal.connect) {
      var rules = HTTP2HeadRules()
      rules.allowsConnect = true
      let head = try HTTP2Head.request(fieldBlock([(":method", "CONNECT"), (":authority", "a:1")]), rules)
      var output: [UInt8] = []
      _ = try HTTPBridge.request(head, ends: false, edit: .init(), passage: .init(), to: &output)
    }
  }

  @Test("A rule's edits and the passage are written in each direction alike")
  func editsAndPassage() throws {
    var edit = HTTP1FieldEdit()
    let changes = [edit.set("X-A", "new"), edit.add("x-b", ""), edit.remove("user-agent"), edit.remove("x-gone")]
    #expect(changes == [true, true, true, true])
    var passage = HTTP1Passage()
    passage.via = Array("martlet".utf8)
    passage.forwardedFor = Array("10.0.0.1".utf8)
    passage.requestID = Array("id".utf8)
    passage.traceparent = Array("trace".utf8)
    let expected = ["x-b: ", "x-forwarded-for: 10.0.0.1"]
    let last = ["x-request-id: id", "traceparent: trace"]
    let up = try self.upgraded(
      "GET / HTTP/1.1\r\nHost: a\r\nX-A: old\r\nUser-Agent: c\r\nX-Gone: 1\r\ntraceparent: junk\r\n\r\n", edit: edit,
      passage: passage)
    let upFields: [String] = ["x-a: new"] + expected + ["via: 1.1 martlet"] + last
    #expect(Array(up.dropFirst(4)) == upFields)
    let fields = HTTP2Rig.get + [("x-a", "old"), ("user-agent", "c"), ("x-gone", "1"), ("traceparent", "junk")]
    let down = try self.downgraded(fields, ends: true, edit: edit, passage: passage).lines
    let downFields: [String] = ["X-A: new"] + expected + ["via: 2 martlet"] + last
    #expect(Array(down.dropFirst(2)) == downFields)
    let head = try HTTP2Head.request(fieldBlock(fields), HTTP2HeadRules())
    let same = Self.text(try HTTPBridge.request(head, ends: true, edit: edit, passage: passage))
    let sameFields: [String] = ["x-a: new"] + expected + ["via: 2 martlet"] + last
    #expect(Array(same.dropFirst(4)) == sameFields)
  }

  @Test("The client's way is told in one field each, in each direction alike")
  func way() throws {
    var passage = HTTP1Passage()
    passage.forwardedFor = Array("10.0.0.1".utf8)
    passage.forwardedProto = Array("http".utf8)
    passage.tellsHost = true
    passage.removed = [.xForwardedHost]
    let told = ["x-forwarded-for: 1.1.1.1, 10.0.0.1", "x-forwarded-proto: http", "x-forwarded-host: "]
    let up = try self.upgraded(
      "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Host: evil\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n", edit: .init(),
      passage: passage)
    #expect(Array(up.dropFirst(4)) == told.dropLast() + [told[2] + "a"])
    let fields = HTTP2Rig.get + [("x-forwarded-host", "evil"), ("x-forwarded-for", "1.1.1.1")]
    let down = try self.downgraded(fields, ends: true, edit: .init(), passage: passage).lines
    let host = try #require(HTTP2Rig.get.first { $0.0 == ":authority" }?.1)
    #expect(Array(down.dropFirst(2)) == told.dropLast() + [told[2] + host])
  }

  @Test("Responses of 1.1 to 2: HEAD and 304 tell their length, 101 has none")
  func responsesUp() throws {
    func answer(_ text: String, isHead: Bool = false, upgrades: Bool = false) -> [String] {
      let bytes = Array(text.utf8)
      var connection = HTTP1ClientConnection()
      #expect(connection.begin(isHead: isHead, upgrades: upgrades) == true)
      _ = connection.receive(bytes.span)
      guard let response = connection.response else { return [] }
      return Self.text(
        HTTPBridge.response(response, connection.fields, bytes.span, edit: .init(), via: Array("m".utf8)))
    }
    #expect(
      answer("HTTP/1.1 200 OK\r\nServer: x\r\nConnection: x-hop\r\nX-Hop: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        == [":status: 200", "server: x", "via: 1.1 m"])
    #expect(
      answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", isHead: true)
        == [":status: 200", "via: 1.1 m", "content-length: 5"])
    #expect(answer("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n").last == "content-length: 5")
    #expect(answer("HTTP/1.1 103 x\r\nLink: a\r\n\r\n") == [":status: 103", "link: a"])
    #expect(answer("HTTP/1.1 101 x\r\n\r\n", upgrades: true) == ["nil"])
  }

  @Test("Responses of 2 to 1.1 are framed as the client's connection plans it")
  func responsesDown() throws {
    func answer(_ request: String, _ fields: Fields, ends: Bool) throws -> [String] {
      let bytes = Array(request.utf8)
      var server = HTTP1ServerConnection()
      _ = server.receive(bytes.span)
      let head = try HTTP2Head.response(fieldBlock(fields), HTTP2HeadRules())
      guard case .response(let status) = head.start else { return [] }
      let planned = server.answer(status: status, framing: HTTPBridge.framing(head, ends: ends))
      let plan = try #require(planned)
      var output: [UInt8] = []
      let isWritten = HTTPBridge.response(head, plan: plan, edit: .init(), via: Array("m".utf8), to: &output)
      #expect(isWritten)
      return Self.lines(output)
    }
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    #expect(
      try answer(get, HTTP2Rig.ok + [("x", "1")], ends: false)
        == ["HTTP/1.1 200 OK", "x: 1", "via: 2 m", "transfer-encoding: chunked"])
    #expect(try answer(get, HTTP2Rig.ok, ends: true).last == "content-length: 0")
    #expect(try answer(get, HTTP2Rig.ok + [("content-length", "5")], ends: false).last == "content-length: 5")
    #expect(try answer(get, [(":status", "204")], ends: true) == ["HTTP/1.1 204 No Content", "via: 2 m"])
    #expect(try answer(get, [(":status", "299")], ends: true).first == "HTTP/1.1 299 ")
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    #expect(try answer(head, HTTP2Rig.ok + [("content-length", "5")], ends: true).last == "content-length: 5")
    #expect(
      try answer("GET / HTTP/1.0\r\n\r\n", HTTP2Rig.ok, ends: false)
        == ["HTTP/1.1 200 OK", "via: 2 m", "connection: close"])
    var output: [UInt8] = []
    let early = try HTTP2Head.response(fieldBlock([(":status", "103"), ("link", "a")]), HTTP2HeadRules())
    let isInterim = HTTPBridge.interim(early, to: &output)
    #expect(isInterim)
    #expect(Self.lines(output) == ["HTTP/1.1 103 Early Hints", "link: a"])
    let plan = HTTP1ServerConnection.AnswerPlan(framing: .none, closes: false, tellsKeepAlive: false)
    let isFinal = HTTPBridge.response(early, plan: plan, edit: .init(), to: &output)
    #expect(!isFinal)
  }

  @Test("Trailers pass but for those that a trailer cannot say")
  func trailers() throws {
    let fields = [("grpc-status", "0"), ("authorization", "x"), ("x-envoy-peer", "me")]
    let head = try HTTP2Head.trailers(fieldBlock(fields), HTTP2HeadRules())
    #expect(Self.text(HTTPBridge.trailers(head)) == ["grpc-status: 0"])
    var output: [UInt8] = []
    HTTPBridge.lastChunk(head, to: &output)
    #expect(Self.lines(output) == ["0", "grpc-status: 0"])
    output = []
    HTTPBridge.lastChunk(nil, to: &output)
    #expect(output.elementsEqual("0\r\n\r\n".utf8))

    let bytes = Array(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nTE: x\r\n\r\n".utf8)
    var connection = HTTP1ServerConnection()
    let step = connection.receive(bytes.span)
    let rest = bytes.span.extracting(step.consumed..<bytes.count)
    guard case .requestEnd(let from) = connection.receive(rest).event else {
      Issue.record("no end")
      return
    }
    let places = rest.extracting(from..<rest.count)
    #expect(Self.text(HTTPBridge.trailers(connection.trailers, places)) == ["x-sum: 1"])
  }
}
