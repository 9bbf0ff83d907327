import MeshBase
import MeshSnapshot

extension Martlet_Entries_V1_Endpoints {
  init(_ entry: EndpointsEntry) {
    self.init()
    self.service = entry.service.description
    self.endpoints = entry.endpoints.map { endpoint in
      var message = Martlet_Entries_V1_Endpoint()
      if let workload = endpoint.workload { message.workload = workload.description }
      message.addresses = endpoint.addresses.map { Martlet_Entries_V1_Address($0) }
      message.ready = endpoint.isReady
      message.weight = endpoint.weight
      message.needsTunnel = endpoint.needsTunnel
      message.locality = endpoint.locality.description
      message.ports = endpoint.ports.map { mapping in
        var message = Martlet_Entries_V1_PortMapping()
        message.servicePort = UInt32(mapping.servicePort)
        message.targetPort = UInt32(mapping.targetPort)
        return message
      }
      return message
    }
  }
}

extension EndpointsEntry {
  init(_ message: Martlet_Entries_V1_Endpoints) throws(MeshError) {
    let field = FieldPath("endpoints", message.service)
    self.init(service: try field["service"].resourceName(message.service), endpoints: [])
    self.endpoints.reserveCapacity(message.endpoints.count)
    var total: UInt32 = 0
    for (index, part) in message.endpoints.enumerated() {
      var endpoint = try Endpoint(part, field["endpoints"][index])
      // Nearly all endpoints of a service have the same ports: one array for all of them.
      if let last = self.endpoints.last, last.ports == endpoint.ports { endpoint.ports = last.ports }
      if let last = self.endpoints.last, last.locality == endpoint.locality { endpoint.locality = last.locality }
      self.endpoints.append(endpoint)
      total = try field["endpoints"][index]["weight"].sum(total, part.weight)
    }
  }
}

extension Endpoint {
  init(_ message: Martlet_Entries_V1_Endpoint, _ field: FieldPath) throws(MeshError) {
    self.init(
      addresses: try field["addresses"].unicastAddresses(message.addresses), isReady: message.ready,
      weight: message.weight, ports: [], needsTunnel: message.needsTunnel)
    guard let locality = Locality(message.locality) else { throw field["locality"].error("not region/zone/subzone") }
    self.locality = locality
    if !message.workload.isEmpty {
      self.workload = try field["workload"].resourceName(message.workload)
    } else if message.addresses.isEmpty {
      throw field.error("has neither a workload nor addresses")
    }
    var seen: Set<UInt16> = []
    for (index, part) in message.ports.enumerated() {
      let path = field["ports"][index]
      let mapping = PortMapping(
        servicePort: try path["service_port"].port(part.servicePort),
        targetPort: try path["target_port"].port(part.targetPort))
      guard seen.insert(mapping.servicePort).inserted else {
        throw path["service_port"].error("\(mapping.servicePort) occurs twice")
      }
      self.ports.append(mapping)
    }
  }
}
