import Testing

@testable import MeshHTTP

@Suite("HTTP/2: heads, HPACK, gRPC")
struct HTTP2HeadTests {
  static let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]

  static func block(_ fields: [(String, String)]) -> FieldBlock {
    var block = FieldBlock()
    for (name, value) in fields { block.append(name, value) }
    return block
  }

  static func refusal(_ fields: [(String, String)]) -> HTTP2Failure? {
    do {
      _ = try HTTP2Head.request(Self.block(fields), HTTP2HeadRules())
      return nil
    } catch { return error }
  }

  @Test("a plain request passes; the authority wins and host goes")
  func plain() throws {
    let head = try HTTP2Head.request(Self.block(Self.get + [("host", "b"), ("x", "1 2")]), HTTP2HeadRules())
    guard case .request(_, _, let authority, _) = head.start else {
      Issue.record("no request")
      return
    }
    #expect(head.text(authority).elementsEqual("a".utf8))
    #expect(head.fields.count == 1)
  }

  @Test("H2-12: no byte that ends a line or an element gets through", arguments: ["\r", "\n", "\0", " "])
  func injection(bad: String) {
    for index in Self.get.indices {
      var fields = Self.get
      fields[index].1 += bad + "x"
      #expect(Self.refusal(fields) != nil)
    }
    #expect((Self.refusal(Self.get + [("x", "a" + bad + "b")]) != nil) == (bad != " "))
    #expect(Self.refusal(Self.get + [("x", bad + "b")]) == .stream(.protocolError, .fieldValue))
  }

  @Test("H2-13, H2-24: pseudo fields")
  func pseudo() {
    for index in Self.get.indices where index != 2 {
      var fields = Self.get
      fields.remove(at: index)
      #expect(Self.refusal(fields) != nil)
    }
    #expect(Self.refusal(Self.get + [(":path", "/")]) == .stream(.protocolError, .pseudoField))
    #expect(Self.refusal(Self.get + [(":x", "/")]) == .stream(.protocolError, .pseudoField))
    #expect(Self.refusal(Self.get + [(":status", "200")]) == .stream(.protocolError, .pseudoField))
    #expect(Self.refusal([("x", "1")] + Self.get) == .stream(.protocolError, .pseudoField))
    #expect(Self.refusal(Self.get + [(":protocol", "websocket")]) == .stream(.protocolError, .extendedConnect))
    #expect(Self.refusal(Self.get.map { ($0.0, $0.0 == ":path" ? "" : $0.1) }) == .stream(.protocolError, .path))
  }

  @Test(
    "H2-14, HN-04: fields of one connection and upper case",
    arguments: [
      ("connection", "x"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("keep-alive", "1"),
      ("proxy-connection", "x"), ("te", "gzip"), ("X-Upper", "1"), ("content-length", "+1"),
    ])
  func forbidden(name: String, value: String) {
    #expect(Self.refusal(Self.get + [(name, value)]) != nil)
  }

  @Test("H2-22: pseudo fields are no trailers")
  func trailers() throws {
    #expect(throws: HTTP2Failure.stream(.protocolError, .pseudoField)) {
      _ = try HTTP2Head.trailers(Self.block([(":path", "/")]), HTTP2HeadRules())
    }
    #expect(try HTTP2Head.trailers(Self.block([("grpc-status", "0")]), HTTP2HeadRules()).fields.count == 1)
  }

  @Test("CONNECT only where it is allowed")
  func connect() throws {
    let fields = [(":method", "CONNECT"), (":authority", "10.0.0.1:80")]
    #expect(Self.refusal(fields) == .stream(.protocolError, .connectRefused))
    var rules = HTTP2HeadRules()
    rules.allowsConnect = true
    _ = try HTTP2Head.request(Self.block(fields), rules)
  }

  @Test("HPACK there and back")
  func roundTrip() throws {
    var one = HPACKCodec(largestList: 65_536)
    var other = HPACKCodec(largestList: 65_536)
    for _ in 0..<3 {
      var bytes: [UInt8] = []
      try one.encode(Self.block(Self.get), to: &bytes)
      #expect(try other.decode(bytes.span) == Self.block(Self.get))
    }
  }

  @Test(
    "H2-10, H2-11: what HPACK forbids",
    arguments: [
      [0x80], [0xfe], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0x3f, 0xff, 0xff, 0x7f],
      [0x00, 0x81, 0x1c, 0x84, 0xff, 0xff, 0xff, 0xff], [0x00, 0x01, 0x61, 0x82, 0x1f, 0xff],
    ] as [[UInt8]])
  func hostile(bytes: [UInt8]) {
    var codec = HPACKCodec(largestList: 65_536)
    #expect(throws: HeaderBlockFailure.compression) { _ = try codec.decode(bytes.span) }
  }

  @Test("H2-10: 4 KB four thousand times is given up")
  func bomb() {
    var codec = HPACKCodec(largestList: 65_536)
    let length = 4000
    var bytes: [UInt8] = [0x40, 1, 0x61, 0x7f, UInt8((length - 127) & 127) | 128, UInt8((length - 127) >> 7)]
    bytes += [UInt8](repeating: 0x62, count: length)
    bytes += [UInt8](repeating: 0xbe, count: 4000)
    #expect(throws: HeaderBlockFailure.tooLarge) { _ = try codec.decode(bytes.span) }
  }

  @Test("H2-23: timeouts and statuses of gRPC")
  func grpc() {
    #expect(GRPCTimeout.milliseconds("100m".utf8) == 100)
    #expect(GRPCTimeout.milliseconds("99999999H".utf8) == 359_999_996_400_000)
    #expect(GRPCTimeout.milliseconds("1n".utf8) == 1)
    for bad in ["", "m", "1", "123456789S", "-1S", "1 S", "1x"] {
      #expect(GRPCTimeout.milliseconds(bad.utf8) == nil)
    }
    #expect(GRPCStatus(httpStatus: 503) == .unavailable)
    #expect(GRPCStatus(httpStatus: 200) == .unknown)
  }
}
