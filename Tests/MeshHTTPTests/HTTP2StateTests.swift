import Testing

@testable import MeshHTTP

/// Every frame in every state of a stream: what is told and what is written.
@Suite("HTTP/2: frames and states")
struct HTTP2StateTests {
  enum State: String, CaseIterable {
    case idle, open, halfClosedRemote, halfClosedLocal, ended, resetByUs, resetByPeer
  }

  /// A server that has stream 1 in this state.
  private static func server(_ state: State, _ feed: Feed) -> HTTP2Rig {
    var rig = HTTP2Rig(.server, feed: feed)
    switch state {
    case .idle: break
    case .open: rig.give(rig.headers(1, HTTP2Rig.post))
    case .halfClosedRemote: rig.give(rig.headers(1, HTTP2Rig.get, ends: true))
    case .halfClosedLocal:
      rig.give(rig.headers(1, HTTP2Rig.post))
      rig.respond(1)
    case .ended:
      rig.give(rig.headers(1, HTTP2Rig.get, ends: true))
      rig.respond(1)
    case .resetByUs:
      rig.give(rig.headers(1, HTTP2Rig.post))
      rig.connection.reset(1, .cancel, to: &rig.output)
    case .resetByPeer:
      rig.give(rig.headers(1, HTTP2Rig.post))
      rig.give(frame(.resetStream, [], 1, word(8)))
    }
    rig.told = []
    _ = rig.written()
    return rig
  }

  /// A client that has stream 1 in this state.
  private static func client(_ state: State, _ feed: Feed) -> HTTP2Rig {
    var rig = HTTP2Rig(.client, feed: feed)
    switch state {
    case .idle: break
    case .open: _ = rig.open(HTTP2Rig.post, ends: false)
    case .halfClosedRemote:
      _ = rig.open(HTTP2Rig.post, ends: false)
      rig.give(rig.headers(1, HTTP2Rig.ok, ends: true))
    case .halfClosedLocal: _ = rig.open()
    case .ended:
      _ = rig.open()
      rig.give(rig.headers(1, HTTP2Rig.ok, ends: true))
    case .resetByUs:
      _ = rig.open()
      rig.connection.reset(1, .cancel, to: &rig.output)
    case .resetByPeer:
      _ = rig.open()
      rig.give(frame(.resetStream, [], 1, word(8)))
    }
    rig.told = []
    _ = rig.written()
    return rig
  }

