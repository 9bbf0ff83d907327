import MeshHTTP
import Testing

/// Rows H1-01 to H1-33 of the list of hostile inputs: the machine's part of each.
@Suite("HTTP/1.1: hostile requests")
struct HTTP1HostileTests {
  private let host = "Host: a\r\n"

  private func post(_ fields: String, _ body: String = "") -> String {
    "POST / HTTP/1.1\r\n" + self.host + fields + "\r\n" + body
  }

  private func get(_ fields: String) -> String { "GET / HTTP/1.1\r\n" + self.host + fields + "\r\n" }

  @Test("H1-01, H1-02: length and transfer coding together are refused, in either order")
  func lengthAndCoding() {
    expectRefusal(self.post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), .lengthAndEncoding)
    expectRefusal(self.post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n"), .lengthAndEncoding)
  }

  @Test(
    "H1-03, H1-04: a transfer coding is exactly chunked",
    arguments: [
      "chunked, chunked", "chunked, gzip", "gzip, chunked", "xchunked", "\tchunked", "chunked\t", "chunked;p=1",
      "\"chunked\"", ",chunked", "chunked,", "identity", "",
    ])
  func codings(_ coding: String) {
    expectRefusal(self.post("Transfer-Encoding: \(coding)\r\n"), .transferEncoding)
  }

  @Test("H1-03, H1-04: two fields, control characters, and another case of letters")
  func codingForms() {
    expectRefusal(self.post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"), .transferEncoding)
    expectRefusal(self.post("Transfer-Encoding: chunked\u{b}\r\n"), .fieldValue)
    expectRefusal(self.post("Transfer-Encoding: chun\0ked\r\n"), .fieldValue)
    let trace = served(self.post("Transfer-Encoding: Chunked\r\n", "2\r\nhi\r\n0\r\n\r\n"))
    #expect(trace.lines.dropFirst() == ["body hi", "end ", "answered next"])
  }

  @Test(
    "The method with which HTTP/2 begins is nobody's (RFC 9113 section 11.6): what is behind us may take it for that")
  func priorKnowledge() {
    expectRefusal("PRI /a HTTP/1.1\r\nHost: a\r\n\r\n", .method)
    expectRefusal("PRI * HTTP/1.1\r\nHost: a\r\n\r\n", .method)
  }

  @Test("H1-05: two lengths are refused, equal or not")
  func twoLengths() {
    expectRefusal(self.post("Content-Length: 5\r\nContent-Length: 6\r\n"), .contentLengthRepeated)
    expectRefusal(self.post("Content-Length: 5\r\nContent-Length: 5\r\n"), .contentLengthRepeated)
    expectRefusal(self.post("Content-Length: 5, 5\r\n"), .contentLength)
  }

  @Test(
    "H1-06: a length is digits without a leading zero, below 2^63",
    arguments: [
      "+5", "-0", "0x5", "05", "5 5", "", "18446744073709551616", "9223372036854775808",
      "9999999999999999999999999999999999999999",
    ])
  func oddLengths(_ length: String) { expectRefusal(self.post("Content-Length: \(length)\r\n"), .contentLength) }

  @Test("H1-06, H1-12: control characters in a value or a target")
  func controls() {
    expectRefusal(self.post("Content-Length: 5\0\r\n"), .fieldValue)
    expectRefusal(self.get("X: a\0b\r\n"), .fieldValue)
    expectRefusal("GET /a\u{1} HTTP/1.1\r\nHost: a\r\n\r\n", .target)
  }

  @Test("H1-07: HTTP/1.0 has no transfer coding")
  func version10() {
    expectRefusal(
      "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n\r\n",
      .transferEncodingInVersion10)
  }

  @Test("H1-08: lines end with CR and LF")
  func lineEnds() {
    expectRefusal("GET / HTTP/1.1\nHost: a\n\n", .lineEnd)
    expectRefusal("GET / HTTP/1.1\r\nHost: a\n\r\n", .lineEnd)
    expectRefusal(self.get("X: a\rb\r\n"), .lineEnd)
    let trace = served(self.post("Transfer-Encoding: chunked\r\n", "5\nhello\r\n"))
    #expect(trace.lines.last == "refused chunk_size 400")
  }

  @Test("H1-09, H1-10: folded lines and blanks around names")
  func folds() {
    expectRefusal(self.get("X: a\r\n b\r\n"), .fieldFold)
    expectRefusal(self.post("Transfer-Encoding:\r\n chunked\r\n"), .fieldFold)
    expectRefusal(self.post("Content-Length : 5\r\n"), .fieldName)
    expectRefusal("GET / HTTP/1.1\r\nHost : b\r\n\r\n", .fieldName)
    expectRefusal("GET / HTTP/1.1\r\n Host: b\r\n\r\n", .fieldFold)
  }

  @Test("H1-11: names are tokens", arguments: [": v", "a b: c", "a\0: c", "é: c", "no colon"])
  func names(_ line: String) { expectRefusal(self.get(line + "\r\n"), .fieldName) }

  @Test("HN-01: names with an underscore are refused unless the limits allow them")
  func underscores() {
    expectRefusal(self.get("content_length: 5\r\n"), .fieldUnderscore)
    var limits = HTTP1Limits.defaults
    limits.allowsUnderscores = true
    #expect(served(self.get("a_b: 5\r\n"), limits: limits).lines.first == "request GET / Host=a,a_b=5")
  }

  @Test(
    "H1-13: a chunk's size is hexadecimal digits",
    arguments: ["FFFFFFFFFFFFFFFF1", "FFFFFFFFFFFFFFFF", "0x5", "+5", "-1", "5 ", " 5", "5_0", ""])
  func chunkSizes(_ size: String) {
    let trace = served(self.post("Transfer-Encoding: chunked\r\n", size + "\r\nhello\r\n"))
    #expect(trace.lines.last == "refused chunk_size 400")
    #expect(trace.lines.count == 2)
  }

  @Test("H1-14: extensions are dropped, and bounded over the whole message")
  func chunkExtensions() {
    let head = self.post("Transfer-Encoding: chunked\r\n")
    #expect(
      served(head + "5;a=b\r\nhello\r\n0;c\r\n\r\n").lines.dropFirst() == ["body hello", "end ", "answered next"])
    #expect(served(head + "5;\nhello").lines.last == "refused chunk_extension 400")
    #expect(served(head + "5;a\rb").lines.last == "refused chunk_size 400")
    let long = String(repeating: "x", count: 4096)
    let trace = served(head + String(repeating: "1;\(long)\r\na\r\n", count: 10))
    // Four times 4 KiB is the bound itself; the fifth chunk is refused before its byte.
    #expect(trace.lines.dropFirst() == ["body aaaa", "refused chunk_extension 400"])
  }

