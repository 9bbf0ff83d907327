package import MeshBase
package import MeshSnapshot

/// The names of the mesh's services, made once of a resolved snapshot (one in which the node has filled in addresses and
/// readiness of its own workloads) and then only read; a class, so that whoever answers holds one pointer.
///
/// A service `web` in namespace `default` is `web.default`, `web.default.svc` and `web.default.svc.<cluster domain>`. The
/// cluster domain and `svc` are the mesh's as a whole: what does not exist there does not exist. Of the short form only
/// names of services are: everything else of that form is somebody else's and forwarded.
package final class MeshZone: Sendable {
  package static let clusterDomain = "cluster.local"
  /// Seconds that an answer of ours, negative ones too, may be kept: addresses of services stay, but endpoints move.
  package static let timeToLive: UInt32 = 5
  /// Addresses or targets in one answer: more would not fit into a message by TCP either.
  package static let mostRecords = 256

  /// Where a service without an address of its own is served.
  struct Place: Hashable, Sendable {
    let address: IPAddress
    let weight: UInt16
    let ports: [PortMapping]
    /// The label of its own name: the address with `-` for `.` and `:`.
    let label: [UInt8]
  }

  struct Host: Sendable {
    let addresses: [IPAddress]
    /// In lower case; ports without a name have no SRV record.
    let ports: [[UInt8]: UInt16]
    /// Of a service without addresses; empty for all others.
    let places: [Place]
    /// Its name in the cluster domain.
    let name: SpelledName
  }

  let apex: DNSName
  let serviceDomain: DNSName
  /// By `<service>.<namespace>`.
  let hosts: [DNSName: Host]
  /// Names that end a host's and are none: the namespaces.
  let middles: Set<DNSName>
  /// Addresses that only the mesh gives out: an answer of somebody else that holds one is not passed on.
  package let guardedRanges: [IPPrefix]

  /// - clusterDomain: a valid name that is not the root's; else the default is used.
  package init(_ snapshot: Snapshot, clusterDomain: String = MeshZone.clusterDomain) {
    let own = DNSName(clusterDomain).flatMap { $0 == .root ? nil : $0 }
    let apex = own ?? DNSName(Self.clusterDomain) ?? .root
    self.apex = apex
    self.serviceDomain = DNSName("svc") ?? .root
    var hosts: [DNSName: Host] = [:]
    var middles: Set<DNSName> = []
    for (name, entry) in snapshot.services {
      guard let short = DNSName("\(name.name).\(name.namespace)"),
        let full = SpelledName("\(name.name).\(name.namespace).svc.\(apex)")
      else { continue }
      let service = entry.value
      hosts[short] = Host(
        addresses: service.addresses.sorted(),
        ports: Dictionary(
          service.ports.filter { !$0.name.isEmpty }.map { (Array($0.name.lowercased().utf8), $0.port) },
          uniquingKeysWith: { first, _ in first }),
        places: service.addresses.isEmpty ? Self.places(of: name, in: snapshot) : [], name: full)
      for count in 1..<max(short.labelStarts.count, 1) {
        if let middle = short.dropping(count) { middles.insert(middle) }
      }
    }
    self.hosts = hosts
    self.middles = middles
    self.guardedRanges = [snapshot.config?.value.vipRangeV4, snapshot.config?.value.vipRangeV6].compactMap { $0 }
  }

  /// Services that have a name.
  package var count: Int { self.hosts.count }

  /// Ready endpoints by address; an address that two endpoints have counts once.
  private static func places(of service: ResourceName, in snapshot: Snapshot) -> [Place] {
    var places: [IPAddress: Place] = [:]
    for endpoint in snapshot.endpoints[service]?.value.endpoints ?? [] where endpoint.isReady && endpoint.weight > 0 {
      var addresses = endpoint.addresses
      if addresses.isEmpty, let workload = endpoint.workload {
        addresses = snapshot.workloads[workload]?.value.addresses ?? []
      }
      for address in addresses where places[address] == nil {
        places[address] = Place(
          address: address, weight: UInt16(clamping: endpoint.weight), ports: endpoint.ports,
          label: address.description.utf8.map {
            $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") ? UInt8(ascii: "-") : $0
          })
      }
    }
    return places.values.sorted { $0.address < $1.address }
  }
}
