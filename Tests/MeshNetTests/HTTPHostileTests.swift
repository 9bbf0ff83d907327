import Glibc
import MeshBase
import MeshNet
import Testing

/// The rows of the catalogue of hostile inputs, through sockets: what is answered, and that no byte reaches a backend.
@Suite(.serialized) struct HTTPHostileTests {
  struct Row: CustomTestStringConvertible {
    var name: String
    var request: String
    var status: [Int] = [400]
    var testDescription: String { self.name }
  }

  private static let rows: [Row] = [
    Row(
      name: "H1-01 CL.TE",
      request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
    Row(
      name: "H1-02 TE.CL",
      request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGPOST"),
    Row(
      name: "H1-03 TE.TE",
      request:
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    Row(name: "H1-03 list", request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    Row(name: "H1-04 xchunked", request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    Row(
      name: "H1-04 vertical tab",
      request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\u{b}\r\n\r\n0\r\n\r\n"),
    Row(name: "H1-04 tab", request: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n"),
    Row(
      name: "H1-05 two lengths",
      request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"),
    Row(name: "H1-05 list", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde"),
    Row(name: "H1-06 +5", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde"),
    Row(name: "H1-06 2^64", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\nabcde"),
    Row(name: "H1-06 empty", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nabcde"),
    Row(
      name: "H1-07",
      request: "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n"),
    Row(name: "H1-08 bare feeds", request: "GET / HTTP/1.1\nHost: a\n\n"),
    Row(name: "H1-08 bare return", request: "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n"),
    Row(name: "H1-09", request: "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"),
    Row(name: "H1-10", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nabcde"),
    Row(name: "H1-11 empty name", request: "GET / HTTP/1.1\r\nHost: a\r\n: v\r\n\r\n"),
    Row(name: "H1-11 blank in name", request: "GET / HTTP/1.1\r\nHost: a\r\na b: c\r\n\r\n"),
    Row(name: "H1-12 NUL", request: "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
    Row(name: "H1-12 control in target", request: "GET /a\u{1} HTTP/1.1\r\nHost: a\r\n\r\n"),
    Row(name: "H1-25", request: "GET http://evil/ HTTP/1.1\r\nHost: good\r\n\r\n"),
    Row(name: "H1-26 none", request: "GET / HTTP/1.1\r\n\r\n"),
    Row(name: "H1-26 two", request: "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    Row(name: "H1-26 user", request: "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    Row(name: "H1-27", request: "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", status: [405, 501]),
    Row(name: "H1-29 blanks", request: "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Row(name: "H1-29 small letters", request: "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    Row(name: "H1-29 version", request: "GET / HTTP/1.2\r\nHost: a\r\n\r\n", status: [505]),
    Row(name: "H1-29 0.9", request: "GET /\r\n\r\n"),
    Row(name: "H1-29 asterisk", request: "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    Row(
      name: "H1-30 head", request: "GET / HTTP/1.1\r\nHost: a\r\nX: \(String(repeating: "a", count: 33000))\r\n\r\n",
      status: [431]),
    Row(
      name: "H1-30 fields", request: "GET / HTTP/1.1\r\nHost: a\r\n\(String(repeating: "a: b\r\n", count: 129))\r\n",
      status: [431]),
    Row(
      name: "H1-30 target", request: "GET /\(String(repeating: "a", count: 16384)) HTTP/1.1\r\nHost: a\r\n\r\n",
      status: [414]),
    Row(
      name: "H1-30 method", request: "\(String(repeating: "A", count: 300)) / HTTP/1.1\r\nHost: a\r\n\r\n",
      status: [501]),
    Row(name: "PN-13", request: "GET /admin%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    Row(name: "PN-05", request: "GET /a%5cb HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
  ]

  @Test("it is refused with its status, the connection closes, and no backend is dialled", arguments: [false, true])
  func refused(byteByByte: Bool) async throws {
    let bench = try await HTTPBench()
    for row in Self.rows where !byteByByte || row.request.utf8.count < 1000 {
      let client = bench.dial()
      if byteByByte { for byte in row.request.utf8 { client.send([byte]) } } else { client.send(row.request) }
      let (text, end) = client.readAll()
      let status = Int(text.split(separator: " ").dropFirst().first ?? "") ?? 0
      #expect(row.status.contains(status), "\(row.name): \(text)")
      #expect(text.contains("connection: close\r\n") && end == 0, "\(row.name): \(text) \(end)")
    }
    #expect(bench.isUndialled())
    #expect(try await bench.counters { $0.active == 0 }.active == 0)
    await bench.end()
  }

  @Test(
    "a body that is none is refused in the middle, and its upstream connection serves nobody else (H1-13 to H1-15)",
    arguments: [
      "5 \r\nabcde\r\n", "0x5\r\nabcde\r\n", "FFFFFFFFFFFFFFFF1\r\n", "5\r\nabcdeX", "5;a\rb\r\nabcde\r\n", "\r\n",
    ])
  func brokenChunks(chunk: String) async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
    let server = bench.accept()
    _ = server.read(through: "ok\r\n")
    client.send(chunk + "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: a\r\n\r\n")
    let (text, end) = client.readAll()
    #expect(text.hasPrefix("HTTP/1.1 400 ") && end == 0)
    let (rest, failure) = server.readAll()
    #expect(!rest.contains("admin") && failure == -Int(ECONNRESET))
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test(
    "an answer that is none is a 502, and its connection serves nobody else (H1-31)",
    arguments: [
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
      "HTTP/1.1 OK\r\n\r\n", "HTTP/1.1 200 OK\nX: y\n\n", "garbage\r\n\r\n", "HTTP/2 200\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ])
  func brokenAnswer(answer: String) async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    for _ in 0..<2 {
      client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      let server = bench.accept()
      _ = server.readHead()
      server.send(answer)
      #expect(client.read(through: "\n\r\n").hasPrefix("HTTP/1.1 502 Bad Gateway\r\n"))
      _ = client.read(through: "\n")
      #expect(server.readAll().end == -Int(ECONNRESET))
    }
    await bench.end()
  }

  @Test("bytes behind an answer, and answers to nobody, end the upstream connection: no client gets another's (H1-31)")
  func poisoning() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
    let first = bench.accept()
    _ = first.readHead()
    first.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    #expect(client.read(through: "one").hasSuffix("one"))
    client.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    let second = bench.accept()
    #expect(second.readHead().hasPrefix("POST /2"))
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo")
    #expect(client.read(through: "two").hasSuffix("two"))
    // Between requests.
    second.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    #expect(second.readAll().end != 1)
    client.send("POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    let third = bench.accept()
    #expect(third.readHead().hasPrefix("POST /3"))
    third.send("HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil")
    #expect(client.readHead() == "HTTP/1.1 204 No Content\r\n\r\n")
    client.send("GET /4 HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(bench.accept().readHead().hasPrefix("GET /4"))
    await bench.end()
  }

  @Test("a request that is refused before its body is read: the body is no request (H1-17)")
  func bodyOfRefused() async throws {
    let bench = try await HTTPBench()
    try await bench.use([try bench.rule("/elsewhere", to: [0])])
    let client = bench.dial()
    let inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in 0..<3 {
      client.send("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \(inner.utf8.count)\r\n\r\n\(inner)")
      #expect(client.read(through: "no_route\n").hasPrefix("HTTP/1.1 404"))
    }
    #expect(client.isSilent)
    #expect(try await bench.counters { $0.requests == 3 }.requests == 3)
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    #expect(client.readAll().text.contains("connection: close\r\n"))
    await bench.end()
  }

  @Test("what the hop and the mesh own is not passed on, nor taken away by Connection (H1-16, H1-23, H1-32)")
  func fields() async throws {
    let bench = try await HTTPBench()
    let client = bench.dial()
    client.send(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, authorization, x-hop, :path\r\nAuthorization: b\r\nX-Hop: 1\r\n"
        + "Upgrade: h2c\r\nHTTP2-Settings: AA\r\nX-Forwarded-Client-Cert: x\r\nX-Envoy-A: 1\r\nTE: trailers\r\n\r\n")
    let server = bench.accept()
    let head = server.readHead().lowercased()
    #expect(head.contains("authorization: b\r\n"))
    for gone in ["connection:", "x-hop", "h2c", "http2-settings", "client-cert", "x-envoy", "te:"] {
      #expect(!head.contains(gone), "\(gone)")
    }
    server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\nok")
    #expect(client.readAll() == ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", 0))
    await bench.end()
  }
}
