package import MeshBase
import MeshTelemetry
import NIOCore
package import NIOHTTP1

/// Writes the answer to one request, from the task that makes it. Each part waits until the client has taken the part
/// before it: a slow client slows its own task and nothing else, and one that takes nothing for `stallDeadline` is closed.
package struct ReportWriter: Sendable {
  private let channel: any Channel
  private let version: HTTPVersion
  private let isHead: Bool
  private let limits: ReportServer.Limits

  init(channel: any Channel, version: HTTPVersion, isHead: Bool, limits: ReportServer.Limits) {
    self.channel = channel
    self.version = version
    self.isHead = isHead
    self.limits = limits
  }

  /// A whole answer.
  package func send(
    _ status: HTTPResponseStatus = .ok, type: String = "text/plain; charset=utf-8", _ body: [UInt8],
    headers: HTTPHeaders = [:]
  ) async throws {
    var headers = headers
    headers.replaceOrAdd(name: "content-length", value: String(body.count))
    try await self.begin(status, type: type, headers: headers)
    if !self.isHead, !body.isEmpty { try await self.part(body) }
    try await self.end()
  }

  package func send(_ status: HTTPResponseStatus = .ok, text: String) async throws {
    try await self.send(status, Array(text.utf8))
  }

  package func send(_ status: HTTPResponseStatus = .ok, json value: some Encodable) async throws {
    try await self.send(status, type: "application/json", try ReportCoding.encode(value) + [0x0a])
  }

  /// An error as a JSON body, with the status that its code means.
  package func send(_ error: MeshError) async throws {
    let status: HTTPResponseStatus =
      switch error.code {
      case .invalid: .badRequest
      case .notFound: .notFound
      case .conflict: .conflict
      case .unavailable: .serviceUnavailable
      case .exhausted: .insufficientStorage
      case .unsupported: .notImplemented
      case .denied: .forbidden
      case .internal: .internalServerError
      }
    try await self.send(status, json: ErrorReport(error))
  }

  /// The head of an answer of unknown length; `part` and `end` follow.
  package func begin(
    _ status: HTTPResponseStatus = .ok, type: String, headers: HTTPHeaders = [:]
  ) async throws {
    var headers = headers
    headers.replaceOrAdd(name: "content-type", value: type)
    headers.replaceOrAdd(name: "connection", value: "close")
    headers.replaceOrAdd(name: "cache-control", value: "no-store")
    headers.replaceOrAdd(name: "x-content-type-options", value: "nosniff")
    self.channel.pipeline.fireUserInboundEventTriggered(ReportEvent.began)
    try await self.write(.head(HTTPResponseHead(version: self.version, status: status, headers: headers)))
  }

  package func part(_ bytes: [UInt8]) async throws {
    guard !self.isHead, !bytes.isEmpty else { return }
    try await self.write(.body(.byteBuffer(ByteBuffer(bytes: bytes))))
  }

  /// Ends the answer and the connection: our side first, so that what the client may still be sending cannot turn the
  /// answer into a reset.
  package func end() async throws {
    try await self.write(.end(nil))
    let channel = self.channel
    channel.close(mode: .output, promise: nil)
    channel.eventLoop.scheduleTask(in: self.limits.lingerDeadline) { channel.close(promise: nil) }
  }

  /// Closes without an end: the client sees that something is missing.
  func abort() { self.channel.close(promise: nil) }

  private func write(_ part: HTTPServerResponsePart) async throws {
    let channel = self.channel
    let stalled = channel.eventLoop.scheduleTask(in: self.limits.stallDeadline) { channel.close(promise: nil) }
    defer { stalled.cancel() }
    try await channel.writeAndFlush(part).get()
  }
}