  @Test("H1-15: what follows a chunk's bytes is CR and LF")
  func chunkEnds() {
    let head = self.post("Transfer-Encoding: chunked\r\n")
    for bad in ["5\r\nhello6\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello world\r\n"] {
      #expect(served(head + bad).lines.last == "refused chunk_end 400")
    }
  }

  @Test("H1-16: trailers never become fields, and those that mean something are not written")
  func trailers() {
    let trace = served(
      self.post("Transfer-Encoding: chunked\r\n", "0\r\nHost: evil\r\nx-forwarded-client-cert: me\r\nX-Sum: 1\r\n\r\n"))
    #expect(trace.lines[0] == "request POST / Host=a,Transfer-Encoding=chunked")
    #expect(trace.lines[1] == "end Host=evil,x-forwarded-client-cert=me,X-Sum=1")
  }

  @Test("H1-17: a GET's body is a body, whoever answers before it ended")
  func getBody() {
    let inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"
    let bytes = Array((self.get("Content-Length: \(inner.utf8.count)\r\n") + inner + self.get("")).utf8)
    var connection = HTTP1ServerConnection()
    let first = connection.receive(bytes.span)
    #expect(first.event == .request)
    let plan = connection.answer(status: 403, framing: .length(0))
    #expect(plan?.closes == false)
    #expect(connection.answerEnded() == .next)
    var rest = Array(bytes.dropFirst(first.consumed))
    let drained = connection.receive(rest.span)
    #expect(drained == .init(consumed: inner.utf8.count, event: .needsInput))
    rest.removeFirst(drained.consumed)
    #expect(connection.receive(rest.span).event == .request)
    let target = connection.request.map { String(decoding: rest[$0.target], as: UTF8.self) }
    #expect(target == "/")
  }

  @Test("A request that is answered before its end was asked for: the next one behind it is seen at once")
  func answeredAtOnce() {
    var bytes = Array((self.get("") + self.get("")).utf8)
    var connection = HTTP1ServerConnection()
    bytes.removeFirst(connection.receive(bytes.span).consumed)
    _ = connection.answer(status: 404, framing: .length(0))
    #expect(connection.answerEnded() == .next)
    #expect(connection.receive(bytes.span) == .init(consumed: bytes.count, event: .request))
  }

