import MeshBase
import MeshHTTP
import MeshSnapshot
import MeshTestSupport
import Testing

@testable import MeshAgent

@Suite("Checks by HTTP/1.1")
struct HTTPProbeExchangeTests {
  private static func exchange(_ probe: ReadinessCheck.HTTPProbe = .init()) throws -> ProbeExchange {
    let endpoint = try #require(SocketEndpoint("10.0.0.7:8080"))
    return try #require(ProbeExchange(.http(probe), to: endpoint, now: 0))
  }

  private static func answer(_ text: String, _ probe: ReadinessCheck.HTTPProbe = .init()) throws -> ProbeExchange
    .Verdict?
  {
    var exchange = try Self.exchange(probe)
    return exchange.receive(text.utf8, now: 0)
  }

  @Test("it asks once, as whoever wrote the check says; a check of the connection says nothing")
  func request() throws {
    let plain = try Self.exchange()
    #expect(
      String(decoding: plain.output, as: UTF8.self)
        == "GET / HTTP/1.1\r\nhost: 10.0.0.7:8080\r\nuser-agent: martlet-check\r\naccept: */*\r\nconnection: close\r\n\r\n"
    )
    let full = try Self.exchange(
      .init(
        path: "/up?a=b", host: "web",
        headers: [
          HeaderField(name: "user-agent", value: "me"), HeaderField(name: "x-a", value: "1"),
        ]))
    #expect(
      String(decoding: full.output, as: UTF8.self)
        == "GET /up?a=b HTTP/1.1\r\nhost: web\r\naccept: */*\r\nuser-agent: me\r\nx-a: 1\r\nconnection: close\r\n\r\n")
    let endpoint = try #require(SocketEndpoint("[fd00::7]:80"))
    #expect(ProbeExchange(.tcp, to: endpoint, now: 0) == nil)
  }

  @Test("the status decides as soon as the head is whole, in however many pieces it comes")
  func status() throws {
    #expect(try Self.answer("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n") == .success)
    #expect(try Self.answer("HTTP/1.0 302 Found\r\n\r\n") == .success)
    #expect(try Self.answer("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n") == .success)
    #expect(try Self.answer("HTTP/1.1 503 Service Unavailable\r\n\r\n") == .failure("HTTP 503"))
    let strict = ReadinessCheck.HTTPProbe(expected: [200...200, 404...404])
    #expect(try Self.answer("HTTP/1.1 404 Not Found\r\nx_y: 1\r\n\r\n", strict) == .success)
    #expect(try Self.answer("HTTP/1.1 204 No Content\r\n\r\n", strict) == .failure("HTTP 204"))
    var exchange = try Self.exchange()
    let text = Array("HTTP/1.1 200 OK\r\nserver: x\r\n\r\n".utf8)
    for byte in text.dropLast() { #expect(exchange.receive([byte], now: 0) == nil) }
    #expect(exchange.receive(text.suffix(1), now: 0) == .success)
  }

  @Test("no answer, half of one, and what is none are failures")
  func hostile() throws {
    for text in ["", "HTTP/1.1 200 OK\r\nserver"] {
      var exchange = try Self.exchange()
      #expect(exchange.receive(text.utf8, ended: true, now: 0) == .failure("closed without an answer"))
    }
    for text in [
      "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 99 X\r\n\r\n", "HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "\u{0}\u{0}\n\n",
    ] {
      guard case .failure(let cause) = try Self.answer(text) else {
        Issue.record("\(text)")
        continue
      }
      #expect(cause.hasPrefix("no answer of HTTP/1.1"))
    }
  }

  @Test("a head, and interim heads, that do not end are given up, and no more is held than the bound")
  func endless() throws {
    var line = try Self.exchange()
    var verdict = line.receive("HTTP/1.1 200 OK\r\n".utf8, now: 0)
    var sent = 0
    while verdict == nil, sent < 1_000_000 {
      verdict = line.receive("x-y: \(String(repeating: "z", count: 500))\r\n".utf8, now: 0)
      sent += 500
    }
    #expect(verdict != nil && sent <= 20_000)
    var interim = try Self.exchange()
    verdict = nil
    sent = 0
    while verdict == nil, sent < 1000 {
      verdict = interim.receive("HTTP/1.1 102 Processing\r\n\r\n".utf8, now: 0)
      sent += 1
    }
    #expect(verdict == .failure("no answer of HTTP/1.1 (interim_responses)") && sent < 20)
  }

  @Test("noise never traps, and is decided within the bound", arguments: [1, 2, 3] as [UInt64])
  func noise(_ seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let endpoint = try #require(SocketEndpoint("10.0.0.7:8080"))
    for _ in 0..<200 {
      let probe: ReadinessCheck.Probe = random.oneIn(2) ? .http(.init()) : .grpc(service: "a")
      var exchange = try #require(ProbeExchange(probe, to: endpoint, now: 0))
      if random.oneIn(2) { _ = exchange.receive([0, 0, 0, 4, 0, 0, 0, 0, 0], now: 0) }
      var verdict: ProbeExchange.Verdict?
      for _ in 0..<40 where verdict == nil {
        let bytes = (0..<Int.random(in: 1...4096, using: &random)).map { _ in
          random.oneIn(3) ? UInt8(0) : UInt8.random(in: 0...255, using: &random)
        }
        verdict = exchange.receive(bytes, now: 0)
      }
      verdict = verdict ?? exchange.receive([], ended: true, now: 0)
      guard case .failure = verdict else {
        Issue.record("\(String(describing: verdict))")
        continue
      }
    }
  }
}

