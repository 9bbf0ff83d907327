import MeshBase
import MeshSnapshot
import Testing

@testable import MeshRouting

@Suite struct HTTPSessionsTests {
  private static let now: UInt32 = 1_800_000_000

  private func sessions(
    _ kind: SessionPersistence.Kind = .cookie(isPermanent: false), absolute: UInt32? = nil, idle: UInt32? = nil,
    rule: UInt32 = 0
  ) throws -> HTTPSessions {
    HTTPSessions(
      SessionPersistence(name: "sid", kind: kind, absoluteTimeoutSeconds: absolute, idleTimeoutSeconds: idle),
      of: RouteOrigin(kind: .http, name: try name("a/r"), rule: rule))
  }

  private func choice(_ number: UInt32, _ workload: String? = "a/w") throws -> RoutingTable.Choice {
    RoutingTable.Choice(
      target: SocketEndpoint(IPAddress(v4: 0x0a00_0000 | number), 8080), workload: try workload.map { try name($0) })
  }

  private func token(
    _ sessions: HTTPSessions, _ fields: [(String, String)], now: UInt32 = Self.now
  ) -> SessionToken? {
    var bytes: [UInt8] = []
    func put(_ text: String) -> Range<Int> {
      bytes += Array(text.utf8)
      return bytes.count - text.utf8.count..<bytes.count
    }
    let head = HTTPRequestHead(
      method: 0..<0, host: 0..<0, query: nil, fields: fields.map { .init(name: put($0), value: put($1)) })
    return sessions.token(in: head, bytes.span, now: now)
  }

  /// What the client sends back of a field.
  private func value(_ field: HeaderField?) -> String {
    let first = field?.value.split(separator: ";").first.map(String.init) ?? ""
    return first.hasPrefix("sid=") ? String(first.dropFirst(4)) : first
  }

  @Test("a token names its endpoint and no other: not another address, port or workload, nor one of another rule")
  func endpoints() throws {
    let sessions = try self.sessions()
    let field = sessions.field(for: try self.choice(1), after: nil, now: Self.now)
    #expect(field?.name == "set-cookie" && field?.value.hasPrefix("sid=") == true)
    #expect(field?.value.hasSuffix("; Path=/; HttpOnly") == true && field?.value.contains("Max-Age") == false)
    let token = try #require(self.token(sessions, [("Cookie", "sid=\(self.value(field))")]))
    #expect(sessions.names(try self.choice(1), token))
    #expect(try !sessions.names(self.choice(2), token) && !sessions.names(self.choice(1, "a/v"), token))
    #expect(try !sessions.names(self.choice(1, nil), token))
    #expect(self.token(try self.sessions(rule: 1), [("Cookie", "sid=\(self.value(field))")]) == nil)
    #expect(sessions.field(for: try self.choice(1), after: token, now: Self.now + 100_000) == nil)
    #expect(sessions.field(for: try self.choice(2), after: token, now: Self.now) != nil)
  }

