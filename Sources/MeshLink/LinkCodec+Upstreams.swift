import MeshBase
import MeshRouting
import NIOCore

/// How endpoints are, as they stand in a frame: a byte of flags tells what of it is told at all.
extension ByteBuffer {
  mutating func writeUpstreamState(_ state: UpstreamState) {
    self.writeText(state.service.description)
    self.writeInteger(state.port)
    for resource in UpstreamRecord.Resource.allCases {
      self.writeInteger(UInt32(clamping: state.open[resource] ?? 0))
      self.writeInteger(state.overflows[resource] ?? 0)
    }
    self.writeInteger(state.retriesOverBudget)
    self.writeEjections(state.ejections)
    self.writeInteger(UInt16(clamping: state.endpoints.count))
    for endpoint in state.endpoints.prefix(Int(UInt16.max)) { self.writeEndpointState(endpoint) }
  }

  private mutating func writeEndpointState(_ state: EndpointState) {
    self.writeInteger(state.endpoint.target.address.high)
    self.writeInteger(state.endpoint.target.address.low)
    self.writeInteger(state.endpoint.target.port)
    self.writeText(state.endpoint.workload?.description ?? "")
    switch state.health {
    case .healthy: self.writeInteger(UInt8(0))
    case .ejected(let reason, let until):
      self.writeInteger(UInt8(1))
      self.writeText(reason.rawValue)
      self.writeInteger(until)
    case .starting(let percent):
      self.writeInteger(UInt8(2))
      self.writeInteger(percent)
    }
    self.writeInteger(UInt32(clamping: state.openAttempts))
    self.writeInteger(UInt8(state.latencyMicroseconds == nil ? 0 : 1))
    self.writeInteger(state.latencyMicroseconds ?? 0)
    self.writeEjections(state.ejections)
  }

  private mutating func writeEjections(_ ejections: [EjectionReason: UInt64]) {
    for reason in EjectionReason.allCases { self.writeInteger(ejections[reason] ?? 0) }
  }
}

extension LinkReader {
  mutating func upstreamState() throws(MeshError) -> UpstreamState {
    guard let service = ResourceName(try self.text()) else { throw self.malformed("name of a service") }
    var state = UpstreamState(service: service, port: try self.integer())
    for resource in UpstreamRecord.Resource.allCases {
      let open: UInt32 = try self.integer()
      if open > 0 { state.open[resource] = Int(open) }
      let overflows: UInt64 = try self.integer()
      if overflows > 0 { state.overflows[resource] = overflows }
    }
    state.retriesOverBudget = try self.integer()
    state.ejections = try self.ejections()
    let count: UInt16 = try self.integer()
    for _ in 0..<count { state.endpoints.append(try self.endpointState()) }
    return state
  }

  private mutating func endpointState() throws(MeshError) -> EndpointState {
    let address = IPAddress(high: try self.integer(), low: try self.integer())
    let target = SocketEndpoint(address, try self.integer())
    let name = try self.text()
    let workload = ResourceName(name)
    guard workload != nil || name.isEmpty else { throw self.malformed("name of a workload") }
    var state = EndpointState(endpoint: EndpointIdentity(target: target, workload: workload))
    switch try self.integer() as UInt8 {
    case 0: break
    case 1:
      guard let reason = EjectionReason(rawValue: try self.text()) else { throw self.malformed("ejection reason") }
      state.health = .ejected(reason, until: try self.integer())
    case 2: state.health = .starting(try self.integer())
    default: throw self.malformed("health of an endpoint")
    }
    let open: UInt32 = try self.integer()
    state.openAttempts = Int(open)
    let isKnown = try self.flag()
    let latency: UInt64 = try self.integer()
    state.latencyMicroseconds = isKnown ? latency : nil
    state.ejections = try self.ejections()
    return state
  }

  private mutating func ejections() throws(MeshError) -> [EjectionReason: UInt64] {
    var ejections: [EjectionReason: UInt64] = [:]
    for reason in EjectionReason.allCases {
      let count: UInt64 = try self.integer()
      if count > 0 { ejections[reason] = count }
    }
    return ejections
  }
}
