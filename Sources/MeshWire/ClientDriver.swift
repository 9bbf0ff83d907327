import MeshBase
import MeshSnapshot
import MeshSync

/// What one received message leads to, beyond messages to send.
struct ClientReply: Sendable {
  var send: [[UInt8]] = []
  var sendLater: (message: [UInt8], after: Duration)?
  var phase: ClientSession.Phase
}

/// The session machine of a client, across its streams.
actor ClientDriver {
  private var session: ClientSession
  private var random = SystemRandomNumberGenerator()
  private let apply: @Sendable (SessionBatch) async -> [Rejection]

  init(_ session: consuming ClientSession, apply: @escaping @Sendable (SessionBatch) async -> [Rejection]) {
    self.session = session
    self.apply = apply
  }

  var version: SystemVersion? { self.session.version }

  func connected() throws -> ClientReply {
    try self.reply(self.session.connected())
  }

  /// Called for one message after the other, never for two at once.
  func received(_ bytes: [UInt8]) async throws -> ClientReply {
    let action = self.session.received(try SessionResponse(bytes: bytes))
    guard case .apply(let batch) = action else { return try self.reply(action) }
    let rejections = await self.apply(batch)
    return try self.reply(self.session.applied(rejections: rejections, using: &self.random))
  }

  func disconnected() -> Duration {
    guard case .reconnect(let delay) = self.session.disconnected(using: &self.random) else { return .seconds(1) }
    return delay
  }

  private func reply(_ action: ClientAction) throws -> ClientReply {
    var reply = ClientReply(phase: self.session.phase)
    switch action {
    case .send(let requests): reply.send = try requests.map { try $0.encoded() }
    case .sendLater(let request, let delay): reply.sendLater = (try request.encoded(), delay)
    case .close(let error): throw error
    case .apply, .reconnect:
      throw MeshError(.internal, "delta session", "an action that does not belong here")
    }
    return reply
  }
}
