import Testing

@testable import MeshHTTP

typealias Fields = [(String, String)]

/// One connection and the peer's side of it, written by hand.
struct HTTP2Rig {
  static let get: Fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
  static let post: Fields = [(":method", "POST")] + Self.get.dropFirst()
  static let ok: Fields = [(":status", "200")]

  var connection: HTTP2Connection
  var now: UInt64 = 1000
  /// What the connection told, cut-independent: pieces of data that follow each other are one.
  var told: [String] = []
  var output: [UInt8] = []
  var feed: Feed
  /// Whether data is consumed as it is told.
  var consumes = true
  private var codec = HPACKCodec(largestList: 1 << 20)
  private var reader = HPACKCodec(largestList: 1 << 20)
  private var held: [UInt8] = []

  init(_ role: HTTP2Connection.Role, limits: HTTP2Limits = .defaults, feed: Feed = .whole, greets: Bool = true) {
    self.connection = HTTP2Connection(role, limits: limits)
    self.feed = feed
    self.connection.start(now: self.now, to: &self.output)
    guard greets else { return }
    if role == .server { self.give(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)) }
    self.give(frame(.settings) + frame(.settings, .acknowledge))
    self.told = []
    self.output = []
  }

  mutating func give(_ bytes: [UInt8], ended: Bool = false) {
    let pieces = self.feed.pieces(of: bytes) + (ended ? [[]] : [])
    for (number, piece) in pieces.enumerated() {
      self.held += piece
      while true {
        let input = self.held
        let step = self.connection.receive(
          input.span, now: self.now, ended: ended && number == pieces.count - 1, to: &self.output)
        self.note(step.event)
        self.held.removeFirst(step.consumed)
        if step.event == .closed { return }
        if step.event == .needsInput, step.consumed == 0 || self.held.isEmpty { break }
      }
    }
  }

  private mutating func note(_ event: HTTP2Connection.Event) {
    switch event {
    case .needsInput: break
    case .head(let id, let head, let ends):
      self.told.append("head \(id) \(Self.text(head))" + (ends ? " ends" : ""))
    case .data(let id, let range, let ends):
      let text = String(decoding: self.held[range], as: UTF8.self)
      if let last = self.told.last, last.hasPrefix("data \(id) "), !last.hasSuffix(" ends") {
        self.told[self.told.count - 1] = last + text + (ends ? " ends" : "")
      } else {
        self.told.append("data \(id) " + text + (ends ? " ends" : ""))
      }
      if self.consumes { self.connection.consumed(range.count, of: id, to: &self.output) }
    case .reset(let id, let code, let isUnprocessed):
      self.told.append("reset \(id) \(code.rawValue)" + (isUnprocessed ? " unprocessed" : ""))
    case .refused(let id, let code, let reason): self.told.append("refused \(id) \(code.rawValue) \(reason.rawValue)")
    case .writable(let id): self.told.append("writable \(id)")
    case .settings: self.told.append("settings")
    case .goAway(let code): self.told.append("goaway \(code.rawValue)")
    case .pong(let value): self.told.append("pong \(value)")
    case .failed(let code, let reason): self.told.append("failed \(code.rawValue) \(reason.rawValue)")
    case .closed: self.told.append("closed")
    }
  }

  static func text(_ head: HTTP2Head) -> String {
    func text(_ range: Range<Int>) -> String { String(decoding: head.text(range), as: UTF8.self) }
    let start =
      switch head.start {
      case .request(let method, _, let authority, let path): "\(text(method)) \(text(authority)) \(text(path))"
      case .connect(let authority): "CONNECT \(text(authority))"
      case .response(let status): "\(status)"
      case .trailers: "trailers"
      }
    return ([start] + head.fields.map { text($0.name) + "=" + text($0.value) }).joined(separator: " ")
  }

  /// Field blocks are written in the order in which this is called.
  mutating func block(_ fields: Fields) -> [UInt8] {
    var bytes: [UInt8] = []
    do {
      try self.codec.encode(fieldBlock(fields), to: &bytes)
    } catch {
      Issue.record("\(fields) cannot be encoded: \(error)")
    }
    return bytes
  }

  mutating func headers(_ stream: UInt32, _ fields: Fields, ends: Bool = false) -> [UInt8] {
    frame(.headers, ends ? [.endHeaders, .endStream] : .endHeaders, stream, self.block(fields))
  }

  /// The frames written since the last call, one a word: `rst(1,1)`, `headers(1,200)ends`.
  mutating func written() -> [String] {
    let output = self.output
    self.output = []
    var words: [String] = []
    var at = 0
    while let header = HTTP2FrameHeader(output.span.extracting(at..<output.count)) {
      let start = at + HTTP2FrameHeader.length
      let payload = Array(output[start..<start + header.payloadLength])
      at = start + header.payloadLength
      let ends = header.flags.contains(.endStream) ? "ends" : ""
      func number(_ offset: Int) -> UInt32 { payload.span.bigEndian32(at: offset) }
      switch header.kind {
      case .headers:
        let fields = try? self.reader.decode(payload.span)
        let status = fields.flatMap { $0.value(of: ":status") ?? $0.value(of: ":method") } ?? []
        words.append("headers(\(header.stream),\(String(decoding: status, as: UTF8.self)))" + ends)
      case .data: words.append("data(\(header.stream),\(payload.count))" + ends)
      case .resetStream: words.append("rst(\(header.stream),\(number(0)))")
      case .settings: words.append(header.flags.contains(.acknowledge) ? "settings-ack" : "settings")
      case .ping: words.append((header.flags.contains(.acknowledge) ? "ping-ack" : "ping") + "(\(number(4)))")
      case .goAway: words.append("goaway(\(number(0)),\(number(4)))")
      case .windowUpdate: words.append("window(\(header.stream),\(number(0)))")
      case .continuation: words.append("continuation(\(header.stream))")
      default: words.append("kind\(header.kind.rawValue)")
      }
    }
    return words
  }

  mutating func respond(_ stream: UInt32, _ fields: Fields = HTTP2Rig.ok, ends: Bool = true) {
    do {
      try self.connection.send(fieldBlock(fields), on: stream, ends: ends, to: &self.output)
    } catch {
      Issue.record("no answer on \(stream): \(error)")
    }
  }

  mutating func open(_ fields: Fields = HTTP2Rig.get, ends: Bool = true) -> UInt32 {
    (try? self.connection.open(fieldBlock(fields), ends: ends, to: &self.output)) ?? 0
  }
}

