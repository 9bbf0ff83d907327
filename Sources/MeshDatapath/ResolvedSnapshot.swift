package import MeshBase
package import MeshSnapshot

/// What the control plane said plus what this node knows of its own workloads:
///
/// - an enrolled workload has the addresses that its namespace has (written ones first, in their order); one in the host's
///   namespace owns only its ports of them, loopback included;
/// - a workload of another node without written addresses has those that its node found;
/// - an endpoint without addresses has those of its workload; one with addresses that belong to a workload has its name;
/// - an endpoint of a workload of another node needs a tunnel: here its address may be somebody else's;
/// - an endpoint of a workload that is placed on this node is ready only if that workload is enrolled here, not in quarantine,
///   and its check, if it has one, succeeds; one of a workload elsewhere is ready unless its node says otherwise; one whose
///   workload is not known yet is not ready.
///
/// It is kept up to date by changes and answers with its own change, which is what the planner and the proxy need.
/// A resolved entry that differs from what was distributed has a version of its own, equal for equal content.
package struct ResolvedSnapshot: Sendable {
  package let node: String
  /// The node proxy parses requests; else it relays bytes wherever it is asked.
  let parsesRequests: Bool
  /// It has certificates, and reaches workloads of other nodes through tunnels.
  package let opensTunnels: Bool
  /// As distributed.
  package private(set) var source = Snapshot()
  package private(set) var snapshot = Snapshot()
  /// Enrolled workloads whose entry places them here.
  package private(set) var locals: [ResourceName: LocalWorkload] = [:]
  /// All that was given, entry or not.
  private var given: [ResourceName: LocalWorkload] = [:]
  /// Workload → services whose endpoints name it.
  private var usersOfWorkload = ServiceUses<ResourceName>()
  /// Address → services with an endpoint of that address that names no workload.
  private var usersOfAddress = ServiceUses<IPAddress>()
  /// Who has the address.
  private var owners: [IPAddress: ResourceName] = [:]
  /// Addresses that more than one claims: all of them, the owner first.
  private var contested: [IPAddress: [ResourceName]] = [:]
  /// Networks of workloads that are placed here, and of how many.
  private var networksHere: [String: Int] = [:]
  /// The same for what workloads in a host's namespace serve: the addresses are the host's.
  private var places = HostPlaces()
  private var problemsOfWorkload: [ResourceName: [MeshError]] = [:]
  /// Sets of policies (`WorkloadEntry.policyGroup`) that the tables have no room for: they refuse everything. Only the
  /// planner, which makes the tables, knows.
  var oversizedGroups: Set<String> = []

  package init(node: String, parsesRequests: Bool = true, opensTunnels: Bool = false) {
    self.node = node
    self.parsesRequests = parsesRequests
    self.opensTunnels = opensTunnels
  }

  package init(
    node: String, snapshot: Snapshot, locals: [LocalWorkload], parsesRequests: Bool = true, opensTunnels: Bool = false
  ) {
    self.init(node: node, parsesRequests: parsesRequests, opensTunnels: opensTunnels)
    self.update(to: snapshot, locals: locals)
  }

  /// Connections to the port reach the proxy in any case: it tells each request what is wrong, where a connection could only be
  /// refused. Of a TLS connection only it knows where to.
  func reachesProxy(at port: ServicePort) -> Bool {
    self.answersRequests(at: port) || !port.tlsRules.isEmpty
  }

  func answersRequests(at port: ServicePort) -> Bool {
    self.parsesRequests && (port.appProtocol.needsProxy || port.routing != nil)
  }

  package func isEnrolled(_ workload: ResourceName) -> Bool { self.locals[workload] != nil }

  /// Nothing of it passes, in neither direction.
  package func isQuarantined(_ workload: ResourceName) -> Bool { self.locals[workload]?.isQuarantined ?? false }

  /// Somebody else listens on the port that the workload declared in the host's namespace.
  func isDisowned(_ port: UInt16, of workload: ResourceName) -> Bool {
    self.locals[workload]?.disownedPorts.contains(port) ?? false
  }

  /// The owner of an address: an enrolled workload before others, then what this node's networks mean by it, then the first
  /// by name. Nil for a host's own address.
  package func workload(at address: IPAddress) -> WorkloadEntry? {
    self.owners[address].flatMap { self.snapshot.workloads[$0]?.value }
  }

  /// Who answers at an address and port, if it is a workload: the owner of the address, or of a host's port.
  package func workload(at target: SocketEndpoint) -> WorkloadEntry? {
    self.workload(at: target.address) ?? self.workload(servedAt: target)
  }

  /// The workload in the host's namespace that declared this port. Loopback is this host's.
  func workload(servedAt place: SocketEndpoint) -> WorkloadEntry? {
    self.places.owner(of: place).flatMap { self.snapshot.workloads[$0]?.value }
  }

  /// Of all that publish this port of the host, the first by name, and where it leads. Services have their addresses before
  /// them.
  func publication(at place: SocketEndpoint) -> (workload: WorkloadEntry, target: SocketEndpoint)? {
    let place = place.canonical
    for (name, local) in self.locals.sorted(by: { $0.key < $1.key }) {
      guard let published = local.publications.first(where: { $0.host == place }),
        let entry = self.snapshot.workloads[name]?.value,
        let address = entry.addresses.first(where: { $0.isV4 == place.address.isV4 })
      else { continue }
      return (entry, SocketEndpoint(address, published.port))
    }
    return nil
  }

  /// Two workloads of this node are in different networks: a connection between them goes through the node proxy.
  package func areApart(_ a: ResourceName, _ b: ResourceName) -> Bool {
    guard a != b, let first = self.network(of: a), let second = self.network(of: b) else { return false }
    return first != second
  }

  /// Nil in the host's own namespace, and while it is not known.
  func network(of workload: ResourceName) -> String? {
    guard let segment = self.locals[workload]?.segment, let entry = self.snapshot.workloads[workload]?.value else {
      return nil
    }
    return Self.networkName(entry.network, segment)
  }

  static func networkName(_ network: String, _ segment: String) -> String { "\(network) \(segment)" }

  /// An address of a host on which workloads live.
  func isShared(_ address: IPAddress) -> Bool { self.places.has(address) }

  /// What is wrong with the facts, sorted by workload.
  package var problems: [MeshError] {
    var problems = self.problemsOfWorkload.sorted { $0.key < $1.key }.flatMap(\.value)
    for (name, _) in self.given.sorted(by: { $0.key < $1.key }) where self.locals[name] == nil {
      let next =
        self.source.workloads[name] == nil
        ? "apply a Workload of this name" : "set its node to \(self.node), or detach it here"
      problems.append(
        MeshError(.conflict, "workload \(name)", "is enrolled on \(self.node) but not placed there", next: next))
    }
    return problems
  }

  package struct AddressConflict: Sendable {
    package var place: String
    /// The owner first.
    package var workloads: [ResourceName]
    package var next: String
  }

  /// Addresses, and ports of a host, that several workloads claim.
  package var conflicts: [AddressConflict] {
    self.contested.sorted { $0.key < $1.key }.compactMap { address, claims -> AddressConflict? in
      // Namesakes in other networks are none.
      let workloads = claims.filter { self.rank($0) != .foreign }
      guard workloads.count > 1 else { return nil }
      return AddressConflict(
        place: "\(address)", workloads: workloads, next: "the first has it; give each workload an address of its own")
    }
      + self.places.contested.map {
        AddressConflict(
          place: "\($0.place)", workloads: $0.workloads, next: "the first has it; give each workload ports of its own")
      }
  }
}