@Suite("Checks by gRPC")
struct GRPCProbeExchangeTests {
  /// What answers: the other side of the same machine.
  private struct Server {
    var connection = HTTP2Connection(.server)
    var output: [UInt8] = []
    var message: [UInt8] = []
    var path = ""

    init() { self.connection.start(now: 0, to: &self.output) }

    /// The stream, once the call is whole.
    mutating func take(_ bytes: [UInt8]) -> UInt32? {
      var input = bytes
      var stream: UInt32?
      while true {
        let step = self.connection.receive(input.span, now: 0, to: &self.output)
        switch step.event {
        case .head(_, let head, _):
          guard case .request(_, _, _, let path) = head.start else { break }
          self.path = String(decoding: head.text(path), as: UTF8.self)
        case .data(let id, let range, let ends):
          self.message += input[range]
          if ends { stream = id }
        default: break
        }
        input.removeFirst(step.consumed)
        if step.event == .needsInput { return stream }
      }
    }

    mutating func answer(
      _ stream: UInt32, status: String = "200", message: [UInt8]? = [0, 0, 0, 0, 2, 8, 1], trailer: String? = "0"
    ) throws {
      var head = FieldBlock()
      head.append(":status", status)
      head.append("content-type", "application/grpc")
      if message == nil, let trailer { head.append("grpc-status", trailer) }
      try self.connection.send(head, on: stream, ends: message == nil, to: &self.output)
      guard let message else { return }
      let grant = try self.connection.sendData(message.count, of: stream, ends: trailer == nil, to: &self.output)
      self.output += message.prefix(grant.count)
      guard let trailer else { return }
      var end = FieldBlock()
      end.append("grpc-status", trailer)
      try self.connection.send(end, on: stream, ends: true, to: &self.output)
    }
  }

  private func verdict(
    service: String = "", byByte: Bool = false, _ answer: (inout Server, UInt32) throws -> Void
  ) throws -> (ProbeExchange.Verdict?, Server) {
    let endpoint = try #require(SocketEndpoint("10.0.0.7:9000"))
    var exchange = try #require(ProbeExchange(.grpc(service: service), to: endpoint, now: 0))
    var server = Server()
    let taken = server.take(exchange.output)
    let stream = try #require(taken)
    exchange.output = []
    try answer(&server, stream)
    guard byByte else { return (exchange.receive(server.output, now: 0), server) }
    for byte in server.output {
      if let verdict = exchange.receive([byte], now: 0) { return (verdict, server) }
    }
    return (nil, server)
  }

