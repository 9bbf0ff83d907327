import Testing

@testable import MeshHTTP

/// Rows H2-01 to H2-24 of the list of hostile inputs, the floods apart: the machine's part of each.
@Suite("HTTP/2: hostile peers")
struct HTTP2HostileTests {
  /// What the first request of a connection that gives these bytes leads to.
  private func served(
    limits: HTTP2Limits = .defaults, sourceLocation: SourceLocation = #_sourceLocation,
    _ give: (inout HTTP2Rig) -> [UInt8]
  ) -> [String] {
    let (told, written) = ways(limits: limits, sourceLocation: sourceLocation) { rig in
      rig.give(give(&rig))
    }
    return told + written
  }

  @Test("H2-03: a head is closed at its sixth frame, or where it is longer than it may be")
  func continuation() {
    let empty = { (_: inout HTTP2Rig) in
      frame(.headers, [], 1) + (0..<100).flatMap { _ in frame(.continuation, [], 1) }
    }
    #expect(self.served(empty) == ["failed 11 block_too_long", "goaway(0,11)"])
    for count in [4, 5] {
      let told = self.served { rig in
        let block = rig.block(HTTP2Rig.get)
        return frame(.headers, .endStream, 1, block)
          + (1..<count).flatMap { frame(.continuation, $0 == count - 1 ? .endHeaders : [], 1) }
      }
      #expect(told == ["head 1 GET a / ends"])
    }
    let long = frame(.headers, [], 1, [UInt8](repeating: 0, count: 16_384))
    let more = frame(.continuation, [], 1, [UInt8](repeating: 0, count: 16_384))
    let most = long + (0..<6).flatMap { _ in more }
    #expect(self.served { _ in most + frame(.continuation, [], 1, [UInt8](repeating: 0, count: 8192)) }.isEmpty)
    #expect(self.served { _ in most + more }.first == "failed 11 block_too_long")
    #expect(self.served { _ in long + frame(.ping, [], 0, word(0) + word(0)) }.first == "failed 1 continuation")
    #expect(self.served { _ in long + frame(.continuation, [], 3, [0]) }.first == "failed 1 continuation")
  }

  @Test(
    "a list within its bound is taken, also where Huffman's code makes it longer than that; one beyond is answered with 431"
  )
  func longFields() {
    let taken = "head 1 GET a / x=\(String(repeating: "\\", count: 28_000)) ends"
    for (count, told) in [(28_000, taken), (33_000, "refused 1 0 fields_too_large")] {
      let answer = self.served { rig in
        let block = rig.block(HTTP2Rig.get + [("x", String(repeating: "\\", count: count))])
        #expect(block.count > 64 << 10)
        var frames: [UInt8] = []
        for start in stride(from: 0, to: block.count, by: 16_384) {
          let end = min(start + 16_384, block.count)
          let flags: HTTP2FrameHeader.Flags = end == block.count ? .endHeaders : []
          frames += frame(
            start == 0 ? .headers : .continuation, start == 0 ? flags.union(.endStream) : flags, 1,
            Array(block[start..<end]))
        }
        return frames
      }
      #expect(answer.first == told, "\(count)")
    }
  }

