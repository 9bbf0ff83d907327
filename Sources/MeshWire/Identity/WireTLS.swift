import FoundationEssentials
import MeshBase
import MeshIdentity
import NIOCore
import NIOSSL
import NIOTLS

/// TLS 1.3 under gRPC. The transport's own TLS goes down to 1.2 and wants a certificate from everybody or nobody, so that handlers of
/// ours stand below a transport that believes that it speaks plaintext.
enum WireTLS {
  /// Until a handshake has to be over.
  static let deadline = TimeAmount.seconds(5)
  private static let protocolName = "h2"

  /// Below the server's end of a connection. A peer with a certificate has a good one, or the handshake fails; one without is let
  /// in: what it may do is decided for each call.
  static func accept(
    _ channel: any Channel, _ authority: any IdentityAuthority, refused: @escaping @Sendable (String) -> Void
  ) -> EventLoopFuture<Void> {
    channel.eventLoop.makeCompletedFuture {
      let credential = try authority.server(now: .now)
      var configuration = try Self.configuration(
        .makeServerConfiguration(
          certificateChain: try Self.sources(credential.chain), privateKey: try Self.key(credential.key)))
      configuration.certificateVerification = .optionalVerification
      let handler = NIOSSLServerHandler(
        context: try NIOSSLContext(configuration: configuration),
        customVerificationCallback: { presented, promise in
          Self.judge(presented, promise, refused) { chain in
            guard let verifier = authority.verifier else { return "no authority yet" }
            switch await verifier.verify(chain, purpose: .client, now: .now) {
            case .success(.node): return nil
            case .success(let subject): return "\(subject) is no node"
            case .failure(let refusal): return refusal.rawValue
            }
          }
        })
      try channel.pipeline.syncOperations.addHandler(handler, position: .first)
      try channel.pipeline.syncOperations.addHandler(HandshakeGuard(refused: refused), position: .after(handler))
    }.flatMapErrorThrowing { error in
      // As in `PeerCheck`: a failed initializer leaves the connection open.
      channel.close(promise: nil)
      throw error
    }
  }

  /// Below the client's end of a connection.
  static func connect(
    _ channel: any Channel, _ credential: ClientCredential, refused: @escaping @Sendable (String) -> Void
  ) throws {
    var configuration = try Self.configuration(.makeClientConfiguration())
    if let key = credential.key {
      configuration.certificateChain = try Self.sources(credential.chain)
      configuration.privateKey = try Self.key(key)
    }
    configuration.certificateVerification = .noHostnameVerification
    let handler = try NIOSSLClientHandler(
      context: try NIOSSLContext(configuration: configuration), serverHostname: nil,
      customVerificationCallback: { presented, promise in
        Self.judge(presented, promise, refused) { await credential.judgeServer($0, now: .now) }
      })
    try channel.pipeline.syncOperations.addHandler(handler, position: .first)
    try channel.pipeline.syncOperations.addHandler(HandshakeGuard(refused: refused), position: .after(handler))
  }

  private static func configuration(_ base: TLSConfiguration) throws -> TLSConfiguration {
    var configuration = base
    configuration.minimumTLSVersion = .tlsv13
    configuration.applicationProtocols = [Self.protocolName]
    // The callback judges; BoringSSL trusts nobody.
    configuration.trustRoots = .certificates([])
    return configuration
  }

  private static func sources(_ chain: [[UInt8]]) throws -> [NIOSSLCertificateSource] {
    try chain.map { .certificate(try NIOSSLCertificate(bytes: $0, format: .der)) }
  }

  private static func key(_ key: IdentityKey) throws -> NIOSSLPrivateKeySource {
    .privateKey(try NIOSSLPrivateKey(bytes: key.der, format: .der))
  }

  private static func judge(
    _ presented: [NIOSSLCertificate], _ promise: EventLoopPromise<NIOSSLVerificationResult>,
    _ refused: @escaping @Sendable (String) -> Void,
    _ verdict: @escaping @Sendable ([[UInt8]]) async -> String?
  ) {
    guard presented.count <= MeshIdentity.longestChain, let chain = try? presented.map({ try $0.toDERBytes() }) else {
      refused(CertificateRefusal.chainTooLong.rawValue)
      return promise.succeed(.failed)
    }
    Task {
      if let reason = await verdict(chain) {
        refused(reason)
        promise.succeed(.failed)
      } else {
        promise.succeed(.certificateVerified)
      }
    }
  }

  /// Ends a connection whose handshake takes too long, or whose peer does not speak HTTP/2.
  private final class HandshakeGuard: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let refused: @Sendable (String) -> Void
    private var late: Scheduled<Void>?

    init(refused: @escaping @Sendable (String) -> Void) { self.refused = refused }

    func handlerAdded(context: ChannelHandlerContext) {
      let refused = self.refused
      self.late = context.eventLoop.assumeIsolated().scheduleTask(in: WireTLS.deadline) { [channel = context.channel] in
        refused("handshake-timeout")
        channel.close(promise: nil)
      }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.late?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
      self.late?.cancel()
      context.fireChannelInactive()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if let event = event as? TLSUserEvent, case .handshakeCompleted(let negotiated) = event {
        self.late?.cancel()
        guard negotiated == WireTLS.protocolName else {
          self.refused("no-http2")
          return context.close(promise: nil)
        }
      }
      context.fireUserInboundEventTriggered(event)
    }
  }
}
