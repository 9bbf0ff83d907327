import MeshBase
import MeshTelemetry
import NIOCore
import NIOHTTP1
import NIOPosix

/// Asks the agent over its Unix socket.
package struct AgentClient: Sendable {
  package let socketPath: String
  /// Of a whole answer; flows have none.
  private let deadline: TimeAmount
  private static let bodyLimit = 256 << 20
  private static let lineLimit = 1 << 20

  package init(socketPath: String, seconds: Int64 = 60) {
    self.socketPath = socketPath
    self.deadline = .seconds(seconds)
  }

  /// GET, decoded. Throws the agent's own error, or `StatusError` 3 if there is no answer.
  package func get<Value: Decodable & Sendable>(
    _ type: Value.Type, _ path: String, query: [(String, String?)] = []
  ) async throws -> Value {
    try ReportCoding.decode(type, from: try await self.bytes(.get, path, query: query))
  }

  package func bytes(
    _ method: HTTPMethodWord = .get, _ path: String, query: [(String, String?)] = []
  ) async throws -> [UInt8] {
    var body: [UInt8] = []
    try await self.exchange(method, path, query: query, deadline: self.deadline) { buffer in
      guard body.count + buffer.count <= Self.bodyLimit else {
        throw MeshError(.exhausted, path, "the answer is larger than \(Self.bodyLimit) bytes")
      }
      body += buffer
    }
    return body
  }

  /// Lines of an answer that may not end.
  package func lines(
    _ path: String, query: [(String, String?)], _ body: ([UInt8]) throws -> Void
  ) async throws {
    var rest: [UInt8] = []
    try await self.exchange(.get, path, query: query, deadline: nil) { buffer in
      rest += buffer
      var start = rest.startIndex
      while let end = rest[start...].firstIndex(of: 0x0a) {
        if end > start { try body(Array(rest[start..<end])) }
        start = end + 1
      }
      rest.removeSubrange(..<start)
      guard rest.count <= Self.lineLimit else { throw MeshError(.invalid, path, "a line of the answer is too long") }
    }
  }

  package enum HTTPMethodWord: String, Sendable {
    case get = "GET"
    case post = "POST"
  }

  private func exchange(
    _ method: HTTPMethodWord, _ path: String, query: [(String, String?)], deadline: TimeAmount?,
    _ take: ([UInt8]) throws -> Void
  ) async throws {
    typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>
    let connection: Connection
    do {
      connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connectTimeout(.seconds(5))
        .connect(unixDomainSocketPath: self.socketPath) { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHTTPClientHandlers()
            return try Connection(wrappingChannelSynchronously: channel)
          }
        }
    } catch {
      throw self.unreachable("\(error)")
    }
    let late = deadline.map { time in
      connection.channel.eventLoop.scheduleTask(in: time) { [channel = connection.channel] in
        channel.close(promise: nil)
      }
    }
    defer { late?.cancel() }
    var head: HTTPResponseHead?
    var failure: [UInt8] = []
    var ended = false
    do {
      try await connection.executeThenClose { inbound, outbound in
        let request = HTTPRequestHead(
          version: .http1_1, method: HTTPMethod(rawValue: method.rawValue), uri: Self.target(path, query),
          headers: ["host": "martlet", "accept": "application/json"])
        // In one write: the agent may have answered and closed before a second one.
        try await outbound.write(contentsOf: [.head(request), .end(nil)])
        for try await part in inbound {
          switch part {
          case .head(let response): head = response
          case .body(let buffer):
            if head?.status == .ok {
              try take(Array(buffer.readableBytesView))
            } else if failure.count < 65_536 {
              failure += buffer.readableBytesView
            }
          case .end: ended = true
          }
          if ended { break }
        }
      }
    } catch let error as MeshError {
      throw error
    } catch let error as StatusError {
      throw error
    } catch let error as CancellationError {
      throw error
    } catch {
      if !ended { throw self.unreachable("\(error)") }
    }
    guard let head, ended else { throw self.unreachable("it closed the connection without a whole answer") }
    guard head.status == .ok else {
      throw (try? ReportCoding.decode(ErrorReport.self, from: failure))?.error
        ?? MeshError(.internal, path, "the agent answered \(head.status.code) \(head.status.reasonPhrase)")
    }
  }

  private func unreachable(_ cause: String) -> StatusError {
    StatusError(
      .unreachable,
      "the agent cannot be reached at \(self.socketPath): \(cause); is martletd running (systemctl status martletd), "
        + "is this root, and is --run-dir right?")
  }

  /// Everything but RFC 3986's unreserved characters is escaped.
  private static func target(_ path: String, _ query: [(String, String?)]) -> String {
    let items = query.compactMap { name, value in value.map { "\(name)=\(Self.escaped($0))" } }
    return items.isEmpty ? path : path + "?" + items.joined(separator: "&")
  }

  private static func escaped(_ text: String) -> String {
    var out = ""
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        out.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let digits = String(byte, radix: 16, uppercase: true)
        out += "%" + (digits.count == 1 ? "0" : "") + digits
      }
    }
    return out
  }
}