  @Test(
    "H2-08: a hundred streams with closed windows get nothing, and cannot make this side hold more than its windows")
  func windows() {
    let (told, _) = ways { rig in
      rig.give(frame(.settings, [], 0, setting(4, 0)))
      for stream in stride(from: UInt32(1), to: 201, by: 2) {
        rig.give(rig.headers(stream, HTTP2Rig.get, ends: true))
        rig.respond(stream, ends: false)
        let grant = try? rig.connection.sendData(10 << 20, of: stream, ends: true, to: &rig.output)
        #expect(grant == .init(count: 0, ends: false))
      }
    }
    #expect(told.count == 101)

    var rig = HTTP2Rig(.server)
    rig.consumes = false
    let chunk = [UInt8](repeating: 0x61, count: 16_383)
    var stream: UInt32 = 1
    while rig.connection.heldBytes + 4 * chunk.count <= 1 << 20 {
      rig.give(rig.headers(stream, HTTP2Rig.post) + (0..<4).flatMap { _ in frame(.data, [], stream, chunk) })
      stream += 2
    }
    #expect(rig.connection.heldBytes <= 1 << 20)
    #expect(rig.told.allSatisfy { !$0.hasPrefix("failed") && !$0.hasPrefix("refused") })
    rig.give(rig.headers(stream, HTTP2Rig.post) + (0..<4).flatMap { _ in frame(.data, [], stream, chunk) })
    rig.give(rig.headers(stream + 2, HTTP2Rig.post) + (0..<2).flatMap { _ in frame(.data, [], stream + 2, chunk) })
    #expect(rig.told.last == "failed 3 window_exceeded")
    #expect(rig.connection.heldBytes <= 1 << 20)

    // One stream alone ends at its own window.
    let over = self.served { rig in
      rig.consumes = false
      return rig.headers(1, HTTP2Rig.post) + (0..<5).flatMap { _ in frame(.data, [], 1, chunk) }
    }
    #expect(over.suffix(2) == ["refused 1 3 window_exceeded", "rst(1,3)"])
  }

