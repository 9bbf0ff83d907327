import GRPCCore
import Logging
import MeshBase
import MeshSnapshot
import MeshSync

/// One agent's stream: the session machine, fed by requests and catalogues, and the writer that it drives.
///
/// Two tasks feed it. While one waits for the writer the other may write: lanes are independent of each other until an
/// answer comes, so the order of their responses on the stream does not matter.
actor ServerStream {
  private let writer: RPCWriter<[UInt8]>
  private let logger: Logger
  private var session: ServerSession
  private var encoded: EncodedCatalogue?

  private let peer: WirePeer

  init(
    writer: RPCWriter<[UInt8]>, configuration: ServerSession.Configuration, peer: WirePeer = .local, logger: Logger
  ) {
    self.peer = peer
    self.writer = writer
    self.logger = logger
    self.session = ServerSession(configuration: configuration)
  }

  func received(_ bytes: [UInt8]) async throws {
    let request: SessionRequest
    do throws(MeshError) {
      request = try SessionRequest(bytes: bytes)
    } catch {
      throw RPCError(code: .invalidArgument, message: error.description)
    }
    // Before the session machine sees it: nothing is kept of a stream in another's name.
    if let node = request.node, !node.isEmpty { try self.peer.mayBe(node) }
    let wasKnown = self.session.node != nil
    let action = self.session.received(request)
    if !wasKnown, let node = self.session.node {
      self.logger.info("agent connected", metadata: [LogKey.node: "\(node)"])
    }
    if let refusal = request.refusal {
      self.logger.warning(
        "agent rejected entries",
        metadata: [
          LogKey.node: "\(self.session.node ?? "")", LogKey.count: "\(refusal.rejections.count)",
          LogKey.reason: "\(refusal.message.prefix(1024))",
        ])
    }
    try await self.perform(action)
  }

  /// The version of the mesh's configuration that the agent acknowledged: it holds the roots that are trusted.
  var heldConfig: ContentVersion? { self.session.held(.config)["mesh"] }

  func changed(_ catalogue: EncodedCatalogue) async throws {
    // A session ignores an older catalogue; the content has to stay with the one that it plans from.
    if let current = self.encoded, catalogue.catalogue.version <= current.catalogue.version { return }
    self.encoded = catalogue
    try await self.perform(self.session.catalogueChanged(catalogue.catalogue))
  }

  func ended() {
    if let node = self.session.node {
      self.logger.info("agent disconnected", metadata: [LogKey.node: "\(node)"])
    }
  }

  private func perform(_ action: ServerAction) async throws {
    switch action {
    case .none: break
    case .send(let plans):
      guard let encoded = self.encoded else { return }
      for message in plans.map({ encoded.bytes($0) }) { try await self.writer.write(message) }
    case .close(let reason):
      throw RPCError(code: .invalidArgument, message: reason)
    }
  }
}
