import Glibc
import MeshBase
import MeshHTTP
import MeshNet
import MeshSnapshot
import Testing

/// Rows of the catalogue of hostile inputs for HTTP/2, through sockets.
@Suite(.serialized) struct HTTP2HostileProxyTests {
  /// A client that breaks the law.
  private final class Rogue {
    let socket: HTTPBench.Peer
    private var codec = HPACKCodec(largestList: 1 << 20)

    init(_ socket: HTTPBench.Peer, settings: [UInt8] = []) {
      self.socket = socket
      socket.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + Self.frame(.settings, payload: settings))
    }

    static func frame(
      _ kind: HTTP2FrameHeader.Kind, _ flags: HTTP2FrameHeader.Flags = [], _ stream: UInt32 = 0, payload: [UInt8] = []
    ) -> [UInt8] {
      var bytes: [UInt8] = []
      HTTP2FrameHeader(payloadLength: payload.count, kind: kind, flags: flags, stream: stream).write(to: &bytes)
      return bytes + payload
    }

    func head(_ stream: UInt32, _ fields: [(String, String)] = [], method: String = "POST", ends: Bool = false)
      -> [UInt8]
    {
      let start = [(":method", method), (":scheme", "http"), (":authority", "web"), (":path", "/")]
      var block: [UInt8] = []
      do {
        try self.codec.encode(HTTP2Peer.block(start + fields), to: &block)
      } catch {
        Issue.record("cannot be encoded: \(error)")
      }
      return Self.frame(.headers, ends ? [.endHeaders, .endStream] : .endHeaders, stream, payload: block)
    }

    /// A head of these fields and no others.
    func bare(_ stream: UInt32, _ fields: [(String, String)], ends: Bool) -> [UInt8] {
      var block: [UInt8] = []
      do {
        try self.codec.encode(HTTP2Peer.block(fields), to: &block)
      } catch {
        Issue.record("cannot be encoded: \(error)")
      }
      return Self.frame(.headers, ends ? [.endHeaders, .endStream] : .endHeaders, stream, payload: block)
    }

    func send(_ bytes: [UInt8]) { self.socket.send(bytes) }

    /// Whether the stream's answer came to its end.
    func isAnswered(on stream: UInt32) -> Bool {
      while let (header, _) = self.next() {
        if header.stream == stream, header.kind == .resetStream { return false }
        if header.stream == stream, header.flags.contains(.endStream) { return true }
      }
      return false
    }

    /// The next frame; nil: the connection has ended.
    func next() -> (header: HTTP2FrameHeader, payload: [UInt8])? {
      let bytes = self.socket.read(HTTP2FrameHeader.length)
      guard let header = HTTP2FrameHeader(bytes.span) else { return nil }
      let payload = self.socket.read(header.payloadLength)
      return payload.count == header.payloadLength ? (header, payload) : nil
    }

    private static func code(_ payload: [UInt8], at offset: Int) -> UInt32 {
      payload.dropFirst(offset).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// How the proxy ends a stream.
    func reset(of stream: UInt32) -> UInt32? {
      while let (header, payload) = self.next() {
        if header.kind == .resetStream, header.stream == stream { return Self.code(payload, at: 0) }
      }
      return nil
    }

    /// Why the proxy ends the connection, which it does.
    func goAway() -> UInt32? {
      var code: UInt32?
      while let (header, payload) = self.next() { if header.kind == .goAway { code = Self.code(payload, at: 4) } }
      return code
    }
  }

  private static let protocolError: UInt32 = 1
  private static let enhanceYourCalm: UInt32 = 11

