import MeshBase
import MeshDNS
import MeshLinux
import MeshSnapshot

/// The resolv.conf files that name servers are taken from; read again every two seconds while somebody needs them.
struct ResolverFiles {
  static let milliseconds: Int64 = 2000
  /// systemd-resolved.service(8): the servers themselves, not the stub.
  static let behindStub = "/run/systemd/resolve/resolv.conf"
  /// resolv.conf(5) has a few lines.
  private static let limit = 1 << 16

  private let hostPath: String
  private var known: [String: ResolverConfiguration?] = [:]
  private var nextLook: Int64 = 0

  init(hostPath: String) { self.hostPath = hostPath }

  /// Of a workload that is found in this way, now.
  mutating func choice(for workload: WorkloadEntry, now: Int64) -> NameServerChoice {
    if now >= self.nextLook {
      self.nextLook = now + Self.milliseconds
      self.known = [:]
    }
    guard workload.nameServers.isEmpty else {
      return NameServerChoice(
        declared: workload.nameServers, own: nil, host: ResolverConfiguration(servers: []), behind: nil)
    }
    return NameServerChoice(
      declared: [], own: Self.ownPath(workload.location).flatMap { self.read($0) },
      // Without the file the C library asks this host (resolv.conf(5)).
      host: self.read(self.hostPath) ?? ResolverConfiguration(parsing: ""), behind: self.read(Self.behindStub))
  }

  private mutating func read(_ path: String) -> ResolverConfiguration? {
    if let known = self.known[path] { return known }
    let text = try? DiskFile.readText(path, limit: Self.limit)
    let configuration = text.map { ResolverConfiguration(parsing: $0) }
    self.known[path] = .some(configuration)
    return configuration
  }

  /// ip-netns(8): what a program that is started in a named namespace sees as its resolv.conf. Nil: it has no name.
  static func ownPath(_ location: WorkloadLocation) -> String? {
    guard case .networkNamespace(let path) = location else { return nil }
    for directory in ["/run/netns/", "/var/run/netns/"] where path.hasPrefix(directory) {
      let name = path.dropFirst(directory.count)
      return name.isEmpty || name.contains("/") ? nil : "/etc/netns/\(name)/resolv.conf"
    }
    return nil
  }
}