/// What an update of a `ResolvedSnapshot` changed.
package struct ResolvedChange: Sendable {
  /// Of the resolved entries.
  package var delta = Delta()
  /// Addresses whose owner or its flags may have changed.
  package var addresses: Set<IPAddress> = []
  /// The same for ports in the host's namespace.
  package var places: Set<SocketEndpoint> = []
  /// Workloads whose published ports, or where they lead, may have changed.
  package var publishers: Set<ResourceName> = []
  /// Policies, or facts of local workloads, changed: verdicts may have.
  package var touchesAccess = false

  package init() {}
}

extension ResolvedSnapshot {
  /// True if applying the change may change verdicts.
  package func touchesAccess(_ delta: Delta, locals: [LocalWorkload]?) -> Bool {
    if let locals, !self.isSame(locals, butForHealth: true) { return true }
    return delta.upserts.contains { entry in
      switch entry.content {
      case .policy: return true
      case .workload(let entry):
        let workload = entry.value
        guard self.given[workload.name] != nil else { return false }
        // Whether it can serve, and how others reach it, is no matter of verdicts.
        guard var known = self.source.workloads[workload.name]?.value else { return true }
        (known.isHealthy, known.readiness) = (workload.isHealthy, workload.readiness)
        (known.foundAddresses, known.gateways) = (workload.foundAddresses, workload.gateways)
        return known != workload
      default: return false
      }
    }
      || delta.removals.contains { key in
        switch key.kind {
        case .policy: return true
        case .workload: return ResourceName(key.name).map { self.given[$0] != nil } ?? false
        default: return false
        }
      }
  }

