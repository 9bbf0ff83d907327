package import MeshBase

/// The name servers of a resolv.conf(5). Search lists and options are the application's affair: its library applies them
/// before it asks.
package struct ResolverConfiguration: Hashable, Sendable {
  /// Name servers that count (resolv.conf(5), MAXNS).
  package static let mostServers = 3
  package static let port: UInt16 = 53

  package var servers: [SocketEndpoint]

  package init(servers: [SocketEndpoint]) { self.servers = servers }

  /// Lines that are not understood do not count, as for the C library. An address with a zone (`fe80::1%eth0`) does not
  /// count either. No server at all means the one of this host (127.0.0.1).
  package init(parsing text: String) {
    var servers: [SocketEndpoint] = []
    for line in text.split(whereSeparator: \.isNewline) where servers.count < Self.mostServers {
      let words = line.split { $0 == " " || $0 == "\t" }
      guard words.count >= 2, words[0] == "nameserver", let address = IPAddress(words[1]) else { continue }
      servers.append(SocketEndpoint(address.isUnspecified ? .loopbackV4 : address, Self.port))
    }
    self.servers = servers.isEmpty ? [SocketEndpoint(.loopbackV4, Self.port)] : servers
  }

  /// Every server is this host itself, as with a stub resolver: of no use in another namespace.
  package var isLocalOnly: Bool { self.servers.allSatisfy(\.address.isLoopback) }
}
