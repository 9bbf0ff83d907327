package import MeshBase
package import MeshNet
package import MeshSnapshot
package import MeshTelemetry

package struct ProxyConfiguration: Sendable {
  /// Where the agent's sockets are.
  package var runDirectory: String
  /// Event loops: threads that carry connections. 0: one for each CPU that the process may use.
  package var loops: Int
  /// How long open connections may go on after SIGTERM.
  package var drainTimeoutSeconds: Int64
  /// Relays without a byte for so long are closed; nil: never.
  package var idleTimeoutSeconds: Int64?
  /// For benchmarks: plain relays between loopback addresses, without an agent.
  package var staticRelays: [StaticRelay]
  /// The same, of requests of HTTP.
  package var staticHTTP: [StaticRelay]
  /// The same, of calls of gRPC.
  package var staticGRPC: [StaticRelay] = []
  /// Nil: ports that speak HTTP are relayed as bytes.
  package var http: HTTPConfiguration?
  /// What this host says of fields that tell a request's way; of others the mesh does.
  package var forwarding: [ForwardingField] = []
  /// Of this host.
  package var locality = Locality.nowhere
  /// Nil: the mesh says whether one is written.
  package var accessLog: AccessLogOptions?

  /// What is spoken with the agent. Nil: this build's protocol.
  package var linkProtocol: UInt16?

  /// All of these.
  var staticEntries: [StaticRelay] { self.staticRelays + self.staticHTTP + self.staticGRPC }

  package init(
    runDirectory: String, loops: Int, drainTimeoutSeconds: Int64 = 300, idleTimeoutSeconds: Int64? = 3600,
    staticRelays: [StaticRelay] = [], staticHTTP: [StaticRelay] = [], speaksHTTP: Bool = true
  ) {
    self.runDirectory = runDirectory
    self.loops = loops
    self.drainTimeoutSeconds = drainTimeoutSeconds
    self.idleTimeoutSeconds = idleTimeoutSeconds
    self.staticRelays = staticRelays
    self.staticHTTP = staticHTTP
    self.http = speaksHTTP ? .defaults : nil
  }
}

/// Accepts at one loopback address and relays to another, on the same path as every other connection.
package struct StaticRelay: Sendable, Hashable, LosslessStringConvertible {
  package let listen: SocketEndpoint
  package let upstream: SocketEndpoint

  /// `127.0.0.1:7001=127.0.0.1:7000`. Nil for anything but two loopback addresses with ports.
  package init?(_ text: String) {
    let parts = text.split(separator: "=", omittingEmptySubsequences: false)
    guard parts.count == 2, let listen = SocketEndpoint(parts[0]), let upstream = SocketEndpoint(parts[1]),
      listen.address.isLoopback, upstream.address.isLoopback, upstream.port != 0
    else { return nil }
    self.listen = listen
    self.upstream = upstream
  }

  package var description: String { "\(self.listen)=\(self.upstream)" }
}
