import MeshBase
import MeshDatapath
import MeshSnapshot
import MeshTestSupport

func name(_ text: String) -> ResourceName {
  guard let name = ResourceName("n/\(text)") else { preconditionFailure("a constant") }
  return name
}

func address(_ text: String) -> IPAddress {
  guard let address = IPAddress(text) else { preconditionFailure("a constant") }
  return address
}

/// A small mesh that changes at random: workloads w0...w7 (some here, some on node `far`), services s0...s4, policies
/// p0...p5. Versions are counted, so a change is always a new version.
struct RandomMesh {
  var random: SplitMix64
  var snapshot = Snapshot()
  var locals: [ResourceName: LocalWorkload] = [:]
  private var versions: UInt64 = 0
  private var cookies: UInt64 = 100

  static let node = "here"
  static let ports: [UInt16] = [80, 81, 443, 15001]

  init(seed: UInt64) {
    self.random = SplitMix64(seed: seed)
    self.insert(
      .config(
        ConfigEntry(
          trustDomain: "mesh.local", vipRangeV4: IPPrefix(address("240.0.0.0"), length: 8),
          vipRangeV6: IPPrefix(address("fd77::"), length: 16))))
    for _ in 0..<Int.random(in: 5...30, using: &self.random) { self.change() }
  }

  private mutating func insert(_ entry: Entry) {
    self.versions += 1
    self.snapshot.insert(VersionedEntry(entry, version: ContentVersion(value: self.versions)))
  }

  mutating func change() {
    switch Int.random(in: 0..<10, using: &self.random) {
    case 0, 1: self.insert(.workload(self.workload(Int.random(in: 0..<8, using: &self.random))))
    case 2, 3: self.insert(.policy(self.policy(Int.random(in: 0..<6, using: &self.random))))
    case 4: self.insert(.service(self.service(Int.random(in: 0..<5, using: &self.random))))
    case 5, 6: self.insert(.endpoints(self.endpoints(Int.random(in: 0..<5, using: &self.random))))
    case 7: self.removeSomething()
    default: self.enrolOrWithdraw()
    }
  }

  private mutating func removeSomething() {
    let keys = self.snapshot.versions.keys.filter { $0.kind != .config }.sorted()
    if !keys.isEmpty, self.random.chance(60) { self.snapshot.remove(self.random.pick(keys)) }
  }

  private mutating func enrolOrWithdraw() {
    let workload = name("w\(Int.random(in: 0..<5, using: &self.random))")
    if self.locals[workload] != nil, self.random.chance(40) {
      self.locals[workload] = nil
    } else {
      self.cookies += 1
      let index = workload.name.dropFirst()
      var found = [address("10.0.0.1\(index)")]
      if self.random.chance(50) { found.append(address("fd00::1\(index)")) }
      if self.random.chance(20) { found.append(address("10.0.1.1\(index)")) }
      var local = LocalWorkload(
        name: workload, netnsCookie: self.cookies, addresses: found,
        interfaces: [UInt32.random(in: 1...9, using: &self.random)])
      local.segment = self.random.chance(10) ? nil : self.random.pick(["", "br0", "br1"])
      for port in [UInt16(8080), 8081, 80] where self.random.chance(15) {
        let target = self.random.pick(Self.ports)
        let host = address(self.random.pick(["192.168.0.1", "127.0.0.1", "240.0.0.0"]))
        // The first may be another's; the second is nobody else's, so that no table is without a row that leads to it.
        let own = 20_000 + (UInt16(workload.name.dropFirst()) ?? 0) * 100 + UInt16(local.publications.count)
        for place in [SocketEndpoint(host, port), SocketEndpoint(address("192.168.0.1"), own)] {
          local.publications.append(PublishedPort(host: place, port: target))
        }
      }
      self.locals[workload] = local
    }
  }