  @Test("streams that are opened and reset by the thousand end their connection, and nobody else's (H2-01)")
  func rapidReset() async throws {
    let bench = try await HTTPBench(appProtocol: .http2)
    let victim = HTTP2Peer(bench.dial(), .client)
    let before = victim.open()
    // Its connection is shared by the clients of one workload: what a client may do before it is stopped has to be borne.
    var limits = HTTP2Limits.defaults
    limits.resets = .init(perSecond: 1000, burst: 1000)
    let server = HTTP2Peer(bench.accept(), .server, limits: limits)
    server.answer(server.request())
    #expect(victim.message(before).text == "ok")
    let rogue = Rogue(bench.dial())
    var flood: [UInt8] = []
    for number in 0..<5000 {
      let id = UInt32(2 * number + 1)
      flood += rogue.head(id, ends: true) + Rogue.frame(.resetStream, [], id, payload: [0, 0, 0, 8])
    }
    let bytes = flood
    let sender = Task.detached { [socket = rogue.socket] in socket.send(bytes) }
    #expect(rogue.goAway() == Self.enhanceYourCalm)
    await sender.value
    server.settle()
    #expect(server.streams.count < 500, "\(server.streams.count)")
    let after = victim.open()
    let next = server.streams.count + 1
    server.answer(server.request(next))
    #expect(victim.message(after).text == "ok")
    #expect(bench.isUndialled())
    let refused = try await bench.counters { $0.active == 1 }.refused
    #expect(refused["http2_reset_flood"] == 1)
    await bench.end()
  }

  @Test("a client that has its streams reset for its own faults pays for that too (H2-02)")
  func madeYouReset() async throws {
    let bench = try await HTTPBench(appProtocol: .http2)
    let rogue = Rogue(bench.dial())
    var flood: [UInt8] = []
    for number in 0..<2000 {
      let id = UInt32(2 * number + 1)
      flood += rogue.head(id, ends: true) + Rogue.frame(.windowUpdate, [], id, payload: [0, 0, 0, 0])
    }
    let bytes = flood
    let sender = Task.detached { [socket = rogue.socket] in socket.send(bytes) }
    #expect(rogue.goAway() == Self.enhanceYourCalm)
    await sender.value
    #expect(try await bench.counters { $0.active == 0 }.refused["http2_fault_flood"] == 1)
    await bench.end()
  }

  @Test(
    "floods of control frames end the connection, also if nobody reads the answers (H2-04 to H2-07)",
    arguments: [
      (HTTP2FrameHeader.Kind.ping, [UInt8](repeating: 1, count: 8)), (.settings, []),
      (.priority, [0, 0, 0, 0, 1]), (.windowUpdate, [0, 0, 0, 1]),
    ])
  func floods(kind: HTTP2FrameHeader.Kind, payload: [UInt8]) async throws {
    let bench = try await HTTPBench(appProtocol: .http2)
    let rogue = Rogue(bench.dial())
    let stream: UInt32 = kind == .priority ? 1 : 0
    let bytes = (0..<20_000).flatMap { _ in Rogue.frame(kind, [], stream, payload: payload) }
    let sender = Task.detached { [socket = rogue.socket] in socket.send(bytes) }
    await sender.value
    let code = rogue.goAway()
    #expect(code == Self.enhanceYourCalm || code == nil)
    let counters = try await bench.counters { $0.active == 0 }
    #expect(counters.active == 0 && counters.refused.keys.contains { $0.hasPrefix("http2_") && $0.hasSuffix("_flood") })
    #expect(bench.isUndialled())
    await bench.end()
  }

  private static let start = [(":method", "GET"), (":scheme", "http"), (":authority", "web"), (":path", "/evil")]

