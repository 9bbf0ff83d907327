import MeshBase
import MeshHTTP

/// A connection between two nodes: HTTP/2 over TLS, whose streams are tunnels (HBONE). Confined to its loop.
class TunnelWire: HTTP2Wire {
  final var streams: [UInt32: TunnelStream] = [:]
  final let isClient: Bool

  init(_ role: HTTP2Connection.Role, number: UInt64, loop: RelayLoop) {
    self.isClient = role == .client
    super.init(role, number: number, loop: loop, limits: .tunnels)
  }

  override func handle(_ event: HTTP2Connection.Event, _ input: Span<UInt8>) {
    switch event {
    case .data(let id, let range, let ends):
      guard let stream = self.streams[id] else { return self.consumed(range.count, of: id) }
      stream.received(input.extracting(range), ends: ends)
    case .reset(let id, let code, _): self.streams[id]?.cut(wasTried: code != .refusedStream)
    case .refused(let id, _, let reason):
      self.loop.count("http2_" + reason.rawValue)
      self.streams[id]?.cut(wasTried: true)
    case .writable(0), .settings: for id in self.streams.keys { self.wake(id) }
    case .writable(let id): self.wake(id)
    case .head, .goAway, .pong, .needsInput, .failed, .closed: break
    }
  }

  override func resumeStream(_ id: UInt32) -> Bool { self.streams[id]?.resume() ?? false }

  override func lost(_ reason: HTTP2Reason?) {
    for stream in Array(self.streams.values) { stream.cut(wasTried: true) }
  }

  /// A client's stream that waits for its connection is given up.
  func forget(waiting stream: TunnelStream) {}
  func streamEnded() {}

  /// Says no to a CONNECT.
  final func answer(_ id: UInt32, _ status: UInt16) {
    var answer = FieldBlock()
    answer.append(":status", "\(status)")
    do {
      try self.send(answer, on: id, ends: true)
      self.reset(id, .noError)
    } catch {
      self.reset(id, .refusedStream)
    }
  }
}

extension HTTP2Limits {
  /// Between nodes: two sizes of windows, because equal ones can deadlock when one stream is not read.
  static let tunnels: HTTP2Limits = {
    var limits = HTTP2Limits.defaults
    limits.concurrentStreams = 200
    limits.allowsConnect = true
    limits.fieldListSize = 16 << 10
    limits.streamWindow = 4 << 20
    limits.connectionWindow = 16 << 20
    limits.largestFrame = 256 << 10
    limits.largestDataFrame = 256 << 10
    return limits
  }()
}
