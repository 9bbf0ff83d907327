import MeshBase
import NIOCore
import NIOHTTP1
import NIOPosix

/// Asks podman's REST API over its Unix socket. One connection a question; what an answer can cost is bounded.
struct PodmanClient: Sendable {
  let socketPath: String

  /// Of a list: some hundred bytes a container, and its labels.
  private static let bodyLimit = 16 << 20
  private static let lineLimit = 1 << 20
  /// podman answers a list when no container is being created: the hook of one waits at most that long.
  private static let listDeadline = TimeAmount.seconds(30)

  static let list = "/v3.0.0/libpod/containers/json?all=true"
  /// `filters={"type":["container"]}`. Those of the last minute too: a container may be on its way while the agent begins to listen, and
  /// the list waits for it.
  static let events = "/v3.0.0/libpod/events?stream=true&since=60s&filters=%7B%22type%22%3A%5B%22container%22%5D%7D"

  func body(_ target: String) async throws -> [UInt8] {
    var body: [UInt8] = []
    try await self.exchange(target, deadline: Self.listDeadline, begun: {}) { bytes in
      guard body.count + bytes.count <= Self.bodyLimit else {
        throw self.error("the answer is larger than \(Self.bodyLimit) bytes")
      }
      body += bytes
    }
    return body
  }

  /// Until the other side ends it, or the task is cancelled. `begun`: events from now on are told.
  func lines(_ target: String, begun: () async -> Void, _ take: ([UInt8]) async -> Void) async throws {
    var rest: [UInt8] = []
    try await self.exchange(target, deadline: nil, begun: begun) { bytes in
      rest += bytes
      var start = rest.startIndex
      while let end = rest[start...].firstIndex(of: 0x0a) {
        if end > start { await take(Array(rest[start..<end])) }
        start = end + 1
      }
      rest.removeSubrange(..<start)
      guard rest.count <= Self.lineLimit else { throw self.error("a line of its events is too long") }
    }
  }

  private func exchange(
    _ target: String, deadline: TimeAmount?, begun: () async -> Void, _ take: ([UInt8]) async throws -> Void
  ) async throws {
    typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>
    let connection: Connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connectTimeout(.seconds(2))
      .connect(unixDomainSocketPath: self.socketPath) { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHTTPClientHandlers()
          return try Connection(wrappingChannelSynchronously: channel)
        }
      }
    let late = deadline.map { time in
      connection.channel.eventLoop.scheduleTask(in: time) { [channel = connection.channel] in
        channel.close(promise: nil)
      }
    }
    defer { late?.cancel() }
    var isWhole = false
    try await connection.executeThenClose { inbound, outbound in
      let head = HTTPRequestHead(
        version: .http1_1, method: .GET, uri: target, headers: ["host": "podman", "connection": "close"])
      try await outbound.write(contentsOf: [.head(head), .end(nil)])
      for try await part in inbound {
        switch part {
        case .head(let head):
          guard head.status == .ok else { throw self.error("it answered \(head.status.code)") }
          await begun()
        case .body(let buffer): try await take(Array(buffer.readableBytesView))
        case .end: isWhole = true
        }
        if isWhole { break }
      }
    }
    guard isWhole else { throw self.error("it closed the connection without a whole answer") }
  }

  private func error(_ message: String) -> MeshError {
    MeshError(.unavailable, self.socketPath, message, next: "systemctl status podman.socket")
  }
}