  /// Heads that are none, each with what is wrong about it.
  private static let heads: [(String, [(String, String)])] = {
    var rows: [(String, [(String, String)])] = []
    for bad in ["\r", "\n", "\0", "\r\nx: y", " "] {
      for index in Self.start.indices {
        var fields = Self.start
        fields[index].1 += bad + "x"
        rows.append(("H2-12 \(fields[index].0)", fields))
      }
      if bad != " " { rows.append(("H2-12 value", Self.start + [("x", "a\(bad)b")])) }
      rows.append(("H2-12 value", Self.start + [("x", bad + "b")]))
      rows.append(("H2-12 value", Self.start + [("x", "b" + bad)]))
    }
    for index in [0, 1, 3] {
      var fields = Self.start
      fields.remove(at: index)
      rows.append(("H2-13 without \(Self.start[index].0)", fields))
    }
    rows += [
      ("H2-13 twice", Self.start + [(":path", "/")]), ("H2-13 unknown", Self.start + [(":x", "/")]),
      ("H2-13 behind a field", [("x", "1")] + Self.start), ("H2-13 of an answer", Self.start + [(":status", "200")]),
      ("H2-13 empty", Array(Self.start.dropLast()) + [(":path", "")]),
      ("H2-13 not from /", Array(Self.start.dropLast()) + [(":path", "evil")]),
      ("H2-13 another host", Self.start + [("host", "evil"), ("host", "web")]),
      ("H2-14", Self.start + [("connection", "close")]), ("H2-14", Self.start + [("transfer-encoding", "chunked")]),
      ("H2-14", Self.start + [("upgrade", "h2c")]), ("H2-14", Self.start + [("te", "gzip")]),
      ("H2-14", Self.start + [("keep-alive", "1")]), ("H2-14", Self.start + [("proxy-connection", "close")]),
      ("H2-14 upper case", Self.start + [("X-Upper", "1")]), ("HN-01", Self.start + [("content_length", "1")]),
      ("H2-24", [(":method", "CONNECT")] + Self.start.dropFirst() + [(":protocol", "websocket")]),
    ]
    return rows
  }()

  @Test(
    "a head that is none resets its stream, the backend sees nothing of it, and the stream beside it goes on (H2-12, H2-13, H2-14)",
    arguments: [AppProtocol.http, .http2])
  func heads(appProtocol: AppProtocol) async throws {
    let bench = try await HTTPBench(appProtocol: appProtocol)
    var server: HTTPBench.Peer?
    var peer: HTTP2Peer?
    for (number, (row, fields)) in Self.heads.enumerated() {
      let rogue = Rogue(bench.dial())
      rogue.send(rogue.bare(1, Self.start.dropLast() + [(":path", "/good-\(number)")], ends: false))
      rogue.send(rogue.bare(3, fields, ends: true))
      #expect(rogue.reset(of: 3) == Self.protocolError, "\(row): \(fields)")
      rogue.send(Rogue.frame(.data, .endStream, 1, payload: Array("body".utf8)))
      if server == nil { server = bench.accept() }
      let backend = try #require(server)
      if appProtocol == .http {
        // One connection for all of them: what a bad head had left there would stand in front of the next one.
        let head = backend.readHead()
        #expect(head.hasPrefix("GET /good-\(number) HTTP/1.1\r\n"), "\(row): \(head)")
        #expect(backend.read(through: "0\r\n\r\n") == "4\r\nbody\r\n0\r\n\r\n")
        backend.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
      } else {
        if peer == nil { peer = HTTP2Peer(backend, .server) }
        let id = try #require(peer?.request(number + 1))
        #expect(peer?.streams.count == number + 1, "\(row)")
        #expect(peer?.streams[id]?.request == "GET web /good-\(number)", "\(row)")
        peer?.answer(id)
      }
      #expect(rogue.isAnswered(on: 1), "\(row)")
    }
    #expect(bench.isUndialled())
    await bench.end()
  }

  @Test("where :authority and Host differ the authority is what counts, and no other Host is passed on (H2-13)")
  func authority() async throws {
    let bench = try await HTTPBench(appProtocol: .http)
    let rogue = Rogue(bench.dial())
    rogue.send(rogue.bare(1, Self.start + [("host", "evil")], ends: true))
    let head = bench.accept().readHead().lowercased()
    #expect(head.contains("host: web\r\n") && !head.contains("evil\r\n"), "\(head)")
    await bench.end()
  }

