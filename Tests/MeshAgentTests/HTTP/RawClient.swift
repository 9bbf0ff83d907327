import MeshBase
import NIOCore
import NIOPosix
import Synchronization

/// A client that sends bytes and keeps what comes: hostile where a test wants it so.
struct RawClient {
  let channel: any Channel
  private let received: Received

  final class Received: Sendable {
    private let state = Mutex<[UInt8]>([])
    var bytes: [UInt8] { self.state.withLock { $0 } }
    func add(_ more: [UInt8]) { self.state.withLock { $0 += more } }
  }

  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    let box: Received
    init(_ box: Received) { self.box = box }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      self.box.add(Array(Self.unwrapInboundIn(data).readableBytesView))
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }

  /// `reading: false` never reads a byte until `resume`.
  static func connect(port: UInt16?, path: String? = nil, reading: Bool = true) async throws -> RawClient {
    let box = Received()
    let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(.autoRead, value: reading)
      .channelOption(.socketOption(.so_rcvbuf), value: 4096)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Collector(box)) }
      }
    let channel =
      if let path {
        try await bootstrap.connect(unixDomainSocketPath: path).get()
      } else {
        try await bootstrap.connect(host: "127.0.0.1", port: Int(port ?? 0)).get()
      }
    return RawClient(channel: channel, received: box)
  }

  func send(_ text: String) async throws {
    try await self.channel.writeAndFlush(ByteBuffer(string: text)).get()
  }

  func resume() async throws { try await self.channel.setOption(.autoRead, value: true).get() }

  var text: String { String(decoding: self.received.bytes, as: UTF8.self) }

  /// All that the server sends until it closes; what came by then after thirty seconds.
  func finish() async throws -> String {
    let channel = self.channel
    let late = channel.eventLoop.scheduleTask(in: .seconds(30)) { channel.close(promise: nil) }
    try? await channel.closeFuture.get()
    late.cancel()
    return self.text
  }

  /// Waits until `condition` holds for what has come, at most thirty seconds.
  func until(_ condition: (String) -> Bool) async throws -> Bool {
    for _ in 0..<3000 {
      if condition(self.text) { return true }
      try await Task.sleep(for: .milliseconds(10))
    }
    return false
  }

  static func get(_ target: String, port: UInt16?, path: String? = nil, headers: String = "") async throws -> String {
    let client = try await Self.connect(port: port, path: path)
    try await client.send("GET \(target) HTTP/1.1\r\nHost: x\r\n\(headers)\r\n")
    return try await client.finish()
  }
}
