import CMeshABI
import MeshBase
import MeshDatapath
import MeshPolicy

/// The maps as dictionaries, and the kernel's decisions over them: the same steps as the connect hook and the arrival
/// look-up, written from the look-ups of `mesh_abi.h` and not from the planner.
struct SimulatedMaps {
  struct Service: Hashable {
    var service: UInt32
    var table: UInt32
    var slots: UInt32
    var mode: UInt8
  }

  struct Slot: Hashable {
    var address: IPAddress
    var port: UInt16
    var workload: UInt32
    var isInvalid: Bool
    var isRemote: Bool
  }

  struct Pair: Hashable {
    var first: UInt32
    var second: UInt32
    var network: UInt32 = 0
  }

  struct Verdict: Hashable {
    var policy: UInt32
    var verdict: UInt8
    var reason: UInt8
  }

  var pods: [UInt64: Pair] = [:]
  var units: [UInt64: Pair] = [:]
  var ports: [SocketEndpoint: Pair] = [:]
  var workloads: [IPAddress: Pair] = [:]
  var services: [ServiceKey: Service] = [:]
  var endpoints: [EndpointKey: Slot] = [:]
  var guards: [GuardKey: Pair] = [:]
  var classes: [ClassKey: UInt32] = [:]
  var networks: [NetworkKey: UInt32] = [:]
  var policy: [PolicyKey: Verdict] = [:]
  struct Veth: Hashable {
    var workload: UInt32
    /// The addresses that its row names.
    var addresses: [IPAddress]
  }

  var veths: [UInt32: Veth] = [:]
  var config = mesh_config()

  mutating func apply(_ step: PlanStep) {
    switch step {
    case .changes(let changes): self.apply(changes)
    case .config(let planned): planned.write(to: &self.config)
    }
  }

  mutating func apply(_ changes: MapChanges) {
    for (key, value) in zip(changes.endpoints.keys, changes.endpoints.values) {
      self.endpoints[EndpointKey(key)] = Slot(
        address: IPAddress(value.address), port: UInt16(bigEndian: value.port_be), workload: value.workload,
        isInvalid: UInt32(value.flags) & MESH_ENDPOINT_INVALID != 0,
        isRemote: UInt32(value.flags) & MESH_ENDPOINT_REMOTE != 0)
    }
    for (key, value) in zip(changes.policy.keys, changes.policy.values) {
      self.policy[PolicyKey(key)] = Verdict(policy: value.policy, verdict: value.verdict, reason: value.reason)
    }
    for (key, value) in zip(changes.networks.keys, changes.networks.values) { self.networks[NetworkKey(key)] = value }
    for (key, value) in zip(changes.classes.keys, changes.classes.values) { self.classes[ClassKey(key)] = value }
    for (key, value) in zip(changes.guards.keys, changes.guards.values) {
      self.guards[GuardKey(key)] = Pair(first: value.group, second: value.flags)
    }
    for (key, value) in zip(changes.workloads.keys, changes.workloads.values) {
      self.workloads[IPAddress(key)] = Pair(first: value.workload, second: value.flags, network: value.network)
    }
    for (key, value) in zip(changes.services.keys, changes.services.values) {
      self.services[ServiceKey(key)] = Service(
        service: value.service, table: value.table, slots: value.slots, mode: value.mode)
    }
    for (key, value) in zip(changes.veths.keys, changes.veths.values) {
      let v4 = value.v4_be == 0 ? nil : IPAddress(v4: UInt32(bigEndian: value.v4_be))
      self.veths[key] = Veth(workload: value.workload, addresses: [v4, IPAddress(known: value.v6)].compactMap { $0 })
    }
    for (key, value) in zip(changes.pods.keys, changes.pods.values) {
      self.pods[key] = Pair(first: value.workload, second: value.flags, network: value.network)
    }
    for (key, value) in zip(changes.units.keys, changes.units.values) {
      self.units[key] = Pair(first: value.workload, second: value.flags, network: value.network)
    }
    for (key, value) in zip(changes.ports.keys, changes.ports.values) {
      self.ports[SocketEndpoint(key)] = Pair(first: value.workload, second: value.flags, network: value.network)
    }
    for key in changes.units.deletions { self.units[key] = nil }
    for key in changes.ports.deletions { self.ports[SocketEndpoint(key)] = nil }
    for key in changes.pods.deletions { self.pods[key] = nil }
    for key in changes.veths.deletions { self.veths[key] = nil }
    for key in changes.services.deletions { self.services[ServiceKey(key)] = nil }
    for key in changes.workloads.deletions { self.workloads[IPAddress(key)] = nil }
    for key in changes.guards.deletions { self.guards[GuardKey(key)] = nil }
    for key in changes.classes.deletions { self.classes[ClassKey(key)] = nil }
    for key in changes.networks.deletions { self.networks[NetworkKey(key)] = nil }
    for key in changes.policy.deletions { self.policy[PolicyKey(key)] = nil }
    for key in changes.endpoints.deletions { self.endpoints[EndpointKey(key)] = nil }
  }