  @Test("H1-17: more than a little left of a body closes the connection")
  func muchLeft() {
    let bytes = Array(self.post("Content-Length: 1000000\r\n").utf8)
    var connection = HTTP1ServerConnection()
    _ = connection.receive(bytes.span)
    #expect(connection.answer(status: 403, framing: .length(0))?.closes == true)
    #expect(connection.answerEnded() == .close(lingers: true))
  }

  @Test("H1-18: one 100 at most, 417 for what is unknown, and no guess about a body that was not asked for")
  func expectations() {
    expectRefusal(self.post("Content-Length: 1\r\nExpect: foo\r\n"), .expectation, 417)
    let bytes = Array(self.post("Content-Length: 1\r\nExpect: 100-continue\r\n").utf8)
    var connection = HTTP1ServerConnection()
    #expect(connection.receive(bytes.span).event == .request)
    var silent = connection
    #expect(connection.interim(100) == true)
    let again = connection.interim(100)
    #expect(!again)
    #expect(silent.answer(status: 200, framing: .length(0))?.closes == true)
    #expect(silent.answerEnded() == .close(lingers: true))
    var bodyless = HTTP1ServerConnection()
    _ = bodyless.receive(Array(self.get("Expect: 100-continue\r\n").utf8).span)
    let unasked = bodyless.interim(100)
    #expect(!unasked)
  }

