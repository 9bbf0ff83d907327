import MeshBase
import MeshDNS

/// Who is asked on behalf of a workload for names that are not the mesh's, and which of its questions are taken. Pure;
/// `ResolverFiles` reads the files.
struct NameServerChoice: Hashable, Sendable {
  /// Empty: nobody, other names do not resolve.
  var servers: [SocketEndpoint]
  /// The workload's own questions go to loopback, where it has no resolver.
  var takesLoopback: Bool

  /// Nobody is asked.
  static let nobody = NameServerChoice(servers: [], takesLoopback: false)

  private init(servers: [SocketEndpoint], takesLoopback: Bool) {
    self.servers = servers
    self.takesLoopback = takesLoopback
  }

  /// - Parameters:
  ///   - declared: `nameServers` of the Workload: used as they are. One on loopback is a resolver in the workload's own
  ///     namespace, which answers what the mesh does not know.
  ///   - own: resolv.conf of the workload's namespace alone (`/etc/netns/NAME`, ip-netns(8)). A server on loopback there is a
  ///     resolver of the workload's own. It is not asked, because what it does not know it asks port 53 of others, which
  ///     would come back here.
  ///   - host: resolv.conf of the host. A server on loopback there is the host's resolver, which nobody reaches from another
  ///     namespace.
  ///   - behind: the servers that the host's resolver asks (systemd-resolved.service(8)).
  init(
    declared: [IPAddress], own: ResolverConfiguration?, host: ResolverConfiguration, behind: ResolverConfiguration?
  ) {
    if !declared.isEmpty {
      self.servers = declared.map { SocketEndpoint($0, ResolverConfiguration.port) }
      self.takesLoopback = declared.contains(where: \.isLoopback)
      return
    }
    let choices = [own ?? host, behind].compactMap { $0?.servers.filter { !$0.address.isLoopback } }
    self.servers = choices.first { !$0.isEmpty } ?? []
    self.takesLoopback = own == nil && host.servers.contains(where: \.address.isLoopback)
  }
}