  var presentKeys: PresentKeys {
    var present = PresentKeys()
    present.endpoints = self.endpoints.keys.map(\.abi)
    present.policy = self.policy.keys.map(\.abi)
    present.networks = self.networks.keys.map(\.abi)
    present.classes = self.classes.keys.map(\.abi)
    present.guards = self.guards.keys.map(\.abi)
    present.workloads = self.workloads.keys.map { mesh_addr($0) }
    present.services = self.services.keys.map(\.abi)
    present.veths = Array(self.veths.keys)
    present.pods = Array(self.pods.keys)
    present.units = Array(self.units.keys)
    present.ports = self.ports.keys.map { mesh_port_key($0) }
    present.generation = self.config.generation
    return present
  }

  var generations: Set<UInt32> {
    Set(self.guards.keys.map(\.generation)).union(self.classes.keys.map(\.generation))
      .union(self.networks.keys.map(\.generation)).union(self.policy.keys.map(\.generation))
  }

  /// Endpoint tables that no service leads to.
  var unusedTables: Set<UInt32> {
    Set(self.endpoints.keys.map(\.table)).subtracting(self.services.values.map(\.table))
  }
}

/// What the kernel would do.
enum SimulatedDecision: Hashable {
  case pass
  case relay
  case refuse(Reason)
  /// Policy id, or 0.
  case admit(SocketEndpoint, policy: UInt32)
  case refusePolicy(Reason, policy: UInt32)

  var reason: Reason {
    switch self {
    case .pass, .relay, .admit: .none
    case .refuse(let reason), .refusePolicy(let reason, _): reason
    }
  }
}

extension SimulatedMaps {
  /// Longest prefix first.
  private func networkClass(_ address: IPAddress) -> UInt32 {
    let generation = self.config.generation
    for length in stride(from: 128, through: 0, by: -1) {
      let base =
        length >= 96 && address.isV4
        ? IPPrefix(address, length: length - 96)?.address
        : address.isV4 ? nil : IPPrefix(address, length: length)?.address
      guard let base else { continue }
      var key = NetworkKey(generation: generation, IPPrefix(host: base))
      key.prefixLength = 32 + UInt32(length)
      if let found = self.networks[key] { return found }
    }
    return 0
  }

  private func judge(_ destination: Pair, _ sourceClass: UInt32, _ port: UInt16) -> (Reason, UInt32) {
    let generation = self.config.generation
    let isOpen = destination.second & MESH_WORKLOAD_OPEN != 0
    guard let guardRow = self.guards[GuardKey(generation: generation, workload: destination.first)],
      guardRow.second & MESH_GUARD_MISSING == 0
    else { return isOpen ? (.none, 0) : (.policyMissing, 0) }
    guard guardRow.first != 0 else { return (.none, 0) }
    for (key, number) in [
      (sourceClass, port), (sourceClass, 0), (PolicyKey.anyClass, port), (PolicyKey.anyClass, 0),
    ] {
      let row = self.policy[
        PolicyKey(generation: generation, group: guardRow.first, sourceClass: key, port: number)]
      guard let row else { continue }
      if UInt32(row.verdict) == MESH_VERDICT_ALLOW.rawValue { return (.none, row.policy) }
      return (Reason(rawValue: row.reason) ?? .mapError, row.policy)
    }
    return (.mapError, 0)
  }

  private func call(_ pod: Pair, _ destination: Pair, _ target: SocketEndpoint) -> SimulatedDecision {
    let source = pod.first
    if MeshPort.all.contains(target.port) { return .refuse(.meshPort) }
    if destination.second & MESH_WORKLOAD_QUARANTINED != 0 { return .refuse(.quarantined) }
    guard destination.second & MESH_WORKLOAD_LOCAL != 0 else {
      if destination.second & MESH_WORKLOAD_PLACED != 0 { return .refuse(.notEnrolled) }
      return destination.second & (MESH_WORKLOAD_TUNNEL | MESH_WORKLOAD_PLAIN) != 0 ? .relay : .refuse(.noTunnel)
    }
    if destination.first == source { return .admit(target, policy: 0) }
    let key = ClassKey(
      generation: self.config.generation, workload: source, family: target.address.isV4 ? 4 : 6)
    let (reason, policy) = self.judge(destination, self.classes[key] ?? 0, target.port)
    if reason == .none, pod.network != 0, destination.network != 0, pod.network != destination.network { return .relay }
    return self.outcome(reason, policy, target)
  }