  private func isSame(_ locals: [LocalWorkload], butForHealth: Bool = false) -> Bool {
    locals.count == self.given.count
      && locals.allSatisfy { local in
        guard var known = self.given[local.name] else { return false }
        if butForHealth { known.isHealthy = local.isHealthy }
        return known == local
      }
  }

  @discardableResult
  package mutating func update(to snapshot: Snapshot, locals: [LocalWorkload]) -> ResolvedChange {
    self.apply(snapshot.diff(from: self.source), locals: locals)
  }

  /// `delta` is of the distributed snapshot; `locals` are all enrolled workloads, nil if they are the same as before.
  @discardableResult
  package mutating func apply(_ delta: Delta, locals: [LocalWorkload]? = nil) -> ResolvedChange {
    var change = ResolvedChange()
    change.touchesAccess = self.touchesAccess(delta, locals: locals)
    var output = DeltaBuilder()
    var workloads: Set<ResourceName> = []
    var endpoints: Set<ResourceName> = []
    self.take(delta, &output, &workloads, &endpoints)
    if let locals, !self.isSame(locals) {
      let new = Dictionary(locals.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
      workloads.formUnion(new.keys.filter { self.given[$0] != new[$0] })
      workloads.formUnion(self.given.keys.filter { new[$0] == nil })
      self.given = new
    }
    for name in workloads { self.resolveWorkload(name, &output, &change) }
    for name in workloads { self.usersOfWorkload.add(name, to: &endpoints) }
    if !self.usersOfAddress.isEmpty {
      for address in change.addresses { self.usersOfAddress.add(address, to: &endpoints) }
    }
    for name in endpoints { self.resolveEndpoints(name, &output) }
    change.delta = output.delta
    return change
  }

  private mutating func take(
    _ delta: Delta, _ output: inout DeltaBuilder, _ workloads: inout Set<ResourceName>,
    _ endpoints: inout Set<ResourceName>
  ) {
    for entry in delta.upserts {
      switch entry.content {
      case .workload(let workload): workloads.insert(workload.value.name)
      case .endpoints(let entry):
        let value = entry.value
        endpoints.insert(value.service)
        self.unlink(self.source.endpoints[value.service]?.value)
        self.link(value)
      case .config, .policy, .service:
        self.snapshot.insert(entry)
        output.upsert(entry)
      }
      self.source.insert(entry)
    }
    for key in delta.removals {
      switch key.kind {
      case .workload: if let name = ResourceName(key.name) { workloads.insert(name) }
      case .endpoints:
        if let name = ResourceName(key.name) {
          endpoints.insert(name)
          self.unlink(self.source.endpoints[name]?.value)
        }
      case .config, .policy, .service:
        if self.snapshot.remove(key) { output.remove(key) }
      }
      self.source.remove(key)
    }
  }

  private mutating func link(_ entry: EndpointsEntry) {
    for endpoint in entry.endpoints {
      if let workload = endpoint.workload {
        self.usersOfWorkload.insert(entry.service, for: workload)
      } else {
        for address in endpoint.addresses { self.usersOfAddress.insert(entry.service, for: address) }
      }
    }
  }

  private mutating func unlink(_ entry: EndpointsEntry?) {
    guard let entry else { return }
    for endpoint in entry.endpoints {
      if let workload = endpoint.workload {
        self.usersOfWorkload.remove(entry.service, for: workload)
      } else {
        for address in endpoint.addresses { self.usersOfAddress.remove(entry.service, for: address) }
      }
    }
  }

  private mutating func resolveWorkload(
    _ name: ResourceName, _ output: inout DeltaBuilder, _ change: inout ResolvedChange
  ) {
    let old = self.snapshot.workloads[name]
    let source = self.source.workloads[name]
    self.problemsOfWorkload[name] = nil
    var new = source
    let publishedBefore = self.locals[name]?.publications.isEmpty == false
    self.followNetwork(of: old?.value, source?.value, &change)
    self.locals[name] = nil
    if let source, source.value.node == self.node, let local = self.given[name] {
      self.locals[name] = local
      let found = Set(local.addresses)
      let kept = source.value.addresses.filter { found.contains($0) }
      let addresses = kept + local.addresses.filter { !kept.contains($0) }
      if addresses != source.value.addresses {
        new?.value.addresses = addresses
        new?.version = source.version.mixed { mix in for address in addresses { mix(address) } }
      }
      let absent = source.value.addresses.filter { !found.contains($0) }
      if !absent.isEmpty {
        self.problemsOfWorkload[name] = [
          MeshError(
            .conflict, "workload \(name)",
            "declares \(absent.map(\.description).joined(separator: ", ")), which its network namespace does not have",
            next: "remove the address from the Workload or add it to an interface of the namespace")
        ]
      }
    }
    // Of the same distributed entry the same follows here, so that its version stays.
    if let source, source.value.node != self.node, source.value.addresses.isEmpty {
      new?.value.addresses = source.value.foundAddresses
    }
    self.places.set(
      name, new?.value, isEnrolled: self.locals[name] != nil, changed: &change.places, addresses: &change.addresses)
    let (had, has) = (old?.value.ownAddresses ?? [], new?.value.ownAddresses ?? [])
    for address in had where !has.contains(address) {
      change.addresses.insert(address)
      self.claim(address, name, claims: false)
    }
    for address in has {
      change.addresses.insert(address)
      self.claim(address, name, claims: true)
    }
    if publishedBefore || self.locals[name]?.publications.isEmpty == false { change.publishers.insert(name) }
    self.snapshot.workloads[name] = new
    if let new {
      if new.version != old?.version {
        output.upsert(.workload, name, VersionedEntry(content: .workload(new)))
      }
    } else if old != nil {
      output.remove(.workload, name)
    }
  }

  private mutating func claim(_ address: IPAddress, _ name: ResourceName, claims: Bool) {
    var list = self.contested[address] ?? self.owners[address].map { [$0] } ?? []
    list.removeAll { $0 == name }
    if claims {
      list.append(name)
    }
    self.set(list, at: address)
  }

  private mutating func set(_ claims: [ResourceName], at address: IPAddress) {
    var list = claims
    if list.count > 1 {
      let ranks = Dictionary(list.map { ($0, self.rank($0)) }, uniquingKeysWith: { first, _ in first })
      list.sort { (ranks[$0] ?? .foreign, $0) < (ranks[$1] ?? .foreign, $1) }
    }
    self.owners[address] = list.first
    self.contested[address] = list.count > 1 ? list : nil
  }

  /// How near a claim to an address is.
  private enum ClaimRank: Comparable {
    case enrolled
    case placed
    /// In a network that workloads of this node are in as well.
    case sameNetwork
    case foreign
  }

  private func rank(_ workload: ResourceName) -> ClaimRank {
    if self.locals[workload] != nil { return .enrolled }
    guard let entry = self.source.workloads[workload]?.value else { return .foreign }
    if entry.node == self.node { return .placed }
    return entry.network == self.node || self.networksHere[entry.network] != nil ? .sameNetwork : .foreign
  }

  /// Counts the networks of this node. With one more or less, an address may mean another of those who claim it.
  private mutating func followNetwork(
    of old: WorkloadEntry?, _ new: WorkloadEntry?, _ change: inout ResolvedChange
  ) {
    let (had, has) = (old.flatMap(self.networkHere), new.flatMap(self.networkHere))
    guard had != has else { return }
    var isOther = false
    if let has {
      isOther = self.networksHere[has] == nil
      self.networksHere[has, default: 0] += 1
    }
    if let had, let count = self.networksHere[had] {
      isOther = isOther || count == 1
      self.networksHere[had] = count > 1 ? count - 1 : nil
    }
    guard isOther else { return }
    for (address, list) in self.contested {
      self.set(list, at: address)
      if self.owners[address] != list.first { change.addresses.insert(address) }
    }
  }

  private func networkHere(_ entry: WorkloadEntry) -> String? { entry.node == self.node ? entry.network : nil }

  private mutating func resolveEndpoints(_ service: ResourceName, _ output: inout DeltaBuilder) {
    let old = self.snapshot.endpoints[service]
    guard let source = self.source.endpoints[service] else {
      if old != nil {
        self.snapshot.endpoints[service] = nil
        output.remove(.endpoints, service)
      }
      return
    }
    var new = source
    let resolved = source.value.endpoints.map { self.resolve($0) }
    if resolved != source.value.endpoints {
      new.value.endpoints = resolved
      new.version = source.version.mixed { mix in
        for endpoint in resolved {
          mix(
            IPAddress(
              high: (endpoint.isReady ? 1 : 0) | (endpoint.needsTunnel ? 2 : 0),
              low: UInt64(endpoint.addresses.count) | UInt64(endpoint.ports.count) << 32
            ))
          for address in endpoint.addresses { mix(address) }
          for byte in endpoint.workload?.description.utf8 ?? "".utf8 { mix(IPAddress(high: 0, low: UInt64(byte))) }
        }
      }
    }
    guard new.version != old?.version else { return }
    self.snapshot.endpoints[service] = new
    output.upsert(.endpoints, service, VersionedEntry(content: .endpoints(new)))
  }

  private func resolve(_ endpoint: Endpoint) -> Endpoint {
    var result = endpoint
    if result.workload == nil {
      result.workload =
        endpoint.addresses.lazy.compactMap { address in
          self.owners[address]
            ?? endpoint.ports.lazy.compactMap { self.places.owner(of: SocketEndpoint(address, $0.targetPort)) }.first
        }.first
    }
    guard let name = result.workload else {
      result.isReady = endpoint.isReady && !endpoint.addresses.isEmpty
      return result
    }
    guard let workload = self.snapshot.workloads[name]?.value else {
      result.isReady = false
      return result
    }
    if endpoint.addresses.isEmpty {
      result.addresses = workload.addresses
    } else if workload.node == self.node, self.locals[name] != nil {
      result.addresses = endpoint.addresses.filter { workload.addresses.contains($0) }
    }
    let runs =
      workload.node == self.node
      ? self.locals[name].map { $0.isHealthy && !$0.isQuarantined } ?? false : workload.isHealthy
    if workload.location.isInHost {
      result.ports.removeAll { !workload.ports.contains($0.targetPort) || self.isDisowned($0.targetPort, of: name) }
    }
    result.needsTunnel = workload.node != self.node
    result.isReady = endpoint.isReady && runs && !result.addresses.isEmpty
    return result
  }
}

extension ContentVersion {
  /// The version of content that follows from content of this version and some addresses.
  fileprivate func mixed(_ body: ((IPAddress) -> Void) -> Void) -> ContentVersion {
    var bytes: [UInt8] = []
    func append(_ word: UInt64) {
      for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift * 8))) }
    }
    append(self.value)
    body { address in
      append(address.high)
      append(address.low)
    }
    return ContentVersion(of: bytes)
  }
}
