import MeshBase
import MeshSnapshot

extension Compilation {
  mutating func compileEndpoints() {
    var slices: [ResourceName: [Int]] = [:]
    for (index, slice) in self.slices.enumerated() {
      guard let service = ResourceName(namespace: slice.name.namespace, name: slice.spec.service),
        let serviceIndex = self.serviceIndex[service]
      else {
        self.report(
          slice.claim, "Service \(slice.name.namespace)/\(slice.spec.service) does not exist",
          next: "create it, or correct label kubernetes.io/service-name")
        continue
      }
      if self.services[serviceIndex].spec.selector != nil {
        self.report(
          slice.claim, "Service \(service) has a selector, which finds its endpoints: this slice is not used",
          next: "remove the slice or the selector")
        continue
      }
      slices[service, default: []].append(index)
    }
    var owners: [IPAddress: ResourceName] = [:]
    if !self.slices.isEmpty {
      for service in self.snapshot.services.values.sorted(by: { $0.value.name < $1.value.name }) {
        for address in service.value.addresses where owners[address] == nil { owners[address] = service.value.name }
      }
    }
    for service in self.services {
      let endpoints: [Endpoint]
      if let selector = service.spec.selector {
        endpoints = self.selected(selector, of: service)
      } else {
        endpoints = (slices[service.name] ?? []).flatMap {
          self.endpoints(of: self.slices[$0], service, owners)
        }
      }
      self.insert(.endpoints(EndpointsEntry(service: service.name, endpoints: endpoints)))
    }
  }

  private mutating func selected(_ selector: [String: String], of service: Placed<ServiceSpec>) -> [Endpoint] {
    var result: [Endpoint] = []
    for index in self.select(selector, namespace: service.name.namespace) {
      let workload = self.workloads[index]
      var ports: [PortMapping] = []
      for port in service.spec.ports {
        switch port.target {
        case .number(let number): ports.append(PortMapping(servicePort: port.port, targetPort: number))
        case .name(let name):
          if let number = workload.spec.ports[name] {
            ports.append(PortMapping(servicePort: port.port, targetPort: number))
          } else {
            self.report(
              service.claim, at: port.position,
              "Workload \(workload.name) has no port named \(name): it does not serve port \(port.port)",
              next: "add it at the Workload's spec.ports, or write targetPort as a number")
          }
        }
      }
      guard !ports.isEmpty || service.spec.ports.isEmpty else { continue }
      result.append(
        Endpoint(
          workload: workload.name, weight: workload.spec.weight, ports: ports, locality: workload.spec.locality))
    }
    return result
  }

  private mutating func endpoints(
    of slice: Placed<EndpointSliceSpec>, _ service: Placed<ServiceSpec>, _ owners: [IPAddress: ResourceName]
  ) -> [Endpoint] {
    var ports: [PortMapping] = []
    for port in service.spec.ports {
      if let target = slice.spec.ports.first(where: { $0.name == port.name }) {
        ports.append(PortMapping(servicePort: port.port, targetPort: target.port))
      } else {
        self.report(
          slice.claim, "the slice has no port named \(quotedForMessage(port.name)), which Service \(service.name) has",
          next: "add it, or correct the name")
      }
    }
    guard !ports.isEmpty || service.spec.ports.isEmpty else { return [] }
    var result: [Endpoint] = []
    for endpoint in slice.spec.endpoints {
      if let (address, owner) = self.serviceAddress(among: endpoint.addresses, owners) {
        self.report(
          slice.claim, at: endpoint.position,
          "address \(address) belongs to \(owner), so that connections would go round: the endpoint is not used",
          next: "write the address of what serves it, or lead to another Service by a TCPRoute")
        continue
      }
      var weight: UInt32 = 1
      var locality = Locality.nowhere
      if let name = endpoint.workload {
        guard let workload = self.workloadIndex(name).map({ self.workloads[$0] }) else {
          self.report(
            slice.claim, at: endpoint.position, "Workload \(name) does not exist: the endpoint is not used",
            next: "create it, or correct targetRef")
          continue
        }
        weight = workload.spec.weight
        locality = workload.spec.locality
      }
      if let zone = endpoint.zone, zone != locality.zone { locality = Locality(region: locality.region, zone: zone) }
      result.append(
        Endpoint(
          workload: endpoint.workload, addresses: endpoint.addresses, isReady: endpoint.isReady, weight: weight,
          ports: ports, locality: locality))
    }
    return result
  }

  /// The first of the addresses that is a service's, or could become one's, and whose it is.
  private func serviceAddress(
    among addresses: [IPAddress], _ owners: [IPAddress: ResourceName]
  ) -> (IPAddress, String)? {
    for address in addresses {
      if let owner = owners[address] { return (address, "Service \(owner)") }
      for case .some(let range) in [self.config.vipRangeV4, self.config.vipRangeV6]
      where range.length > 0 && range.contains(address) {
        return (address, "the range of service addresses, \(range)")
      }
    }
    return nil
  }

  /// By binary search: `workloads` is sorted.
  func workloadIndex(_ name: ResourceName) -> Int? {
    var low = 0
    var high = self.workloads.count
    while low < high {
      let middle = (low + high) / 2
      if self.workloads[middle].name < name { low = middle + 1 } else { high = middle }
    }
    return low < self.workloads.count && self.workloads[low].name == name ? low : nil
  }
}