  /// Each row: a frame on stream 1, then what it makes in the seven states, in their order.
  private static func table(
    _ rows: [(String, (inout HTTP2Rig) -> [UInt8], [String])], _ make: (State, Feed) -> HTTP2Rig
  ) {
    for (name, bytes, outcomes) in rows {
      for (state, outcome) in zip(State.allCases, outcomes) {
        for feed in Feed.allCases {
          var rig = make(state, feed)
          rig.give(bytes(&rig))
          #expect(
            (rig.told + rig.written()).joined(separator: " ") == outcome, "\(name), \(state.rawValue), \(feed)")
        }
      }
    }
  }

  private static let push = "failed 1 push_promise goaway"
  private static func same(_ outcome: String) -> [String] { State.allCases.map { _ in outcome } }
  /// On a server stream 1 has been accepted in every state but the first.
  private static func failed(_ word: String, _ code: Int, idle: Int = 0, others: Int = 1) -> [String] {
    State.allCases.map { "failed \(code) \(word) goaway(\($0 == .idle ? idle : others),\(code))" }
  }

  private static func laws(others: Int) -> [(String, (inout HTTP2Rig) -> [UInt8], [String])] {
    [
      ("PRIORITY", { _ in frame(.priority, [], 1, [0, 0, 0, 0, 1]) }, Self.same("")),
      ("SETTINGS", { _ in frame(.settings, [], 1) }, Self.failed("stream_identifier", 1, others: others)),
      ("PING", { _ in frame(.ping, [], 1, word(0) + word(0)) }, Self.failed("stream_identifier", 1, others: others)),
      (
        "GOAWAY", { _ in frame(.goAway, [], 1, word(0) + word(0)) }, Self.failed("stream_identifier", 1, others: others)
      ),
      (
        "PUSH_PROMISE", { _ in frame(.pushPromise, .endHeaders, 1, word(2)) },
        Self.failed("push_promise", 1, others: others)
      ),
      ("CONTINUATION", { _ in frame(.continuation, .endHeaders, 1) }, Self.failed("continuation", 1, others: others)),
      ("unknown", { _ in frame(.init(rawValue: 0xfe), [], 1, [1, 2, 3]) }, Self.same("")),
    ]
  }

  @Test("A server: every frame in every state")
  func server() {
    Self.table(
      [
        (
          "DATA", { _ in frame(.data, .endStream, 1, [0x61, 0x62]) },
          [
            "failed 1 stream_idle goaway(0,1)", "data 1 ab ends", "refused 1 5 stream_closed rst(1,5)",
            "data 1 ab ends", "failed 5 stream_closed goaway(1,5)", "", "",
          ]
        ),
        (
          "HEADERS", { $0.headers(1, [("x", "1")], ends: true) },
          [
            "refused 1 1 method rst(1,1)", "head 1 trailers x=1 ends", "refused 1 5 stream_closed rst(1,5)",
            "head 1 trailers x=1 ends", "failed 5 stream_closed goaway(1,5)", "", "",
          ]
        ),
        (
          "RST_STREAM", { _ in frame(.resetStream, [], 1, word(8)) },
          ["failed 1 stream_idle goaway(0,1)", "reset 1 8", "reset 1 8", "reset 1 8", "", "", ""]
        ),
        (
          "WINDOW_UPDATE", { _ in frame(.windowUpdate, [], 1, word(1)) },
          ["failed 1 stream_idle goaway(0,1)", "", "", "", "", "", ""]
        ),
        (
          "WINDOW_UPDATE of 0", { _ in frame(.windowUpdate, [], 1, word(0)) },
          [
            "failed 1 stream_idle goaway(0,1)", "refused 1 1 window_increment rst(1,1)",
            "refused 1 1 window_increment rst(1,1)", "refused 1 1 window_increment rst(1,1)", "", "", "",
          ]
        ),
        (
          "short PRIORITY", { _ in frame(.priority, [], 1, [0, 0, 0, 1]) },
          ["failed 6 frame_size goaway(0,6)"] + Array(repeating: "refused 1 6 frame_size rst(1,6)", count: 6)
        ),
      ] + Self.laws(others: 1), Self.server)
  }

  @Test("A client: every frame in every state")
  func client() {
    Self.table(
      [
        (
          "DATA", { _ in frame(.data, .endStream, 1, [0x61, 0x62]) },
          [
            "failed 1 stream_idle goaway(0,1)", "refused 1 1 data_before_head rst(1,1)",
            "refused 1 5 stream_closed rst(1,5)", "refused 1 1 data_before_head rst(1,1)",
            "failed 5 stream_closed goaway(0,5)", "", "",
          ]
        ),
        (
          "HEADERS", { $0.headers(1, HTTP2Rig.ok, ends: true) },
          [
            "failed 1 stream_identifier goaway(0,1)", "head 1 200 ends", "refused 1 5 stream_closed rst(1,5)",
            "head 1 200 ends", "failed 5 stream_closed goaway(0,5)", "", "",
          ]
        ),
        (
          "RST_STREAM", { _ in frame(.resetStream, [], 1, word(7)) },
          [
            "failed 1 stream_idle goaway(0,1)", "reset 1 7 unprocessed", "reset 1 7 unprocessed",
            "reset 1 7 unprocessed", "", "", "",
          ]
        ),
        (
          "WINDOW_UPDATE", { _ in frame(.windowUpdate, [], 1, word(1)) },
          ["failed 1 stream_idle goaway(0,1)", "", "", "", "", "", ""]
        ),
      ] + Self.laws(others: 0), Self.client)
  }

  @Test("A request and its answer, both ways of ending")
  func exchange() {
    let (told, written) = ways { rig in
      rig.give(rig.headers(1, HTTP2Rig.post + [("content-length", "5")]))
      rig.give(frame(.data, [], 1, Array("hel".utf8)) + frame(.data, .padded, 1, [2] + Array("lo".utf8) + [0, 0]))
      rig.give(rig.headers(1, [("x-sum", "1")], ends: true))
      rig.respond(1, [(":status", "103")], ends: false)
      rig.respond(1, ends: false)
      #expect(throws: HTTP2SendRefusal.order) {
        try rig.connection.send(fieldBlock(HTTP2Rig.ok), on: 1, ends: true, to: &rig.output)
      }
      let grant = try? rig.connection.sendData(2, of: 1, ends: false, to: &rig.output)
      #expect(grant == .init(count: 2, ends: false))
      rig.output += Array("hi".utf8)
      rig.respond(1, [("grpc-status", "0")])
      #expect(rig.connection.openStreams == 0)
    }
    #expect(told == ["head 1 POST a / content-length=5", "data 1 hello", "head 1 trailers x-sum=1 ends"])
    #expect(written == ["headers(1,103)", "headers(1,200)", "data(1,2)", "headers(1,)ends"])
  }

  @Test("HEAD, 204 and 304 have no content; interim heads are few and never the end")
  func bodyless() {
    func answered(_ request: Fields, _ give: (inout HTTP2Rig) -> [UInt8]) -> String? {
      ways(.client) { rig in
        _ = rig.open(request)
        rig.give(give(&rig))
      }.told.last
    }
    let head: Fields = [(":method", "HEAD")] + HTTP2Rig.get.dropFirst()
    let length: Fields = [(":status", "200"), ("content-length", "5")]
    #expect(answered(head) { $0.headers(1, length, ends: true) } == "head 1 200 content-length=5 ends")
    #expect(
      answered(head) { $0.headers(1, length) + frame(.data, .endStream, 1, Array("hello".utf8)) }
        == "refused 1 1 content_length")
    for status in ["204", "304"] {
      #expect(
        answered(HTTP2Rig.get) { $0.headers(1, [(":status", status)]) + frame(.data, .endStream, 1, [1]) }
          == "refused 1 1 content_length")
    }
    #expect(
      answered(HTTP2Rig.get) { $0.headers(1, [(":status", "100")], ends: true) } == "refused 1 1 interim_responses")
    #expect(
      answered(HTTP2Rig.get) { rig in (0..<9).flatMap { _ in rig.headers(1, [(":status", "103")]) } }
        == "refused 1 1 interim_responses")
    #expect(answered(HTTP2Rig.get) { $0.headers(1, [(":status", "101")]) } == "refused 1 1 status")
  }

  @Test("A tunnel has data and no trailers")
  func tunnel() {
    var limits = HTTP2Limits()
    limits.allowsConnect = true
    let (told, written) = ways(limits: limits) { rig in
      rig.give(rig.headers(1, [(":method", "CONNECT"), (":authority", "10.0.0.1:80")]))
      rig.respond(1, ends: false)
      rig.give(frame(.data, [], 1, Array("up".utf8)))
      rig.give(rig.headers(1, [("x", "1")], ends: true))
    }
    #expect(told == ["head 1 CONNECT 10.0.0.1:80", "data 1 up", "refused 1 1 trailers"])
    #expect(written == ["headers(1,200)", "rst(1,1)"])
  }
}