  @Test("H2-09: windows that overflow, take nothing, or go below zero")
  func windowLaws() {
    let most = word(0x7fff_ffff)
    #expect(self.served { _ in frame(.windowUpdate, [], 0, most) } == ["failed 3 window_overflow", "goaway(0,3)"])
    #expect(self.served { _ in frame(.windowUpdate, [], 0, word(0)) } == ["failed 1 window_increment", "goaway(0,1)"])
    #expect(
      self.served { $0.headers(1, HTTP2Rig.post) + frame(.windowUpdate, [], 1, most) }
        == ["head 1 POST a /", "refused 1 3 window_overflow", "rst(1,3)"])
    #expect(
      self.served { rig in
        rig.headers(1, HTTP2Rig.post) + frame(.windowUpdate, [], 1, word(0x7fff_0000))
          + frame(.settings, [], 0, setting(4, 0x7fff_ffff))
      }.last == "goaway(1,3)")
    let (told, written) = ways { rig in
      rig.give(rig.headers(1, HTTP2Rig.get, ends: true))
      rig.respond(1, ends: false)
      let first = try? rig.connection.sendData(10_000, of: 1, ends: false, to: &rig.output)
      rig.output += [UInt8](repeating: 0x61, count: first?.count ?? 0)
      rig.give(frame(.settings, [], 0, setting(4, 100)))
      #expect(rig.connection.sendable(1) == 0)
      rig.give(frame(.windowUpdate, [], 1, word(9900)))
      #expect(rig.connection.sendable(1) == 0)
      rig.give(frame(.windowUpdate, [], 1, word(7)))
      let last = try? rig.connection.sendData(10, of: 1, ends: true, to: &rig.output)
      #expect(last == .init(count: 7, ends: false))
      rig.output += [UInt8](repeating: 0x61, count: 7)
    }
    #expect(told == ["head 1 GET a / ends", "settings", "writable 1"])
    #expect(written == ["headers(1,200)", "data(1,10000)", "settings-ack", "data(1,7)"])
  }

  @Test("H2-10, H2-11: what HPACK forbids ends the connection; a list that is only too large is answered")
  func compression() {
    for block: [UInt8] in [
      [0x80], [0xfe], [0x3f, 0xff, 0xff, 0x7f], [0x00, 0x81, 0x1c, 0x84, 0xff, 0xff, 0xff, 0xff],
    ] {
      #expect(self.served { _ in frame(.headers, .endHeaders, 1, block) } == ["failed 9 compression", "goaway(0,9)"])
    }
    let entry: [UInt8] = [0x40, 1, 0x61, 0x7f, 161, 30] + [UInt8](repeating: 0x62, count: 4000)
    let bomb = frame(.headers, .endHeaders, 1, entry + [UInt8](repeating: 0xbe, count: 4000))
    #expect(self.served { _ in bomb }.first == "failed 11 fields_too_large")
    let many = HTTP2Rig.get + (0..<129).map { ("x\($0)", "1") }
    let large = HTTP2Rig.get + (0..<9).map { ("x\($0)", String(repeating: "a", count: 4000)) }
    for fields in [many, large] {
      let told = self.served { rig in
        let block = rig.block(fields)
        return frame(.headers, .endStream, 1, Array(block.prefix(16_384)))
          + frame(.continuation, .endHeaders, 1, Array(block.dropFirst(16_384)))
          + rig.headers(3, HTTP2Rig.get, ends: true)
      }
      #expect(told == ["refused 1 0 fields_too_large", "head 3 GET a / ends", "headers(1,431)ends"])
    }
  }

  @Test(
    "H2-12, H2-13, H2-14, H2-24: a head that is no head resets its stream, is not told, and leaves the next one readable",
    arguments: [
      HTTP2Rig.get + [("x", "a\r\nb: c")], HTTP2Rig.get + [("x", "a\0")], HTTP2Rig.get + [(":path", "/")],
      Array(HTTP2Rig.get.dropLast()), [("x", "1")] + HTTP2Rig.get, HTTP2Rig.get + [("host", "b"), ("host", "c")],
      HTTP2Rig.get + [(":status", "200")], HTTP2Rig.get + [("connection", "close")], HTTP2Rig.get + [("te", "gzip")],
      HTTP2Rig.get + [("transfer-encoding", "chunked")], HTTP2Rig.get + [("x_y", "1")],
      [(":method", "CONNECT"), (":authority", "a:80")], HTTP2Rig.get + [(":protocol", "websocket")],
      [(":method", "GET"), (":scheme", "http"), (":authority", "a,b"), (":path", "/")],
      [(":method", "GET"), (":scheme", "http"), (":authority", "u@a"), (":path", "/")],
    ] as [Fields])
  func heads(fields: Fields) {
    let told = self.served { $0.headers(1, fields, ends: true) + $0.headers(3, HTTP2Rig.get, ends: true) }
    #expect(told.count == 3)
    #expect(told.first?.hasPrefix("refused 1 1 ") == true)
    #expect(told.dropFirst() == ["head 3 GET a / ends", "rst(1,1)"])
  }

  @Test("H2-15: content that is not as long as it was said to be")
  func contentLength() {
    let post = HTTP2Rig.post + [("content-length", "5")]
    func data(_ count: Int, ends: Bool) -> [UInt8] {
      frame(.data, ends ? .endStream : [], 1, [UInt8](repeating: 0x61, count: count))
    }
    let refusal = ["refused 1 1 content_length", "rst(1,1)"]
    #expect(self.served { $0.headers(1, post, ends: true) } == refusal)
    #expect(self.served { $0.headers(1, post) + data(4, ends: true) }.suffix(2) == refusal)
    #expect(self.served { $0.headers(1, post) + data(6, ends: false) }.suffix(2) == refusal)
    #expect(self.served { $0.headers(1, post) + data(4, ends: false) + data(0, ends: true) }.suffix(2) == refusal)
    #expect(
      self.served { $0.headers(1, post) + data(4, ends: false) + $0.headers(1, [("x", "1")], ends: true) }.suffix(2)
        == refusal)
    #expect(
      self.served { $0.headers(1, post) + data(4, ends: false) + data(1, ends: true) }.last == "data 1 aaaaa ends")
    // No byte of a frame that goes too far is told.
    #expect(self.served { $0.headers(1, post) + data(6, ends: true) } == ["head 1 POST a / content-length=5"] + refusal)
  }

  @Test("H2-16: every flag with every short length, through the connection")
  func padding() {
    var begun = HTTP2Rig(.server)
    begun.give(begun.headers(1, HTTP2Rig.post))
    for kind: HTTP2FrameHeader.Kind in [.data, .headers, .settings] {
      for flags in UInt8.min...UInt8.max {
        for length in 0...9 {
          for fill in [UInt8(0), 9, 255] {
            var rig = begun
            rig.give(frame(kind, .init(rawValue: flags), 1, [UInt8](repeating: fill, count: length)))
            #expect(rig.connection.heldBytes >= 0)
          }
        }
      }
    }
    let told = self.served { $0.headers(1, HTTP2Rig.post) + frame(.data, .padded, 1, [3, 0, 0]) }
    #expect(told.suffix(2) == ["failed 1 padding", "goaway(1,1)"])
    #expect(self.served { _ in frame(.headers, [.padded, .priority, .endHeaders], 1) }.first == "failed 6 frame_size")
  }

  @Test("H2-17: frame laws")
  func laws() {
    func first(_ give: (inout HTTP2Rig) -> [UInt8]) -> String? { self.served(give).first }
    #expect(first { _ in frame(.data, [], 0, [1]) } == "failed 1 stream_identifier")
    #expect(first { $0.headers(2, HTTP2Rig.get) } == "failed 1 stream_identifier")
    #expect(first { _ in frame(.data, [], 1, [UInt8](repeating: 0, count: 16_385)) } == "failed 6 frame_size")
    #expect(first { _ in frame(.pushPromise, [], 1, word(2)) } == "failed 1 push_promise")
    #expect(self.served { $0.headers(5, HTTP2Rig.get) + $0.headers(3, HTTP2Rig.get) }.last == "goaway(5,5)")
    #expect(self.served { _ in frame(.init(rawValue: 0xa)) + frame(.init(rawValue: 0xc), [], 9, [1]) } == [])
    #expect(
      first { _ in frame(.init(rawValue: 0xff), [], 0, [UInt8](repeating: 0, count: 16_385)) } == "failed 6 frame_size")
    #expect(first { _ in frame(.windowUpdate, [], 0, [0]) } == "failed 6 frame_size")
  }

  @Test("H2-18: a preface that is wrong, followed by something else, or slow")
  func preface() {
    let http1 = Array("GET / HTTP/1.1\r\n".utf8)
    let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    for bytes in [
      http1, preface + http1, preface + frame(.ping, [], 0, word(0) + word(0)),
      preface + frame(.settings, .acknowledge),
    ] {
      let (told, written) = ways(greets: false) { $0.give(bytes + Array(repeating: 0, count: 9)) }
      #expect(told == ["failed 1 preface"])
      #expect(written.last == "goaway(0,1)")
    }
    for bytes in [[], Array(preface.prefix(5)), preface, preface + frame(.settings).dropLast()] {
      var rig = HTTP2Rig(.server, greets: false)
      for (number, byte) in bytes.enumerated() {
        rig.now = 1000 + UInt64(number)
        rig.give([byte])
      }
      #expect(rig.connection.deadline == 6000)
      #expect(rig.connection.expire(now: 5999, to: &rig.output) == .needsInput)
      #expect(rig.connection.expire(now: 6000, to: &rig.output) == .failed(.protocolError, .prefaceTimeout))
      #expect(rig.connection.deadline == nil)
    }
  }

  @Test("A head, an answer to SETTINGS and one to PING have their time")
  func timeouts() {
    var rig = HTTP2Rig(.server)
    #expect(rig.connection.deadline == nil)
    rig.give(Array(rig.headers(1, HTTP2Rig.post).dropLast()))
    #expect(rig.connection.expire(now: 6000, to: &rig.output) == .failed(.protocolError, .headTimeout))

    rig = HTTP2Rig(.server)
    rig.give(frame(.headers, [], 1, rig.block(HTTP2Rig.post)))
    rig.now = 5000
    rig.give(frame(.continuation, [], 1))
    #expect(rig.connection.expire(now: 6000, to: &rig.output) == .failed(.protocolError, .headTimeout))

    // Slow content is a slow client, and no fault.
    rig = HTTP2Rig(.server)
    rig.give(rig.headers(1, HTTP2Rig.post) + frame(.data, [], 1, [1, 2, 3]).dropLast())
    #expect(rig.connection.deadline == nil)

    rig = HTTP2Rig(.client, greets: false)
    rig.give(frame(.settings))
    #expect(rig.connection.expire(now: 11_000, to: &rig.output) == .failed(.settingsTimeout, .settingsTimeout))

    rig = HTTP2Rig(.client)
    let number = rig.connection.ping(now: 2000, to: &rig.output)
    #expect(number == 1)
    #expect(rig.connection.ping(now: 2000, to: &rig.output) == nil)
    rig.give(frame(.ping, .acknowledge, 0, word(0) + word(9)))
    #expect(rig.connection.deadline == 22_000)
    rig.give(frame(.ping, .acknowledge, 0, word(0) + word(1)))
    #expect(rig.told == ["pong 1"])
    #expect(rig.connection.deadline == nil)
  }

  @Test("H2-19: GOAWAY twice, the second with a higher number, then new streams")
  func goAway() {
    let two = frame(.goAway, [], 0, word(1) + word(0)) + frame(.goAway, [], 0, word(5) + word(0))
    let (told, _) = ways(.client) { rig in
      for _ in 0..<3 { _ = rig.open() }
      rig.give(two)
      #expect(!rig.connection.canOpen)
      #expect(throws: HTTP2SendRefusal.noStream) {
        _ = try rig.connection.open(fieldBlock(HTTP2Rig.get), ends: true, to: &rig.output)
      }
      rig.give(rig.headers(1, HTTP2Rig.ok, ends: true) + rig.headers(5, HTTP2Rig.ok, ends: true))
      #expect(rig.connection.isDone)
    }
    #expect(
      told == ["goaway 0", "reset 5 7 unprocessed", "reset 3 7 unprocessed", "goaway 0", "head 1 200 ends"])
    #expect(
      self.served { two + $0.headers(1, HTTP2Rig.get, ends: true) } == ["goaway 0", "goaway 0", "head 1 GET a / ends"])
  }

  @Test("H2-20: one stream more than are served is refused, and those behind it go on")
  func tooManyStreams() {
    let told = self.served { rig in
      (0..<101).flatMap { rig.headers(UInt32(2 * $0 + 1), HTTP2Rig.post) } + frame(.data, .endStream, 201, [1])
        + frame(.data, .endStream, 199, [0x61])
    }
    #expect(told.count == 103)
    #expect(told.suffix(3) == ["refused 201 7 streams_too_many", "data 199 a ends", "rst(201,7)"])
  }

  @Test("H2-21: data behind a reset is passed over, counted, and given back")
  func afterReset() {
    let (told, written) = ways { rig in
      rig.give(rig.headers(1, HTTP2Rig.post))
      rig.give(frame(.resetStream, [], 1, word(8)) + frame(.data, [], 1, [1, 2]) + frame(.data, .endStream, 1, [3]))
      #expect(rig.connection.ignoredFrames == 2)
      #expect(rig.connection.heldBytes == 0)
    }
    #expect(told == ["head 1 POST a /", "reset 1 8"])
    #expect(written == [])
    // Ours: what was under way is no fault, to the end of its window.
    var rig = HTTP2Rig(.server)
    rig.give(rig.headers(1, HTTP2Rig.post))
    rig.connection.reset(1, .cancel, to: &rig.output)
    for _ in 0..<4 { rig.give(frame(.data, [], 1, [UInt8](repeating: 0, count: 16_383))) }
    #expect(rig.told == ["head 1 POST a /"])
    for _ in 0..<101 { rig.give(frame(.data, [], 1, [0, 0, 0, 0])) }
    #expect(rig.told.last == "failed 11 fault_flood")
  }

  @Test("H2-22: trailers with pseudo fields, without an end, or without a bound")
  func trailers() {
    func ending(_ fields: Fields, ends: Bool) -> [String] {
      self.served { $0.headers(1, HTTP2Rig.post) + $0.headers(1, fields, ends: ends) }
    }
    #expect(ending([(":path", "/")], ends: true).suffix(2) == ["refused 1 1 pseudo_field", "rst(1,1)"])
    #expect(ending([("x", "1")], ends: false).suffix(2) == ["refused 1 1 trailers", "rst(1,1)"])
    #expect(ending([("content-length", "1")], ends: true).suffix(2) == ["refused 1 1 trailers", "rst(1,1)"])
    let large = (0..<9).map { ("x\($0)", String(repeating: "a", count: 4000)) }
    #expect(
      self.served { rig in
        let head = rig.headers(1, HTTP2Rig.post)
        let block = rig.block(large)
        return head + frame(.headers, .endStream, 1, Array(block.prefix(16_384)))
          + frame(.continuation, .endHeaders, 1, Array(block.dropFirst(16_384)))
      }.suffix(2) == ["refused 1 1 fields_too_large", "rst(1,1)"])
  }
}
