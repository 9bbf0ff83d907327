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
    for service in self.services {
      let endpoints: [Endpoint]
      if let selector = service.spec.selector {
        endpoints = self.selected(selector, of: service)
      } else {
        endpoints = (slices[service.name] ?? []).flatMap { self.endpoints(of: self.slices[$0], service) }
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
      result.append(Endpoint(workload: workload.name, weight: workload.spec.weight, ports: ports))
    }
    return result
  }

  private mutating func endpoints(
    of slice: Placed<EndpointSliceSpec>, _ service: Placed<ServiceSpec>
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
      var weight: UInt32 = 1
      if let name = endpoint.workload {
        guard let workload = self.workload(name) else {
          self.report(
            slice.claim, at: endpoint.position, "Workload \(name) does not exist: the endpoint is not used",
            next: "create it, or correct targetRef")
          continue
        }
        weight = workload.spec.weight
      }
      result.append(
        Endpoint(
          workload: endpoint.workload, addresses: endpoint.addresses, isReady: endpoint.isReady, weight: weight,
          ports: ports))
    }
    return result
  }

  /// By binary search: `workloads` is sorted.
  private func workload(_ name: ResourceName) -> Placed<WorkloadSpec>? {
    var low = 0
    var high = self.workloads.count
    while low < high {
      let middle = (low + high) / 2
      if self.workloads[middle].name < name { low = middle + 1 } else { high = middle }
    }
    return low < self.workloads.count && self.workloads[low].name == name ? self.workloads[low] : nil
  }
}