  @Test("a body that is not as long as was said ends its stream, and its upstream's request is no whole one (H2-15)")
  func contentLength() async throws {
    for appProtocol in [AppProtocol.http, .http2] {
      let bench = try await HTTPBench(appProtocol: appProtocol)
      let rogue = Rogue(bench.dial())
      rogue.send(rogue.head(1, [("content-length", "5")]))
      rogue.send(Rogue.frame(.data, [], 1, payload: [1, 2, 3]))
      let server = bench.accept()
      if appProtocol == .http { _ = server.read(through: "\u{1}\u{2}\u{3}") }
      rogue.send(Rogue.frame(.data, .endStream, 1, payload: [4]))
      #expect(rogue.reset(of: 1) == Self.protocolError)
      if appProtocol == .http {
        #expect(server.readAll().end == -Int(ECONNRESET))
      } else {
        let peer = HTTP2Peer(server, .server)
        peer.settle()
        #expect(peer.streams.values.allSatisfy { !$0.ended })
      }
      await bench.end()
    }
  }

  @Test("a stream above the limit is refused, and data behind a reset is nothing (H2-20, H2-21)")
  func beyondLimits() async throws {
    let bench = try await HTTPBench(appProtocol: .http2)
    let rogue = Rogue(bench.dial())
    for number in 0..<101 { rogue.send(rogue.head(UInt32(2 * number + 1))) }
    #expect(rogue.reset(of: 201) == 7)
    rogue.send(
      Rogue.frame(.resetStream, [], 1, payload: [0, 0, 0, 8]) + Rogue.frame(.data, .endStream, 1, payload: [1, 2, 3])
        + Rogue.frame(.ping, payload: [1, 2, 3, 4, 5, 6, 7, 8]))
    var isAnswered = false
    while !isAnswered, let (header, _) = rogue.next() { isAnswered = header.kind == .ping }
    #expect(isAnswered)
    let server = HTTP2Peer(bench.accept(), .server)
    server.wait { $0.streams.count == 99 }
    #expect(server.streams.count == 99)
    await bench.end()
  }

  @Test("a hundred streams that take nothing of long answers: what the proxy holds is bounded (H2-08)")
  func zeroWindow() async throws {
    let bench = try await HTTPBench(appProtocol: .http2)
    let rogue = Rogue(bench.dial(), settings: [0, 4, 0, 0, 0, 0])
    for number in 0..<100 { rogue.send(rogue.head(UInt32(2 * number + 1), method: "GET", ends: true)) }
    let server = HTTP2Peer(bench.accept(), .server)
    server.wait { $0.streams.count == 100 }
    let chunk = [UInt8](repeating: 7, count: 1 << 20)
    var sent = 0
    for id in server.streams.keys {
      server.head(id, [(":status", "200")])
      sent += server.dataNow(id, chunk)
      server.settle(milliseconds: 5)
    }
    server.settle()
    for id in server.streams.keys { sent += server.dataNow(id, chunk) }
    #expect(sent <= 1 << 20, "\(sent)")
    await bench.end()
  }

  @Test("a stream that takes nothing ends after a while, and what it held is given back (H2-08)")
  func stalled() async throws {
    var configuration = HTTPConfiguration.defaults
    configuration.stallTimeout = 300
    let bench = try await HTTPBench(configuration, appProtocol: .http2)
    let client = HTTP2Peer(bench.dial(), .client)
    client.consumes = false
    let slow = client.open()
    let server = HTTP2Peer(bench.accept(), .server)
    let id = server.request()
    server.head(id, [(":status", "200")])
    _ = server.dataNow(id, [UInt8](repeating: 7, count: 1 << 20))
    client.settle()
    server.settle()
    _ = server.dataNow(id, [UInt8](repeating: 7, count: 1 << 20))
    #expect(client.reset(of: slow) == .cancel && server.reset(of: id) == .cancel)
    client.consumes = true
    let next = client.open()
    server.answer(server.request(2))
    client.consume(65_535, of: slow)
    #expect(client.message(next).text == "ok")
    await bench.end()
  }
}