  @Test("it calls Health/Check of the service, and SERVING is a success, in however many pieces it comes")
  func serving() throws {
    let (verdict, server) = try self.verdict { try $0.answer($1) }
    #expect(verdict == .success)
    #expect(server.path == "/grpc.health.v1.Health/Check" && server.message == [0, 0, 0, 0, 0])
    #expect(try self.verdict(byByte: true) { try $0.answer($1) }.0 == .success)
    let named = try self.verdict(service: "a.B") { try $0.answer($1) }.1
    #expect(named.message == [0, 0, 0, 0, 5, 0x0a, 3] + "a.B".utf8)
    let long = String(repeating: "x", count: 200)
    #expect(
      try self.verdict(service: long) { try $0.answer($1) }.1.message == [0, 0, 0, 0, 203, 0x0a, 200, 1] + long.utf8)
    // A later version of the answer may say more.
    #expect(try self.verdict { try $0.answer($1, message: [0, 0, 0, 0, 5, 0x12, 1, 0x61, 8, 1]) }.0 == .success)
  }

  @Test("everything else is a failure that says what it was")
  func failures() throws {
    let cases: [(String, (inout Server, UInt32) throws -> Void)] = [
      ("NOT_SERVING", { try $0.answer($1, message: [0, 0, 0, 0, 2, 8, 2]) }),
      ("SERVICE_UNKNOWN", { try $0.answer($1, message: [0, 0, 0, 0, 2, 8, 3]) }),
      ("UNKNOWN", { try $0.answer($1, message: [0, 0, 0, 0, 0]) }),
      ("no answer of a health service", { try $0.answer($1, message: [0, 0, 0, 0, 2, 8, 9]) }),
      ("no answer of a health service", { try $0.answer($1, message: [1, 0, 0, 0, 2, 8, 1]) }),
      ("no answer of a health service", { try $0.answer($1, message: [0, 0, 0, 0, 9, 8, 1]) }),
      ("no answer of a health service", { try $0.answer($1, message: [0, 255, 255, 255, 255]) }),
      ("no answer of a health service", { try $0.answer($1, message: [UInt8](repeating: 0, count: 300)) }),
      ("grpc-status 12 (unimplemented)", { try $0.answer($1, message: nil, trailer: "12") }),
      ("grpc-status 14 (unavailable)", { try $0.answer($1, trailer: "14") }),
      ("an answer without grpc-status", { try $0.answer($1, trailer: nil) }),
      ("an answer without grpc-status", { try $0.answer($1, trailer: "x") }),
      ("HTTP 404", { try $0.answer($1, status: "404", message: nil) }),
      ("stream reset (8)", { server, stream in server.connection.reset(stream, .cancel, to: &server.output) }),
      (
        "no answer of HTTP/2 (settings)",
        { server, _ in server.output = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8) }
      ),
    ]
    for (cause, answer) in cases {
      let verdict = try self.verdict(answer).0
      if cause.hasPrefix("no answer of HTTP/2") {
        guard case .failure(let text) = verdict else {
          Issue.record("\(String(describing: verdict))")
          continue
        }
        #expect(text.hasPrefix("no answer of HTTP/2"))
      } else {
        #expect(verdict == .failure(cause))
      }
    }
  }

  @Test("settings, pings and data that do not end are given up")
  func endless() throws {
    let ping: [UInt8] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    let endpoint = try #require(SocketEndpoint("10.0.0.7:9000"))
    for frame in [ping, [0, 0, 0, 4, 0, 0, 0, 0, 0], [0, 0, 0, 0x99, 0, 0, 0, 0, 0]] as [[UInt8]] {
      var exchange = try #require(ProbeExchange(.grpc(service: ""), to: endpoint, now: 0))
      var verdict = exchange.receive([0, 0, 0, 4, 0, 0, 0, 0, 0], now: 0)
      var frames = 0
      while verdict == nil, frames < 100_000 {
        verdict = exchange.receive(frame, now: 0)
        frames += 1
        exchange.output = []
      }
      guard case .failure = verdict else {
        Issue.record("\(String(describing: verdict))")
        continue
      }
      #expect(frames < 10_000)
    }
    #expect(ProbeExchange.mostBytes <= 65_536)
  }
}
