import MeshBase
import MeshLinux
import MeshSnapshot

/// What the agent holds for those that resolve names of the mesh, and what the proxy was told of it.
struct Naming {
  static let retryMilliseconds: Int64 = 2000

  /// Whose questions are answered.
  enum Owner: Hashable, Sendable {
    case workload(ResourceName)
    /// The host's own resolver. It is answered for the mesh's names, and nobody is asked on its behalf.
    case host
  }

  /// Sockets of an earlier process that nobody has taken yet.
  private var adopted: [ListenerAdoption.Key: NameSocket]
  private(set) var sockets: [Owner: [NameSocket]] = [:]
  private var files: ResolverFiles
  private(set) var choices: [Owner: NameServerChoice] = [:]
  private var failures: [Owner: (error: MeshError, next: Int64)] = [:]
  private var handedOver: Set<Owner> = []
  /// The name servers that the proxy has.
  private var told: [Owner: [SocketEndpoint]] = [:]

  init(adopted: [ListenerAdoption.Key: NameSocket], hostFile: String) {
    self.adopted = adopted
    self.files = ResolverFiles(hostPath: hostFile)
  }

  var problems: [MeshError] {
    self.failures.values.map(\.error)
      + self.choices.compactMap { owner, choice in
        guard case .workload(let name) = owner, choice.servers.isEmpty else { return nil }
        return MeshError(
          .notFound, "workload \(name)", "only names of the mesh resolve: no name server is known that it can reach",
          next: "set spec.nameServers of the Workload")
      }
  }

  /// Opens what is not open, and looks who is to be asked. Throws what is new: the same failure is told once.
  mutating func prepare(
    _ workload: WorkloadEntry, in namespace: NetworkNamespace, now: Int64
  ) throws(MeshError) {
    self.choices[.workload(workload.name)] = self.files.choice(for: workload, now: now)
    try self.open(.workload(workload.name), in: namespace, now: now)
  }

  mutating func prepareHost(_ namespace: NetworkNamespace, now: Int64) throws(MeshError) {
    self.choices[.host] = .nobody
    try self.open(.host, in: namespace, now: now)
  }

  private mutating func open(_ owner: Owner, in namespace: NetworkNamespace, now: Int64) throws(MeshError) {
    guard self.sockets[owner] == nil, now >= self.failures[owner]?.next ?? 0 else { return }
    do throws(MeshError) {
      self.sockets[owner] = try NameSocket.open(in: namespace, adopted: self.adopted)
      self.failures[owner] = nil
    } catch {
      let isKnown = self.failures[owner]?.error.description == error.description
      self.failures[owner] = (error, now + Self.retryMilliseconds)
      if !isKnown { throw error }
    }
  }

  /// The workload is gone, or wants names no more.
  mutating func forget(_ name: ResourceName, cookie: UInt64) {
    let owner = Owner.workload(name)
    for socket in self.sockets.removeValue(forKey: owner) ?? [] { self.adopted[socket.key(cookie: cookie)] = nil }
    self.choices[owner] = nil
    self.failures[owner] = nil
    self.handedOver.remove(owner)
    self.told[owner] = nil
  }

  /// A proxy that has nothing yet.
  mutating func proxyConnected() {
    self.handedOver = []
    self.told = [:]
  }

  /// Sockets that the proxy does not have; they count as handed over from here on.
  mutating func takeNew(_ owner: Owner) -> [NameSocket] {
    guard let sockets = self.sockets[owner], self.handedOver.insert(owner).inserted else { return [] }
    return sockets
  }

  /// Name servers that the proxy does not know; they count as told from here on. Nil: it knows.
  mutating func takeServers(_ owner: Owner) -> [SocketEndpoint]? {
    guard let servers = self.choices[owner]?.servers, self.told[owner] != servers else { return nil }
    self.told[owner] = servers
    return servers
  }

  /// Whatever nobody has taken belongs to nobody.
  mutating func dropAdopted() { self.adopted = [:] }
}