  @Test("H1-20, H1-21: requests come one after the other, and behind an open one reading stops at a bound")
  func pipelining() {
    let three = self.get("") + "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n" + self.get("")
    #expect(
      served(three).lines == [
        "request GET / Host=a", "end ", "answered next", "request GET /admin Host=a", "end ", "answered next",
        "request GET / Host=a", "end ", "answered next",
      ])
    #expect(served(three, answers: false).lines == ["request GET / Host=a", "end "])
    var connection = HTTP1ServerConnection()
    var bytes = Array(three.utf8)
    bytes.removeFirst(connection.receive(bytes.span).consumed)
    _ = connection.receive(bytes.span)
    #expect(connection.receive(bytes.span) == .init(consumed: 0, event: .waits))
    #expect(connection.wantsRead(held: 1000))
    #expect(!connection.wantsRead(held: HTTP1Limits.defaults.readAheadBytes))
  }

  @Test("H1-22, H1-28: bytes are a tunnel's after 101 only; a refused upgrade ends the connection")
  func upgrades() {
    let websocket = self.get(
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n")
    var refused = HTTP1ServerConnection()
    var bytes = Array((websocket + self.get("")).utf8)
    bytes.removeFirst(refused.receive(bytes.span).consumed)
    #expect(refused.request?.upgrades == true)
    _ = refused.receive(bytes.span)
    #expect(refused.receive(bytes.span).event == .waits)
    var accepted = refused
    #expect(refused.answer(status: 200, framing: .length(0))?.closes == true)
    #expect(refused.answerEnded() == .close(lingers: true))
    #expect(refused.receive(bytes.span) == .init(consumed: bytes.count, event: .needsInput))
    #expect(accepted.answer(status: 101, framing: .none) != nil)
    #expect(accepted.answerEnded() == .tunnel)
    #expect(accepted.receive(bytes.span).event == .tunnel(0..<bytes.count))
  }

  @Test(
    "H1-22, H1-23, H1-24: other upgrades, old versions and wrong WebSockets are no upgrade; one with a body is refused")
  func noUpgrades() {
    for fields in [
      "Connection: upgrade\r\nUpgrade: foo\r\n",
      "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
      "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: x\r\n",
      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n",
    ] {
      var connection = HTTP1ServerConnection()
      #expect(connection.receive(Array(self.get(fields).utf8).span).event == .request)
      #expect(connection.request?.upgrades == false)
      #expect(connection.answer(status: 101, framing: .none) == nil)
    }
    expectRefusal(
      self.get("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n"), .upgradeWithBody)
  }

  @Test("H1-25: an absolute form agrees with Host")
  func absoluteForm() {
    expectRefusal("GET http://evil/ HTTP/1.1\r\nHost: good\r\n\r\n", .hostMismatch)
    expectRefusal("GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n", .target)
    expectRefusal("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", .target)
    expectRefusal("GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", .target)
    #expect(served("GET HTTP://A/x?y HTTP/1.1\r\nHost: a\r\n\r\n").lines[0] == "request GET /x?y Host=a")
  }

  @Test(
    "H1-26: a host is a name or an address, with a port or none",
    arguments: ["a,b", "a/x", "u@a", "a:99999", "a:0", "a:", ":80", "[::1", "[]", "a b", "", "a:8x"])
  func hosts(_ text: String) { expectRefusal("GET / HTTP/1.1\r\nHost: \(text)\r\n\r\n", .host) }

  @Test("H1-26: one host, neither none nor two")
  func hostCount() {
    expectRefusal("GET / HTTP/1.1\r\n\r\n", .hostMissing)
    expectRefusal("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .hostRepeated)
    for good in ["Httpbin.Foo", "[::1]:80", "10.0.0.1:65535"] {
      #expect(served("GET / HTTP/1.1\r\nHost: \(good)\r\n\r\n").lines[0] == "request GET / Host=\(good)")
    }
    #expect(served("GET / HTTP/1.0\r\n\r\n").lines == ["request GET / ", "end ", "answered close(lingers: false)"])
  }

  @Test("H1-27: CONNECT is refused")
  func connect() {
    expectRefusal("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", .connect, 501)
  }

  @Test("H1-29: request lines")
  func requestLines() {
    let host = "\r\nHost: a\r\n\r\n"
    expectRefusal("GET  / HTTP/1.1" + host, .target)
    expectRefusal("GET\t/ HTTP/1.1" + host, .method)
    expectRefusal("get / HTTP/1.1" + host, .requestLine)
    expectRefusal("GET / HTTP/1.2" + host, .version, 505)
    expectRefusal("GET / HTTP/2.0" + host, .version, 505)
    expectRefusal("GET /\r\n", .target)
    expectRefusal("GET * HTTP/1.1" + host, .target)
    expectRefusal("OPTIONS */x HTTP/1.1" + host, .target)
    expectRefusal("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .version, 505)
    expectRefusal("GET /a#b HTTP/1.1" + host, .target)
    #expect(served("OPTIONS * HTTP/1.1" + host).lines[0] == "request OPTIONS * Host=a")
  }

  @Test("H1-30: what is too large is refused within the limits")
  func huge() {
    let x = { (count: Int) in String(repeating: "x", count: count) }
    expectRefusal(self.get("X: \(x(33 * 1024))\r\n"), .headTooLarge, 431)
    expectRefusal(self.get(String(repeating: "a: b\r\n", count: 128)), .tooManyFields, 431)
    #expect(served(self.get(String(repeating: "a: b\r\n", count: 127))).lines.count == 3)
    expectRefusal("GET /\(x(16 * 1024)) HTTP/1.1\r\nHost: a\r\n\r\n", .targetTooLong, 414)
    expectRefusal(String(repeating: "A", count: 300) + " / HTTP/1.1\r\nHost: a\r\n\r\n", .methodTooLong, 501)
    expectRefusal(self.get(String(repeating: "a:\r\n", count: 65535)), .tooManyFields, 431)
  }

  @Test("H1-33: empty lines before a request are few, and bytes that come one at a time are the same request")
  func evasion() {
    expectRefusal(String(repeating: "\r\n", count: 1000) + self.get(""), .emptyLines)
    #expect(served("\r\n" + self.get("")).lines[0] == "request GET / Host=a")
    expectRefusal("SSH-2.0-OpenSSH\r\n", .method)
  }

  @Test("A stream that ends inside of a request is told, one that ends between requests is closed")
  func ends() {
    #expect(served("GET / HT", ended: true).lines == ["refused truncated 400"])
    #expect(served(self.post("Content-Length: 5\r\n", "he"), ended: true).lines.last == "refused truncated 400")
    #expect(served(self.get(""), ended: true).lines.last == "closed")
  }

  @Test("No bytes trap: 20,000 streams of pieces of requests, cut anywhere, end the same")
  func noTrap() {
    let pieces = [
      "GET / HTTP/1.1\r\n", "Host: a\r\n", "\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
      "5\r\nhello\r\n",
      "0\r\n", "hello", "\r", "\n", ":", " ", "\0", "Connection: x, close, :p\r\n", "POST http://a/ HTTP/1.0\r\n",
      "ff;", "Expect: 100-continue\r\n",
    ]
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20_000 {
      var bytes: [UInt8] = random.next() % 2 == 0 ? Array("POST / HTTP/1.1\r\nHost: a\r\n".utf8) : []
      for _ in 0..<Int.random(in: 1..<8) { bytes += Array((pieces.randomElement(using: &random) ?? "").utf8) }
      if random.next() % 4 == 0, let index = bytes.indices.randomElement(using: &random) {
        bytes[index] = UInt8.random(in: 0...255, using: &random)
      }
      let ended = random.next() % 2 == 0
      let whole = serve(bytes, feed: .whole, ended: ended)
      #expect(whole.lines == serve(bytes, feed: .byByte, ended: ended).lines, "\(bytes)")
      _ = call(bytes, feed: .whole, ended: ended)
    }
  }
}