  private func outcome(_ reason: Reason, _ policy: UInt32, _ target: SocketEndpoint) -> SimulatedDecision {
    switch reason {
    case .none: .admit(target, policy: policy)
    case .mapError: .refuse(reason)
    default: .refusePolicy(reason, policy: policy)
    }
  }

  private func isVIP(_ address: IPAddress) -> Bool {
    if let v4 = address.v4 {
      let mask = UInt32(bigEndian: self.config.vip4_mask_be)
      return mask != 0 && v4 & mask == UInt32(bigEndian: self.config.vip4_be)
    }
    guard self.config.vip6_prefix > 0,
      let range = IPPrefix(IPAddress(self.config.vip6), length: Int(self.config.vip6_prefix))
    else { return false }
    return range.contains(address)
  }

  /// Whose port it is, if the address is the host's.
  private func behind(_ workload: Pair?, _ target: SocketEndpoint) -> Pair? {
    guard let workload, workload.second & MESH_WORKLOAD_HOST != 0 else { return workload }
    return self.ports[target]
  }

  /// Every decision that connect() may take, one for each slot. `cgroups`: of the task, its own first, then upward.
  func connect(cookie: UInt64, cgroups: [UInt64] = [], to target: SocketEndpoint) -> [SimulatedDecision] {
    let inHost = self.config.host_netns != 0 && self.config.host_netns == cookie
    let unit = inHost ? cgroups.lazy.compactMap { self.units[$0] }.first : nil
    guard let pod = self.pods[cookie] ?? unit else { return [.pass] }
    if target.address.isLoopback {
      let workload = inHost ? self.ports[target] : nil
      guard workload != nil || inHost && self.services[ServiceKey(target.address, target.port)] != nil else {
        return [.pass]
      }
      guard self.config.generation != 0 else { return [.refuse(.notReady)] }
      if pod.second & MESH_POD_QUARANTINED != 0 { return [.refuse(.quarantined)] }
      if let workload { return [self.call(pod, workload, target)] }
    }
    guard self.config.generation != 0 else { return [.refuse(.notReady)] }
    if pod.second & MESH_POD_QUARANTINED != 0 { return [.refuse(.quarantined)] }
    if let service = self.services[ServiceKey(target.address, target.port)] {
      guard UInt32(service.mode) != MESH_MODE_ADDRESS.rawValue else { return [.refuse(.noServicePort)] }
      guard service.slots > 0 else { return [.refuse(.noEndpoint)] }
      guard UInt32(service.mode) == MESH_MODE_KERNEL.rawValue else { return [.relay] }
      return (0..<service.slots).map { slot in
        guard let endpoint = self.endpoints[EndpointKey(table: service.table, slot: slot)] else {
          return .refuse(.mapError)
        }
        if endpoint.isInvalid { return .refuse(.invalidBackend) }
        if endpoint.isRemote { return .refuse(.noTunnel) }
        if endpoint.address.isV4 != target.address.isV4 { return .refuse(.noEndpoint) }
        let place = SocketEndpoint(endpoint.address, endpoint.port)
        if endpoint.workload == 0 {
          if MeshPort.all.contains(place.port) { return .refuse(.meshPort) }
          if self.services[ServiceKey(place.address, 0)] != nil { return .refuse(.serviceLoop) }
          return self.isVIP(place.address) ? .refuse(.unknownVIP) : .admit(place, policy: 0)
        }
        guard let workload = self.behind(self.workloads[endpoint.address], place), workload.first == endpoint.workload
        else {
          return .refuse(.mapError)
        }
        return self.call(pod, workload, place)
      }
    }
    if self.services[ServiceKey(target.address, 0)] != nil { return [.refuse(.noServicePort)] }
    guard let owner = self.workloads[target.address] else {
      return [self.isVIP(target.address) ? .refuse(.unknownVIP) : .pass]
    }
    guard let workload = self.behind(owner, target) else { return [.pass] }
    if !inHost, workload.first == pod.first, !MeshPort.all.contains(target.port) { return [.pass] }
    return [self.call(pod, workload, target)]
  }

  /// Plaintext that arrives at an enrolled workload from an address without a flow.
  func arrive(from source: IPAddress, at target: SocketEndpoint) -> SimulatedDecision {
    guard let owner = self.workloads[target.address] else { return .refuse(.unknownAddress) }
    guard let local = self.behind(owner, target) else { return .pass }
    if MeshPort.all.contains(target.port) { return .refuse(.meshPort) }
    let (reason, policy) = self.judge(local, self.networkClass(source), target.port)
    return self.outcome(reason, policy, target)
  }
}
