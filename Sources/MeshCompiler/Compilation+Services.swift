import MeshBase
import MeshSnapshot

/// A service port, to which a route may be attached.
struct PortKey: Hashable {
  var service: ResourceName
  var port: UInt16
}

struct RoutedBackends {
  var route: ResourceName
  var backends: [Backend]
}

extension Compilation {
  /// What routes say about service ports. Of two routes for one port the first by name holds.
  mutating func compileRoutes() -> [PortKey: RoutedBackends] {
    var result: [PortKey: RoutedBackends] = [:]
    for route in self.routes {
      let backends = route.spec.backends.map { self.backend($0, of: route) }
      guard !backends.isEmpty else { continue }
      for parent in route.spec.parents {
        guard let name = ResourceName(namespace: route.name.namespace, name: parent.service),
          let index = self.serviceIndex[name]
        else {
          self.report(
            route.claim, at: parent.position, "parent Service \(route.name.namespace)/\(parent.service) does not exist",
            next: "create it, or correct the name")
          continue
        }
        let ports = self.services[index].spec.ports.filter { port in
          (parent.port.map { $0 == port.port } ?? true) && (parent.portName.map { $0 == port.name } ?? true)
        }
        if ports.isEmpty {
          self.report(
            route.claim, at: parent.position, "Service \(name) has no such port",
            next: "its ports are \(self.services[index].spec.ports.map { "\($0.port)" }.joined(separator: ", "))")
        }
        for port in ports {
          let key = PortKey(service: name, port: port.port)
          if let other = result[key] {
            guard other.route != route.name else { continue }
            self.report(
              route.claim, at: parent.position,
              "Service \(name) port \(port.port) is routed by TCPRoute \(other.route) already: this route is not used there",
              next: "join the two routes, or give each its port")
          } else {
            result[key] = RoutedBackends(route: route.name, backends: backends)
          }
        }
      }
    }
    return result
  }

  /// A backend that does not resolve stays, with its weight, and refuses its share (Gateway API, BackendRef).
  private mutating func backend(_ ref: TCPRouteSpec.BackendRef, of route: Placed<TCPRouteSpec>) -> Backend {
    var isValid = false
    if let index = self.serviceIndex[ref.service] {
      if !self.services[index].spec.ports.contains(where: { $0.port == ref.port }) {
        self.report(
          route.claim, at: ref.position,
          "backend Service \(ref.service) has no port \(ref.port): its share of the connections is refused",
          next: "its ports are \(self.services[index].spec.ports.map { "\($0.port)" }.joined(separator: ", "))")
      } else if !self.isGranted(ref.service, to: route.name.namespace) {
        self.report(
          route.claim, at: ref.position,
          "Service \(ref.service) is of another namespace, which does not grant it: its share of the connections is refused",
          next: "add a ReferenceGrant in namespace \(ref.service.namespace) from TCPRoute of \(route.name.namespace)")
      } else {
        isValid = true
      }
    } else {
      self.report(
        route.claim, at: ref.position,
        "backend Service \(ref.service) does not exist: its share of the connections is refused",
        next: "create it, or correct the name")
    }
    return Backend(service: ref.service, port: ref.port, weight: ref.weight, isValid: isValid)
  }

  private func isGranted(_ service: ResourceName, to namespace: String) -> Bool {
    service.namespace == namespace
      || self.grants.contains { grant in
        grant.name.namespace == service.namespace && grant.spec.fromNamespaces.contains(namespace)
          && grant.spec.services?.contains(service.name) ?? true
      }
  }

  mutating func compileServices(_ routed: [PortKey: RoutedBackends], now: Int64) {
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
        let route = routed[PortKey(service: service.name, port: port.port)]
        return ServicePort(
          port: port.port, name: port.name, appProtocol: port.appProtocol,
          backends: route?.backends ?? [Backend(service: service.name, port: port.port)], route: route?.route)
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
