import MeshBase
import MeshSnapshot

extension Martlet_Entries_V1_Service {
  init(_ entry: ServiceEntry) {
    self.init()
    self.name = entry.name.description
    self.addresses = entry.addresses.map { Martlet_Entries_V1_Address($0) }
    self.ports = entry.ports.map { port in
      var message = Martlet_Entries_V1_Port()
      message.port = UInt32(port.port)
      message.name = port.name
      message.appProtocol =
        switch port.appProtocol {
        case .tcp: .tcp
        case .tls: .tls
        case .http: .http
        case .http2: .http2
        case .grpc: .grpc
        }
      message.backends = port.backends.map { Martlet_Entries_V1_Backend($0) }
      if let route = port.route { message.route = route.description }
      if let routing = port.routing { message.routing = Martlet_Entries_V1_HTTPRouting(routing) }
      message.tlsRules = port.tlsRules.map { rule in
        var message = Martlet_Entries_V1_TLSRule()
        message.route = rule.route.description
        message.hostnames = rule.hostnames
        message.backends = rule.backends.map { Martlet_Entries_V1_Backend($0) }
        return message
      }
      message.traffic = port.traffic.map { [Martlet_Entries_V1_Traffic($0)] } ?? []
      return message
    }
  }
}

extension ServiceEntry {
  init(_ message: Martlet_Entries_V1_Service) throws(MeshError) {
    let field = FieldPath("service", message.name)
    self.init(
      name: try field["name"].resourceName(message.name),
      addresses: try field["addresses"].unicastAddresses(message.addresses), ports: [])
    var seen: Set<UInt16> = []
    for (index, part) in message.ports.enumerated() {
      let port = try ServicePort(part, field["ports"][index])
      guard seen.insert(port.port).inserted else {
        throw field["ports"][index]["port"].error("\(port.port) occurs twice")
      }
      self.ports.append(port)
    }
  }
}

extension ServicePort {
  init(_ message: Martlet_Entries_V1_Port, _ field: FieldPath) throws(MeshError) {
    let appProtocol: AppProtocol
    switch message.appProtocol {
    case .tcp: appProtocol = .tcp
    case .tls: appProtocol = .tls
    case .http: appProtocol = .http
    case .http2: appProtocol = .http2
    case .grpc: appProtocol = .grpc
    case .unspecified: throw field["app_protocol"].error("missing")
    case .UNRECOGNIZED(let value): throw field["app_protocol"].error("\(value) is unknown to this version")
    }
    self.init(port: try field["port"].port(message.port), appProtocol: appProtocol, backends: [])
    if !message.name.isEmpty { self.name = try field["name"].text(message.name, limit: 253) }
    if !message.route.isEmpty { self.route = try field["route"].resourceName(message.route) }
    if message.hasRouting { self.routing = try HTTPRouting(message.routing, field["routing"]) }
    self.backends = try field["backends"].backends(message.backends)
    for (index, part) in message.tlsRules.enumerated() {
      self.tlsRules.append(try TLSRule(part, field["tls_rules"][index]))
    }
    self.traffic = try field["traffic"].atMostOne(message.traffic) { part, field throws(MeshError) in
      try TrafficSettings(part, field)
    }
  }
}

extension TLSRule {
  init(_ message: Martlet_Entries_V1_TLSRule, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    guard !message.hostnames.isEmpty else { throw field["hostnames"].error("missing") }
    self.init(
      route: try field["route"].resourceName(message.route),
      hostnames: try field["hostnames"].list(message.hostnames) { name, field throws(MeshError) in
        try field.hostname(name, allowsWildcard: true)
      }, backends: try field["backends"].backends(message.backends))
  }
}

extension Martlet_Entries_V1_Backend {
  init(_ backend: Backend) {
    self.init()
    self.service = backend.service.description
    self.port = UInt32(backend.port)
    self.weight = backend.weight
    self.valid = backend.isValid
  }
}

extension FieldPath {
  func backends(_ messages: [Martlet_Entries_V1_Backend]) throws(MeshError) -> [Backend] {
    guard !messages.isEmpty else { throw self.error("missing") }
    var total: UInt32 = 0
    var result: [Backend] = []
    for (index, part) in messages.enumerated() {
      let path = self[index]
      result.append(
        Backend(
          service: try path["service"].resourceName(part.service), port: try path["port"].port(part.port),
          weight: part.weight, isValid: part.valid))
      total = try path["weight"].sum(total, part.weight)
    }
    return result
  }

  /// Weights are added up by whoever picks: their sum has to be a number.
  func sum(_ total: UInt32, _ weight: UInt32) throws(MeshError) -> UInt32 {
    let (sum, overflow) = total.addingReportingOverflow(weight)
    if overflow { throw self.error("the weights add up to more than \(UInt32.max)") }
    return sum
  }
}
