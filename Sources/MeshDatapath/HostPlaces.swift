import MeshBase
import MeshSnapshot

/// What workloads in the hosts' own namespaces serve: {address, port} to workload. A host's address belongs to nobody; only
/// the ports that a workload declares are governed. Of this host, loopback too.
struct HostPlaces: Sendable {
  /// Who serves it, the owner first.
  private var claims: [SocketEndpoint: [ResourceName]] = [:]
  private var served: [ResourceName: Set<SocketEndpoint>] = [:]
  /// How many of `claims` have the address.
  private var uses: [IPAddress: Int] = [:]
  private var enrolled: Set<ResourceName> = []

  func owner(of place: SocketEndpoint) -> ResourceName? { self.claims[place.canonical]?.first }

  func has(_ address: IPAddress) -> Bool { self.uses[address] != nil }

  /// Sorted by place.
  var contested: [(place: SocketEndpoint, workloads: [ResourceName])] {
    self.claims.filter { $0.value.count > 1 }.map { ($0.key, $0.value) }
      .sorted { $0.place < $1.place }
  }

  /// `entry` nil: the workload is gone. Adds to `changed` and `addresses` whatever may have another owner or other flags now.
  mutating func set(
    _ name: ResourceName, _ entry: WorkloadEntry?, isEnrolled: Bool, changed: inout Set<SocketEndpoint>,
    addresses: inout Set<IPAddress>
  ) {
    var now: Set<SocketEndpoint> = []
    if let entry, entry.location.isInHost {
      let loopback: [IPAddress] = isEnrolled ? [.loopbackV4, .loopbackV6] : []
      for address in entry.addresses + loopback {
        for port in entry.ports { now.insert(SocketEndpoint(address, port)) }
      }
    }
    let before = self.served[name] ?? []
    guard !now.isEmpty || !before.isEmpty else { return }
    if isEnrolled && !now.isEmpty { self.enrolled.insert(name) } else { self.enrolled.remove(name) }
    self.served[name] = now.isEmpty ? nil : now
    for place in before.union(now) {
      changed.insert(place)
      var list = self.claims[place] ?? []
      if list.isEmpty { self.count(place.address, 1, &addresses) }
      list.removeAll { $0 == name }
      if now.contains(place) { list.append(name) }
      list.sort { a, b in
        let (first, second) = (self.enrolled.contains(a), self.enrolled.contains(b))
        return first == second ? a < b : first
      }
      self.claims[place] = list.isEmpty ? nil : list
      if list.isEmpty { self.count(place.address, -1, &addresses) }
    }
  }

  private mutating func count(_ address: IPAddress, _ change: Int, _ addresses: inout Set<IPAddress>) {
    let old = self.uses[address] ?? 0
    self.uses[address] = old + change == 0 ? nil : old + change
    // Loopback is not in the map of addresses: it is everybody's own.
    if (old == 0) != (old + change == 0), !address.isLoopback { addresses.insert(address) }
  }
}

extension SocketEndpoint {
  /// 127.0.0.1 stands for all of 127/8.
  var canonical: SocketEndpoint {
    self.address.isLoopback && self.address.isV4 ? SocketEndpoint(.loopbackV4, self.port) : self
  }
}

extension WorkloadEntry {
  /// Addresses that are the workload's alone.
  var ownAddresses: [IPAddress] { self.location.isInHost ? [] : self.addresses }
}