  @Test("a cookie is found among others, in several fields, with blanks; of several of its name the first counts")
  func cookies() throws {
    let sessions = try self.sessions()
    let value = self.value(sessions.field(for: try self.choice(1), after: nil, now: Self.now))
    for fields in [
      [("cookie", "a=1; sid=\(value); b=2")], [("cookie", "a=1"), ("COOKIE", "sid=\(value)")],
      [("cookie", ";; \tsid=\(value) ;")], [("cookie", "xsid=2; sid=\(value); sid=3")], [("cookie", "sid=\(value)")],
    ] { #expect(self.token(sessions, fields) != nil, "\(fields)") }
    for fields in [
      [("cookie", "sid=x; sid=\(value)")], [("cookie", "Sid=\(value)")], [("cookie", "sid=\"\(value)\"")],
      [("cookie", "sid")], [("cookie", "sid=")], [("cookie", "sid =\(value)")], [("cookie2", "sid=\(value)")],
      [("sid", value)], [("cookie", "")], [("cookie", "a=sid=\(value)")],
    ] { #expect(self.token(sessions, fields) == nil, "\(fields)") }
  }

  @Test("a header bears the token alone, in whatever letters its name is written")
  func header() throws {
    let sessions = try self.sessions(.header)
    let field = try #require(sessions.field(for: try self.choice(1), after: nil, now: Self.now))
    #expect(field.name == "sid" && field.value.utf8.count == SessionToken.length)
    #expect(self.token(sessions, [("SID", field.value)]) != nil)
    #expect(self.token(sessions, [("cookie", "sid=\(field.value)")]) == nil)
    #expect(self.token(sessions, [("sid", "x"), ("sid", field.value)]) == nil)
  }

  @Test("whatever is changed of a token makes it none")
  func forged() throws {
    let sessions = try self.sessions(.header)
    let value = Array((try #require(sessions.field(for: try self.choice(1), after: nil, now: Self.now))).value.utf8)
    for index in value.indices {
      for byte in [value[index] ^ 1, 0x2d, 0x47, 0xff, 0x00] {
        var other = value
        other[index] = byte
        guard other != value else { continue }
        #expect(self.token(sessions, [("sid", String(decoding: other, as: UTF8.self))]) == nil)
      }
    }
    for text in [
      "", "0", String(repeating: "0", count: 48), String(repeating: "f", count: 48),
      String(decoding: value, as: UTF8.self).uppercased(), String(decoding: value, as: UTF8.self) + "0",
      String(decoding: value.dropLast(), as: UTF8.self), String(repeating: "a", count: 100_000),
    ] { #expect(self.token(sessions, [("sid", text)]) == nil) }
  }

  @Test("a session ends after its whole time, and when it was not used for too long")
  func timeouts() throws {
    let sessions = try self.sessions(absolute: 1000, idle: 100)
    let endpoint = try self.choice(1)
    var cookie = self.value(sessions.field(for: endpoint, after: nil, now: Self.now))
    #expect(self.token(sessions, [("cookie", "sid=\(cookie)")], now: Self.now + 99) != nil)
    #expect(self.token(sessions, [("cookie", "sid=\(cookie)")], now: Self.now + 100) == nil)
    for second in stride(from: UInt32(90), to: 1000, by: 90) {
      let token = try #require(self.token(sessions, [("cookie", "sid=\(cookie)")], now: Self.now + second))
      #expect(sessions.field(for: endpoint, after: token, now: token.given + 9) == nil)
      let field = sessions.field(for: endpoint, after: token, now: Self.now + second)
      cookie = self.value(field)
    }
    #expect(self.token(sessions, [("cookie", "sid=\(cookie)")], now: Self.now + 999) != nil)
    #expect(self.token(sessions, [("cookie", "sid=\(cookie)")], now: Self.now + 1000) == nil)
  }

  @Test("a token of the future is none, but for clocks that differ a little")
  func future() throws {
    let sessions = try self.sessions()
    let cookie = self.value(sessions.field(for: try self.choice(1), after: nil, now: Self.now))
    #expect(self.token(sessions, [("cookie", "sid=\(cookie)")], now: Self.now - 60) != nil)
    #expect(self.token(sessions, [("cookie", "sid=\(cookie)")], now: Self.now - 61) == nil)
    #expect(self.token(sessions, [("cookie", "sid=\(cookie)")], now: 0) == nil)
    _ = sessions.field(for: try self.choice(1), after: nil, now: .max)
    let backwards = SessionToken(endpoint: 1, began: 10, given: 9)
    #expect(!backwards.isCurrent(absolute: 0, idle: 0, now: 10))
  }

  @Test("a permanent cookie says how long it has left")
  func permanent() throws {
    let sessions = try self.sessions(.cookie(isPermanent: true), absolute: 1000, idle: 100)
    let endpoint = try self.choice(1)
    let field = try #require(sessions.field(for: endpoint, after: nil, now: Self.now))
    #expect(field.value.hasSuffix("; Max-Age=1000"))
    let token = try #require(self.token(sessions, [("cookie", "sid=\(self.value(field))")]))
    #expect(sessions.field(for: endpoint, after: token, now: Self.now + 50)?.value.hasSuffix("; Max-Age=950") == true)
  }

  @Test("a backend of weight 0 gets no request but those of its sessions")
  func weightZero() throws {
    var rule = try rule(
      "r",
      backends: [
        HTTPBackend(service: try name("a/none"), port: 80, weight: 0),
        HTTPBackend(service: try name("a/one"), port: 80, weight: 1),
        HTTPBackend(service: try name("a/zero"), port: 80, weight: 0),
      ])
    rule.persistence = SessionPersistence(name: "sid", kind: .header)
    let action = try #require(HTTPRouteTable([rule]).actions.first)
    #expect(action.sessions != nil && action.backends.map(\.service.name) == ["none", "one", "zero"])
    var random = Steps()
    for _ in 0..<100 { #expect(action.pick(using: &random, isReady: { _ in true }) == .backend(1)) }
    rule.backends[1].weight = 0
    let idle = try #require(HTTPRouteTable([rule]).actions.first)
    #expect(idle.pick(using: &random, isReady: { _ in true }) == .refused(.noBackend))
  }
}
