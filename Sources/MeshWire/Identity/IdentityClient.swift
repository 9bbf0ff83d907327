import GRPCCore
import GRPCNIOTransportHTTP2Posix
package import MeshBase
import MeshProto
import NIOCore

/// Where the control plane is.
package enum ControlPlaneAddress: Sendable {
  case unix(path: String)
  /// `credential` is asked anew for each connection: what it gives may have been renewed.
  case network(SocketEndpoint, credential: @Sendable () throws -> ClientCredential)

  /// - Parameter refused: why the server's certificate was not accepted.
  func transport(
    keepalive: (time: Duration, timeout: Duration)? = nil, refused: @escaping @Sendable (String) -> Void = { _ in }
  ) throws -> HTTP2ClientTransport.Posix {
    let target: any ResolvableTarget
    var admit: (@Sendable (any Channel) throws -> Void)?
    switch self {
    case .unix(let path): target = .unixDomainSocket(path: path)
    case .network(let endpoint, let credential):
      // Before the connection, so that an agent without a certificate says so.
      let held = try credential()
      target =
        endpoint.address.isV4
        ? .ipv4(address: "\(endpoint.address)", port: Int(endpoint.port))
        : .ipv6(address: "\(endpoint.address)", port: Int(endpoint.port))
      admit = { try WireTLS.connect($0, held, refused: refused) }
    }
    return try .http2NIOPosix(
      target: target, transportSecurity: .plaintext,
      config: .defaults { config in
        if let keepalive {
          config.connection.keepalive = .init(
            time: keepalive.time, timeout: keepalive.timeout, allowWithoutCalls: true)
          config.connection.maxIdleTime = nil
        }
        if let admit {
          config.channelDebuggingCallbacks.onCreateTCPConnection = { channel in
            channel.eventLoop.makeCompletedFuture { try admit(channel) }
          }
        }
      })
  }
}

/// Asks the authority, over a connection of its own or one that is there.
package enum IdentityClient {
  private static let timeout = Duration.seconds(15)

  /// One request, over its own connection.
  package static func ask(_ request: IdentityRequest, _ address: ControlPlaneAddress) async throws -> CertificateAnswer
  {
    let reasons = Reasons()
    do {
      return try await withGRPCClient(transport: try address.transport(refused: { reasons.add($0) })) { client in
        try await Self.ask(request, client)
      }
    } catch {
      if let reason = reasons.first {
        throw MeshError(
          .denied, "control plane", "its certificate is not accepted: \(reason)",
          next: "is this the control plane that the token is of? A new token tells its present root")
      }
      throw error
    }
  }

  static func ask(
    _ request: IdentityRequest, _ client: GRPCClient<HTTP2ClientTransport.Posix>
  ) async throws -> CertificateAnswer {
    var options = CallOptions.defaults
    options.timeout = Self.timeout
    options.waitForReady = false
    options.maxResponseMessageBytes = MeshProto.maximumMessageSize
    let method: MethodDescriptor =
      switch request {
      case .join: .join
      case .renew: .renew
      case .sign: .sign
      }
    let bytes = try await client.unary(
      request: ClientRequest(message: try request.encoded()), descriptor: method, serializer: BytesSerializer(),
      deserializer: BytesDeserializer(), options: options
    ) { try $0.message }
    return try CertificateAnswer(bytes: bytes)
  }
}
