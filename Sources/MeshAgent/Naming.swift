import MeshBase
import MeshLinux
import MeshSnapshot

/// What the agent holds for workloads that resolve names of the mesh, and what the proxy was told of it.
struct Naming {
  static let retryMilliseconds: Int64 = 2000

  /// Sockets of an earlier process that no workload has taken yet.
  private var adopted: [ListenerAdoption.Key: NameSocket]
  private(set) var sockets: [ResourceName: [NameSocket]] = [:]
  private var files: ResolverFiles
  private(set) var choices: [ResourceName: NameServerChoice] = [:]
  private var failures: [ResourceName: (error: MeshError, next: Int64)] = [:]
  private var handedOver: Set<ResourceName> = []
  /// The name servers that the proxy has.
  private var told: [ResourceName: [SocketEndpoint]] = [:]

  init(adopted: [ListenerAdoption.Key: NameSocket], hostFile: String) {
    self.adopted = adopted
    self.files = ResolverFiles(hostPath: hostFile)
  }

  var problems: [MeshError] {
    self.failures.values.map(\.error)
      + self.choices.filter { $0.value.servers.isEmpty }.map { name, _ in
        MeshError(
          .notFound, "workload \(name)", "only names of the mesh resolve: no name server is known that it can reach",
          next: "set spec.nameServers of the Workload")
      }
  }

  /// Opens what is not open, and looks who is to be asked. Throws what is new: the same failure is told once.
  mutating func prepare(
    _ workload: WorkloadEntry, in namespace: NetworkNamespace, now: Int64
  ) throws(MeshError) {
    let name = workload.name
    self.choices[name] = self.files.choice(for: workload, now: now)
    guard self.sockets[name] == nil, now >= self.failures[name]?.next ?? 0 else { return }
    do throws(MeshError) {
      self.sockets[name] = try NameSocket.open(in: namespace, adopted: self.adopted)
      self.failures[name] = nil
    } catch {
      let isKnown = self.failures[name]?.error.description == error.description
      self.failures[name] = (error, now + Self.retryMilliseconds)
      if !isKnown { throw error }
    }
  }

  /// The workload is gone, or wants names no more.
  mutating func forget(_ name: ResourceName, cookie: UInt64) {
    for socket in self.sockets.removeValue(forKey: name) ?? [] { self.adopted[socket.key(cookie: cookie)] = nil }
    self.choices[name] = nil
    self.failures[name] = nil
    self.handedOver.remove(name)
    self.told[name] = nil
  }

  /// A proxy that has nothing yet.
  mutating func proxyConnected() {
    self.handedOver = []
    self.told = [:]
  }

  /// Sockets that the proxy does not have; they count as handed over from here on.
  mutating func takeNew(_ name: ResourceName) -> [NameSocket] {
    guard let sockets = self.sockets[name], self.handedOver.insert(name).inserted else { return [] }
    return sockets
  }

  /// Name servers that the proxy does not know; they count as told from here on. Nil: it knows.
  mutating func takeServers(_ name: ResourceName) -> [SocketEndpoint]? {
    guard let servers = self.choices[name]?.servers, self.told[name] != servers else { return nil }
    self.told[name] = servers
    return servers
  }

  /// Whatever no workload has taken belongs to none.
  mutating func dropAdopted() { self.adopted = [:] }
}
