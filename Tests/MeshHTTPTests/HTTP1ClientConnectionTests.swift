import MeshHTTP
import Testing

@Suite("HTTP/1.1: answers of upstreams")
struct HTTP1ClientConnectionTests {
  private func called(
    _ text: String, isHead: Bool = false, upgrades: Bool = false, ended: Bool = false,
    sourceLocation: SourceLocation = #_sourceLocation
  ) -> [String] {
    let traces = Feed.allCases.map {
      call(Array(text.utf8), feed: $0, isHead: isHead, upgrades: upgrades, ended: ended).lines
    }
    for trace in traces { #expect(trace == traces[0], sourceLocation: sourceLocation) }
    return traces[0]
  }

  @Test("A counted answer and a chunked one prove their end, one without either ends with the stream")
  func ends() {
    #expect(
      self.called("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        == ["response 200 Content-Length=2", "body hi", "end reusable"])
    #expect(
      self.called("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
        == ["response 200 Transfer-Encoding=chunked", "body hi", "end X-Sum=1reusable"])
    #expect(self.called("HTTP/1.1 200 OK\r\n\r\nhi", ended: true) == ["response 200 ", "body hi", "end close"])
    #expect(self.called("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").last == "end close")
    #expect(self.called("HTTP/1.1 200\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").last == "end close")
  }

  @Test("An answer that is cut is never whole")
  func truncated() {
    #expect(self.called("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", ended: true).last == "refused truncated")
    #expect(
      self.called("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", ended: true).last
        == "refused truncated")
    #expect(self.called("HTTP/1.1 20", ended: true) == ["refused truncated"])
  }

  @Test("H1-19: interim responses are few, and none comes behind the final head")
  func interims() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    let final = "HTTP/1.1 204 No Content\r\n\r\n"
    #expect(
      self.called(String(repeating: early, count: 8) + final)
        == Array(repeating: "interim 103", count: 8) + ["response 204 ", "end reusable"])
    #expect(self.called(String(repeating: early, count: 1000)).last == "refused interim_responses")
    #expect(self.called("HTTP/1.1 101 Switching\r\n\r\n") == ["refused interim_responses"])
    #expect(self.called("HTTP/1.1 101 Switching\r\n\r\nab", upgrades: true) == ["response 101 ", "body ab"])
  }

  @Test("H1-31: framing that says two things is refused")
  func framing() {
    for (fields, fault) in [
      ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "length_and_encoding"),
      ("Content-Length: 5\r\nContent-Length: 5\r\n", "content_length_repeated"),
      ("Transfer-Encoding: gzip\r\n", "transfer_encoding"),
    ] {
      #expect(self.called("HTTP/1.1 200 OK\r\n" + fields + "\r\nhello") == ["refused " + fault])
    }
    #expect(self.called("HTTP/2 200 OK\r\n\r\n") == ["refused version"])
    #expect(self.called("HTTP/1.1 abc\r\n\r\n") == ["refused status_line"])
  }

  @Test("H1-31: HEAD, 204 and 304 have no body, and one that comes ends the connection")
  func bodyless() {
    #expect(self.called("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", isHead: true).last == "end reusable")
    #expect(self.called("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").last == "end reusable")
    #expect(self.called("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n").last == "end close")
    let trace = call(Array("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".utf8), feed: .whole, isHead: true)
    #expect(trace.lines.last == "end close")
  }

  @Test("H1-31: bytes behind an answer and before a request are nobody's answer")
  func unsolicited() {
    let two = Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n".utf8)
    #expect(call(two, feed: .whole).lines == ["response 200 Content-Length=0", "end close"])
    #expect(call(two, feed: .byByte).lines.last == "refused unsolicited_response")
    var connection = HTTP1ClientConnection()
    #expect(connection.receive(two.span).event == .refused(.unsolicited))
    let begins = connection.begin(isHead: false)
    #expect(!begins)
  }

  @Test("An answer that came before the request's end leaves no connection to use again")
  func early() {
    let trace = call(
      Array("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n".utf8), feed: .whole, requestEnds: false)
    #expect(trace.lines.last == "end close")
  }

  @Test("A reusable connection takes the next request")
  func reuse() {
    var connection = HTTP1ClientConnection()
    let bytes = Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".utf8)
    for _ in 0..<3 {
      #expect(connection.begin(isHead: false) == true)
      let twice = connection.begin(isHead: false)
      #expect(!twice)
      connection.requestEnded()
      let step = connection.receive(bytes.span)
      #expect(step.event == .response)
      let end = connection.receive(bytes.span.extracting(step.consumed..<bytes.count))
      #expect(end.event == .responseEnd(trailersFrom: 0, isReusable: true))
    }
    #expect(connection.receive([UInt8]().span, ended: true).event == .closed)
  }
}
