import Foundation
import Logging
import MeshBase
import MeshNet
import MeshRouting
import MeshSnapshot
import MeshTelemetry
import Testing

/// The access log through sockets: what a line says, what no client can do to it, what becomes of a file that is renamed.
@Suite(.serialized) struct AccessLogTests {
  private static func directory() throws -> String {
    let path = NSTemporaryDirectory() + "martlet-log-\(UInt64.random(in: 0...UInt64.max))"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  private func open(_ path: String, _ filter: AccessLogFilter = .all) throws -> AccessLog {
    try AccessLog.open(
      AccessLogConfiguration(.file(path), filter: filter),
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  /// The lines of a file, when there are as many.
  private func lines(_ path: String, _ count: Int) async throws -> [[String: Any]] {
    var lines: [Data] = []
    for _ in 0..<3000 {
      lines = (FileManager.default.contents(atPath: path) ?? Data()).split(separator: 0x0a).map { Data($0) }
      if lines.count >= count { break }
      try await Task.sleep(for: .milliseconds(5))
    }
    return try lines.map { try #require(try JSONSerialization.jsonObject(with: $0) as? [String: Any]) }
  }

  private func request(_ bench: HTTPBench, _ client: HTTPBench.Peer, _ text: String) -> HTTPBench.Peer {
    client.send(text)
    let server = bench.accept()
    _ = server.readHead()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    _ = client.read(through: "hello")
    return server
  }

  @Test("a line says who asked what, where it went, by which rule, and what came of it")
  func line() async throws {
    let path = try Self.directory() + "/access.log"
    let log = try self.open(path)
    let bench = try await HTTPBench(accessLog: log)
    try await bench.use([try bench.rule("/a", to: [0])])
    let client = bench.dial()
    let server = self.request(
      bench, client,
      "GET /a?b=c HTTP/1.1\r\nHost: web\r\nUser-Agent: curl/8\r\nReferer: http://x/\r\nX-Request-Id: id-1\r\n\r\n")
    client.send("GET /b HTTP/1.1\r\nHost: web\r\n\r\n")
    _ = client.read(through: "no_route\n")
    let lines = try await self.lines(path, 2)
    try #require(lines.count == 2)
    let first = lines[0]
    for (name, value) in [
      ("method", "GET"), ("path", "/a?b=c"), ("protocol", "HTTP/1.1"), ("authority", "web"), ("user_agent", "curl/8"),
      ("referer", "http://x/"), ("request_id", "id-1"), ("response_flags", "-"), ("service", "a/web-0"),
      ("route_name", "HTTPRoute a/r rule 0"),
    ] { #expect(first[name] as? String == value, "\(name)") }
    #expect(first["response_code"] as? Int == 200 && first["bytes_sent"] as? Int == 5)
    #expect((first["upstream_host"] as? String)?.hasPrefix("127.0.0.1:") == true)
    let second = lines[1]
    #expect(second["response_code"] as? Int == 404 && second["response_flags"] as? String == "NR")
    #expect(second["response_code_details"] as? String == "no_route" && second["route_name"] == nil)
    await bench.end()
    await log.stop()
    #expect(log.counters.written == 2 && log.counters.overflowed == 0 && log.counters.failed == 0)
    withExtendedLifetime(server) {}
  }

  @Test("a request that came with no id is written with the one that it goes on with")
  func requestID() async throws {
    let path = try Self.directory() + "/access.log"
    let log = try self.open(path)
    let bench = try await HTTPBench(accessLog: log)
    let client = bench.dial()
    client.send("GET /a HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    let head = server.readHead()
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    let id = try #require(try await self.lines(path, 1).first?["request_id"] as? String)
    #expect(id.utf8.count == 36 && head.contains("x-request-id: \(id)\r\n"))
    await bench.end()
    await log.stop()
  }

  @Test("what holds for requests changes while a connection goes on: another log, none, other fields")
  func changes() async throws {
    let directory = try Self.directory()
    let (first, second) = (try self.open(directory + "/1"), try self.open(directory + "/2"))
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send("GET /1 HTTP/1.1\r\nHost: web\r\n\r\n")
    let server = bench.accept()
    #expect(server.readHead().contains("x-request-id: "))
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    _ = client.readHead()
    func ask(_ number: Int) -> String {
      client.send("GET /\(number) HTTP/1.1\r\nHost: web\r\n\r\n")
      let head = server.readHead()
      server.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
      _ = client.readHead()
      return head
    }
    func use(_ log: AccessLog?, _ http: HTTPConfiguration = .defaults) async {
      await withCheckedContinuation { done in bench.relay.use(http, accessLog: log) { done.resume() } }
    }
    await use(first)
    _ = ask(2)
    #expect(try await self.lines(directory + "/1", 1).map { $0["path"] as? String } == ["/2"])
    var http = HTTPConfiguration.defaults
    http.forwarding = HTTPForwarding([try ForwardingField("x-request-id", "remove"), try ForwardingField("via", "m")])
    await use(second, http)
    let head = ask(3)
    #expect(!head.contains("x-request-id") && head.contains("via: 1.1 m\r\n"), "\(head)")
    #expect(try await self.lines(directory + "/2", 1).map { $0["path"] as? String } == ["/3"])
    await use(nil)
    #expect(ask(4).contains("x-request-id: "))
    await bench.end()
    await first.stop()
    await second.stop()
    #expect(first.counters.written == 1 && second.counters.written == 1)
  }

  @Test(
    "no byte of a request ends a line or leaves it (HN-07): quotes, backslashes, bytes that are no UTF-8, escapes of terminals",
    arguments: ["\"}", "\\", "\u{7f}", "é", "\u{2028}", "'; rm"])
  func hostile(_ text: String) async throws {
    let path = try Self.directory() + "/access.log"
    let log = try self.open(path)
    let bench = try await HTTPBench(accessLog: log)
    try await bench.use([try bench.rule("/none", to: [0])])
    let client = bench.dial()
    client.send(
      Array("GET /a HTTP/1.1\r\nHost: web\r\nUser-Agent: ".utf8) + Array(text.utf8) + [0xff, 0xc3, 0x28]
        + Array("\r\nReferer: \(String(repeating: "a", count: 9000))\r\n\r\n".utf8))
    let status = client.readHead().prefix(12)
    let line = try #require(try await self.lines(path, 1).first)
    if status == "HTTP/1.1 400" {
      // Such a byte no field may have: nothing of the request is said.
      #expect(line["response_flags"] as? String == "DPE" && line["user_agent"] == nil)
    } else {
      #expect(status == "HTTP/1.1 404" && (line["user_agent"] as? String)?.hasPrefix(text) == true)
      #expect((line["referer"] as? String)?.utf8.count == 4096)
    }
    await bench.end()
    await log.stop()
    #expect(try await self.lines(path, 1).count == 1)
  }

  @Test("a file that is renamed is let go of, and a new one begun; nothing is lost between")
  func rotation() async throws {
    let directory = try Self.directory()
    let path = directory + "/access.log"
    let log = try self.open(path)
    let bench = try await HTTPBench(accessLog: log)
    try await bench.use([try bench.rule("/none", to: [0])])
    let client = bench.dial()
    func ask(_ number: Int) {
      client.send("GET /\(number) HTTP/1.1\r\nHost: web\r\n\r\n")
      _ = client.read(through: "no_route\n")
    }
    ask(0)
    #expect(try await self.lines(path, 1).count == 1)
    try FileManager.default.moveItem(atPath: path, toPath: path + ".1")
    var asked = 1
    while !FileManager.default.fileExists(atPath: path), asked < 2000 {
      ask(asked)
      asked += 1
      try await Task.sleep(for: .milliseconds(5))
    }
    await bench.end()
    await log.stop()
    let (old, new) = (try await self.lines(path + ".1", 1), try await self.lines(path, 1))
    #expect(old.count + new.count == asked && !new.isEmpty)
    #expect(log.counters.written == UInt64(asked))
  }

  @Test("without a file requests go on, and what was not written is counted", arguments: ["directory", "fifo"])
  func unwell(_ what: String) async throws {
    let path = try Self.directory() + "/access.log"
    if what == "directory" {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    } else {
      #expect(mkfifo(path, 0o600) == 0)
    }
    let log = try self.open(path)
    let bench = try await HTTPBench(accessLog: log)
    try await bench.use([try bench.rule("/none", to: [0])])
    let client = bench.dial()
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    #expect(client.read(through: "no_route\n").hasPrefix("HTTP/1.1 404"))
    await bench.end()
    await log.stop()
    #expect(log.counters.failed == 1 && log.counters.written == 0)
  }

  @Test("what the filter does not take is not written")
  func filter() async throws {
    let path = try Self.directory() + "/access.log"
    let log = try self.open(path, AccessLogFilter(sampled: 0, errorsFrom: 500))
    let bench = try await HTTPBench(accessLog: log)
    let client = bench.dial()
    let server = self.request(bench, client, "GET /a HTTP/1.1\r\nHost: web\r\n\r\n")
    await bench.end()
    await log.stop()
    #expect(log.counters == AccessLog.Counters())
    withExtendedLifetime(server) {}
  }
}
