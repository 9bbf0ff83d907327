import MeshHTTP
import NIOCore
import NIOEmbedded
import NIOHPACK
import NIOHTTP2
import Testing

/// SwiftNIO's engine as the peer, frame by frame.
@Suite("HTTP/2: against SwiftNIO")
struct HTTP2PeerTests {
  private struct Peer {
    let channel = EmbeddedChannel()
    var connection: HTTP2Connection
    var heads: [String] = []
    var data: [UInt8] = []
    var frames: [HTTP2Frame] = []
    private var held: [UInt8] = []

    init(_ role: HTTP2Connection.Role) throws {
      self.connection = HTTP2Connection(role)
      try self.channel.pipeline.syncOperations.addHandler(
        NIOHTTP2Handler(mode: role == .server ? .client : .server))
      try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
      var output: [UInt8] = []
      self.connection.start(now: 0, to: &output)
      try self.exchange(output)
    }

    func write(_ stream: HTTP2StreamID, _ payload: HTTP2Frame.FramePayload) throws {
      try self.channel.writeOutbound(HTTP2Frame(streamID: stream, payload: payload))
    }

    /// Until neither side has anything more to say.
    mutating func exchange(_ bytes: [UInt8] = []) throws {
      var output = bytes
      for _ in 0..<20 {
        if !output.isEmpty { try self.channel.writeInbound(ByteBuffer(bytes: output)) }
        output = []
        while let frame = try self.channel.readInbound(as: HTTP2Frame.self) {
          self.frames.append(frame)
        }
        var isQuiet = true
        while let buffer = try self.channel.readOutbound(as: ByteBuffer.self) {
          isQuiet = false
          self.held += buffer.readableBytesView
        }
        let input = self.held
        var at = 0
        while true {
          let rest = input.span.extracting(at..<input.count)
          let step = self.connection.receive(rest, now: 0, to: &output)
          switch step.event {
          case .head(let id, let head, let ends):
            self.heads.append("\(id) \(head.fields.count)" + (ends ? " ends" : ""))
          case .data(let id, let range, let ends):
            self.data += input[at + range.lowerBound..<at + range.upperBound]
            if ends { self.heads.append("\(id) end") }
            self.connection.consumed(range.count, of: id, to: &output)
          case .failed, .refused: self.heads.append("\(step.event)")
          default: break
          }
          at += step.consumed
          if step.event == .needsInput, step.consumed == 0 || at == input.count { break }
        }
        self.held = Array(input[at...])
        if isQuiet, output.isEmpty { return }
      }
    }
  }

  private static func block(_ fields: [(String, String)]) -> FieldBlock {
    var block = FieldBlock()
    for (name, value) in fields { block.append(name, value) }
    return block
  }

  private static let request = [
    (":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/x"),
  ]

  @Test(
    "Its client, our server: requests with content and trailers, pings, windows, a reset, GOAWAY")
  func server() throws {
    var peer = try Peer(.server)
    for number in 0..<30 {
      let id = HTTP2StreamID(2 * number + 1)
      try peer.write(
        id, .headers(.init(headers: HPACKHeaders(Self.request + [("x-number", "\(number)")]))))
      try peer.write(
        id,
        .data(.init(data: .byteBuffer(ByteBuffer(repeating: 0x61, count: 10_000))))
      )
      try peer.write(id, .headers(.init(headers: HPACKHeaders([("x-sum", "1")]), endStream: true)))
      try peer.write(.rootStream, .ping(HTTP2PingData(withInteger: UInt64(number)), ack: false))
      try peer.exchange()
      var output: [UInt8] = []
      let stream = UInt32(2 * number + 1)
      try peer.connection.send(
        Self.block([(":status", "200"), ("x-number", "\(number)")]), on: stream, ends: false,
        to: &output)
      let grant = try peer.connection.sendData(1000, of: stream, ends: false, to: &output)
      #expect(grant.count == 1000)
      output += [UInt8](repeating: 0x62, count: 1000)
      try peer.connection.send(
        Self.block([("grpc-status", "0")]), on: stream, ends: true, to: &output)
      try peer.exchange(output)
    }
    var heads: [String] = []
    for number in 0..<30 { heads += ["\(2 * number + 1) 1", "\(2 * number + 1) 1 ends"] }
    #expect(peer.heads == heads)
    #expect(peer.data.count == 300_000)
    #expect(peer.connection.openStreams == 0)
    let answers = peer.frames.filter { if case .headers = $0.payload { true } else { false } }
    #expect(answers.count == 60)

    try peer.write(61, .headers(.init(headers: HPACKHeaders(Self.request))))
    try peer.write(61, .rstStream(.cancel))
    var output: [UInt8] = []
    peer.connection.drain(now: 0, to: &output)
    try peer.exchange(output)
    #expect(peer.connection.isDone)
    let last = peer.frames.compactMap { frame -> HTTP2StreamID? in
      if case .goAway(let last, _, _) = frame.payload { last } else { nil }
    }
    #expect(last == [.maxID, 61])
  }

  @Test("Our client, its server: requests with content, answers with trailers, a refusal")
  func client() throws {
    var peer = try Peer(.client)
    for number in 0..<20 {
      var output: [UInt8] = []
      let id = try peer.connection.open(
        Self.block(Self.request + [("x-number", "\(number)")]), ends: false, to: &output)
      let grant = try peer.connection.sendData(2000, of: id, ends: true, to: &output)
      #expect(grant.count == 2000 && grant.ends)
      output += [UInt8](repeating: 0x61, count: 2000)
      try peer.exchange(output)
      let stream = HTTP2StreamID(Int(id))
      guard number % 4 > 0 else {
        try peer.write(stream, .rstStream(.refusedStream))
        try peer.exchange()
        continue
      }
      try peer.write(
        stream, .headers(.init(headers: HPACKHeaders([(":status", "200"), ("x-a", "b")]))))
      try peer.write(
        stream, .data(.init(data: .byteBuffer(ByteBuffer(repeating: 0x62, count: 5000)))))
      try peer.write(
        stream, .headers(.init(headers: HPACKHeaders([("grpc-status", "0")]), endStream: true)))
      try peer.exchange()
    }
    #expect(peer.heads.count == 30)
    #expect(peer.data.count == 75_000)
    #expect(peer.connection.openStreams == 0)
    #expect(peer.connection.canOpen)
  }
}