  private mutating func workload(_ index: Int) -> WorkloadEntry {
    let isHere = index < 5 && self.random.chance(90)
    var policies: [ResourceName] = []
    for number in 0..<6 where self.random.chance(25) { policies.append(name("p\(number)")) }
    var addresses: [IPAddress] = []
    if !isHere || self.random.chance(30) { addresses.append(address("10.0.0.1\(index)")) }
    if self.random.chance(5) { addresses.append(address("10.0.0.10")) }
    return WorkloadEntry(
      name: name("w\(index)"), node: isHere ? Self.node : "far",
      identity: self.identity(index % 3), addresses: addresses,
      failureMode: self.random.chance(15) ? .open : .closed, policies: policies,
      network: self.random.chance(70) ? nil : self.random.pick(["red", "blue"]))
  }

  private func identity(_ number: Int) -> SPIFFEID {
    guard let id = SPIFFEID(trustDomain: "mesh.local", namespace: "n", serviceAccount: "a\(number)") else {
      preconditionFailure("a constant")
    }
    return id
  }

  private mutating func policy(_ index: Int) -> PolicyEntry {
    let rules = (0..<Int.random(in: 0...2, using: &self.random)).map { _ in
      var match = SourceMatch()
      let principal = StringMatch.exact(self.identity(Int.random(in: 0..<3, using: &self.random)).principal)
      let block = IPPrefix(host: address("10.0.0.1\(Int.random(in: 0..<8, using: &self.random))"))
      switch Int.random(in: 0..<6, using: &self.random) {
      case 0: match.principals = [principal]
      case 1: match.notPrincipals = [principal]
      case 2: match.ipBlocks = [block]
      case 3: match.notIPBlocks = [block]
      case 4: match.namespaces = [.present]
      default: match.principals = [.prefix("mesh.local/ns/n/")]
      }
      return PolicyRule(
        from: self.random.chance(80) ? [match] : [],
        to: self.random.chance(40) ? [OperationMatch(ports: [self.random.pick(Self.ports)])] : [])
    }
    return PolicyEntry(name: name("p\(index)"), action: self.random.chance(40) ? .deny : .allow, rules: rules)
  }

  private mutating func service(_ index: Int) -> ServiceEntry {
    var addresses = [address("240.0.0.\(index)")]
    if self.random.chance(50) { addresses.append(address("fd77::\(index)")) }
    if self.random.chance(5) { addresses.append(address("240.0.0.0")) }
    let ports = [UInt16(80), 81].filter { _ in self.random.chance(80) }.map { port in
      var backends = [Backend(service: name("s\(index)"), port: 80)]
      if self.random.chance(40) {
        backends = (0..<3).map { _ in
          Backend(
            service: name("s\(Int.random(in: 0..<6, using: &self.random))"), port: 80,
            weight: UInt32.random(in: 0...3, using: &self.random), isValid: self.random.chance(80))
        }
      }
      return ServicePort(port: port, appProtocol: self.random.chance(15) ? .http : .tcp, backends: backends)
    }
    return ServiceEntry(name: name("s\(index)"), addresses: addresses, ports: ports)
  }

  private mutating func endpoints(_ index: Int) -> EndpointsEntry {
    let endpoints = (0..<Int.random(in: 0...3, using: &self.random)).map { _ in
      let number = Int.random(in: 0..<8, using: &self.random)
      var endpoint = Endpoint(
        workload: name("w\(number)"), isReady: self.random.chance(85),
        weight: UInt32.random(in: 0...3, using: &self.random),
        ports: [PortMapping(servicePort: 80, targetPort: self.random.pick(Self.ports))])
      if self.random.chance(20) { endpoint.addresses = [address("10.0.0.1\(number)")] }
      if self.random.chance(15) {
        endpoint.workload = nil
        endpoint.addresses = [address(self.random.pick(["10.0.0.11", "172.16.0.1"]))]
      }
      return endpoint
    }
    return EndpointsEntry(service: name("s\(index)"), endpoints: endpoints)
  }
}
