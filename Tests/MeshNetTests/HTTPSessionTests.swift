import MeshBase
import MeshHTTP
import MeshNet
import MeshSnapshot
import Testing

/// Rules with `sessionPersistence`, end to end.
@Suite(.serialized) struct HTTPSessionTests {
  private func rule(_ bench: HTTPBench, _ kind: SessionPersistence.Kind = .cookie(isPermanent: false)) throws
    -> HTTPRule
  {
    var rule = try bench.rule("/", to: [0, 1])
    rule.persistence = SessionPersistence(name: "sid", kind: kind)
    return rule
  }

  /// Weights that leave one backend.
  private func only(_ backend: Int, _ rule: HTTPRule) -> HTTPRule {
    var rule = rule
    for index in rule.backends.indices { rule.backends[index].weight = index == backend ? 1 : 0 }
    return rule
  }

  private func exchange(
    _ client: HTTPBench.Peer, _ bench: HTTPBench, _ backend: Int, on server: HTTPBench.Peer? = nil,
    fields: String = "", answer: String = ""
  ) -> (server: HTTPBench.Peer, answer: String) {
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\(fields)\r\n")
    let server = server ?? bench.accept(backend)
    #expect(server.readHead().hasPrefix("GET / HTTP/1.1\r\n"))
    server.send("HTTP/1.1 200 OK\r\n\(answer)Content-Length: 2\r\n\r\nok")
    return (server, client.read(through: "\r\n\r\nok"))
  }

  private func cookie(_ answer: String) -> String? {
    answer.split(separator: "\r\n").compactMap { line in
      line.hasPrefix("set-cookie: sid=") ? String(line.dropFirst(12).prefix { $0 != ";" }) : nil
    }.last
  }

  @Test(
    "a session stays with its endpoint, at weight 0 too; the application's cookies stay; a stale or forged one is replaced"
  )
  func cookies() async throws {
    let bench = try await HTTPBench(backends: 2)
    let rule = try self.rule(bench)
    try await bench.use([self.only(0, rule)])
    let client = bench.dial()
    let first = self.exchange(client, bench, 0, answer: "Set-Cookie: app=1\r\n")
    #expect(first.answer.contains("Set-Cookie: app=1\r\n"))
    let cookie = try #require(self.cookie(first.answer))
    try await bench.use([self.only(1, rule)])
    let stays = self.exchange(client, bench, 0, on: first.server, fields: "Cookie: app=1; \(cookie)\r\n")
    #expect(self.cookie(stays.answer) == nil)
    var server: HTTPBench.Peer?
    for fields in ["", "Cookie: sid=forged\r\n", "Cookie: \(cookie)0\r\n", "Cookie: sid=\r\n"] {
      let anew = self.exchange(client, bench, 1, on: server, fields: fields)
      server = anew.server
      #expect(self.cookie(anew.answer) != nil && self.cookie(anew.answer) != cookie)
    }
    await bench.end()
  }

  @Test("an endpoint that is gone is replaced, and the client told")
  func gone() async throws {
    let bench = try await HTTPBench(backends: 2)
    let rule = try self.rule(bench)
    try await bench.use([self.only(0, rule)])
    let client = bench.dial()
    let first = self.exchange(client, bench, 0)
    let cookie = try #require(self.cookie(first.answer))
    var left = self.only(1, rule)
    left.backends.remove(at: 0)
    try await bench.use([left])
    let second = self.exchange(client, bench, 1, fields: "Cookie: \(cookie)\r\n")
    let other = try #require(self.cookie(second.answer))
    #expect(other != cookie)
    let third = self.exchange(client, bench, 1, on: second.server, fields: "Cookie: \(other)\r\n")
    #expect(self.cookie(third.answer) == nil)
    await bench.end()
  }

  @Test("a header does the same, and the application's own of that name is replaced")
  func header() async throws {
    let bench = try await HTTPBench(backends: 2)
    let rule = try self.rule(bench, .header)
    try await bench.use([self.only(0, rule)])
    let client = bench.dial()
    let first = self.exchange(client, bench, 0, answer: "SID: mine\r\n")
    #expect(!first.answer.contains("mine"))
    let line = try #require(first.answer.split(separator: "\r\n").first { $0.hasPrefix("sid: ") })
    try await bench.use([self.only(1, rule)])
    let second = self.exchange(client, bench, 0, on: first.server, fields: "\(line)\r\n")
    #expect(!second.answer.contains("sid: "))
    await bench.end()
  }

  @Test("an endpoint that cannot be reached gives its session to another one")
  func unreachable() async throws {
    let bench = try await HTTPBench(backends: 2)
    var rule = try self.rule(bench)
    rule.retry = HTTPRetry(codes: [503], attempts: 1, backoffMilliseconds: 1)
    try await bench.use([self.only(0, rule)])
    let client = bench.dial()
    let first = self.exchange(client, bench, 0)
    let cookie = try #require(self.cookie(first.answer))
    client.send("GET / HTTP/1.1\r\nHost: web\r\nCookie: \(cookie)\r\n\r\n")
    _ = first.server.readHead()
    first.server.send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    let again = bench.accept(0)
    _ = again.readHead()
    again.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    // There is no other: the session is the one that it was.
    #expect(self.cookie(client.read(through: "\r\n\r\nok")) == nil)
    await bench.end()
  }

  @Test("HTTP/2 on both sides: cookies that come in pieces are found")
  func streams() async throws {
    let bench = try await HTTPBench(backends: 2, appProtocol: .http2)
    let rule = try self.rule(bench)
    try await bench.use([self.only(0, rule)])
    let client = HTTP2Peer(bench.dial(), .client)
    let id = client.open()
    let server = HTTP2Peer(bench.accept(0), .server)
    server.answer(server.request())
    let cookie = try #require(client.message(id)["set-cookie"]).prefix { $0 != ";" }
    try await bench.use([self.only(1, rule)])
    let next = client.open("GET", "/", [("cookie", "a=1"), ("cookie", String(cookie))])
    server.answer(server.request(2))
    #expect(client.message(next).status == 200 && client.message(next)["set-cookie"] == nil)
    let other = client.open("GET", "/", [("cookie", "sid=0")])
    let second = HTTP2Peer(bench.accept(1), .server)
    second.answer(second.request())
    #expect(client.message(other)["set-cookie"]?.hasPrefix("sid=") == true)
    await bench.end()
  }
}