func fieldBlock(_ fields: Fields) -> FieldBlock {
  var block = FieldBlock()
  for (name, value) in fields { block.append(name, value) }
  return block
}

func frame(
  _ kind: HTTP2FrameHeader.Kind, _ flags: HTTP2FrameHeader.Flags = [], _ stream: UInt32 = 0, _ payload: [UInt8] = []
) -> [UInt8] {
  var bytes: [UInt8] = []
  HTTP2FrameHeader(payloadLength: payload.count, kind: kind, flags: flags, stream: stream).write(to: &bytes)
  return bytes + payload
}

func word(_ value: UInt32) -> [UInt8] {
  var bytes: [UInt8] = []
  bytes.appendBigEndian32(value)
  return bytes
}

func setting(_ identifier: UInt8, _ value: UInt32) -> [UInt8] { [0, identifier] + word(value) }

/// The same, whole, in thirds and byte by byte; what the first way told, if all told the same and wrote the same.
func ways(
  _ role: HTTP2Connection.Role = .server, limits: HTTP2Limits = .defaults, greets: Bool = true,
  sourceLocation: SourceLocation = #_sourceLocation, _ body: (inout HTTP2Rig) -> Void
) -> (told: [String], written: [String]) {
  let results = Feed.allCases.map { feed in
    var rig = HTTP2Rig(role, limits: limits, feed: feed, greets: greets)
    body(&rig)
    return (told: rig.told, written: rig.written())
  }
  for result in results {
    #expect(result.told == results[0].told, sourceLocation: sourceLocation)
    #expect(result.written == results[0].written, sourceLocation: sourceLocation)
  }
  return results[0]
}
