import MeshBase
import MeshSnapshot

/// A service port, to which a route may be attached.
struct PortKey: Hashable {
  var service: ResourceName
  var port: UInt16
}

extension Compilation {
  mutating func compileServices(
    _ routed: [PortKey: RoutedBackends], _ requests: RequestRouting, _ names: [PortKey: [TLSRule]],
    _ traffic: TrafficRules, now: Int64
  ) {
    var reserved: [IPAddress: Int] = [:]
    for (index, service) in self.services.enumerated() {
      for address in service.spec.clusterIPs {
        if let first = reserved[address] {
          self.report(
            service.claim,
            "clusterIP \(address) belongs to Service \(self.services[first].name), which comes first by name",
            next: "give each Service an address of its own, or none")
        } else {
          reserved[address] = index
        }
      }
    }
    var live: [ResourceName: [IPAddress]] = [:]
    for (index, service) in self.services.enumerated() {
      var addresses = service.spec.clusterIPs.filter { reserved[$0] == index }
      if service.spec.clusterIPs.isEmpty, !service.spec.isHeadless {
        addresses = self.virtualAddresses(service) { reserved[$0] != nil }
        live[service.name] = addresses
      }
      let ports = service.spec.ports.map { port in
        let key = PortKey(service: service.name, port: port.port)
        let route = routed[key]
        return ServicePort(
          port: port.port, name: port.name, appProtocol: port.appProtocol ?? requests.protocols[key] ?? .tcp,
          backends: route?.backends ?? [Backend(service: service.name, port: port.port)], route: route?.route,
          routing: requests.rules[key].map { HTTPRouting(rules: $0) }, tlsRules: names[key] ?? [],
          traffic: traffic.settings[key])
      }
      self.insert(.service(ServiceEntry(name: service.name, addresses: addresses, ports: ports)))
    }
    self.vips.endRound(live: live, now: now)
  }

  private mutating func virtualAddresses(
    _ service: Placed<ServiceSpec>, isReserved: (IPAddress) -> Bool
  ) -> [IPAddress] {
    var result: [IPAddress] = []
    let ranges = [
      service.spec.wantsV4 ? self.config.vipRangeV4 : nil, service.spec.wantsV6 ? self.config.vipRangeV6 : nil,
    ].compactMap { $0 }
    for range in ranges {
      if let address = self.vips.allocate(for: service.name, in: range, reserved: isReserved) {
        result.append(address)
      } else {
        self.report(
          service.claim, "no address is free in \(range)", next: "set a larger range at MeshConfig spec.vipRanges")
      }
    }
    if ranges.isEmpty {
      self.report(
        service.claim, "there is no range for the address families of this Service",
        next: "set clusterIP, or a range at MeshConfig spec.vipRanges")
    }
    return result
  }
}
