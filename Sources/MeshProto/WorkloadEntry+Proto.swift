import MeshBase
import MeshSnapshot

extension Martlet_Entries_V1_Workload {
  init(_ entry: WorkloadEntry) {
    self.init()
    self.name = entry.name.description
    self.node = entry.node
    self.identity = entry.identity.description
    self.addresses = entry.addresses.map { Martlet_Entries_V1_Address($0) }
    switch entry.location {
    case .networkNamespace(let path): self.networkNamespace = path
    case .cgroup(let path): self.cgroup = path
    case .systemdUnit(let name): self.systemdUnit = name
    case .container(let selector): self.container = Martlet_Entries_V1_Container(selector)
    case .none: break
    }
    self.ports = entry.ports.map { UInt32($0) }
    self.failureMode =
      switch entry.failureMode {
      case .closed: .closed
      case .open: .open
      }
    self.policies = entry.policies.map(\.description)
    if entry.resolvesNames {
      var names = Martlet_Entries_V1_NameResolution()
      names.servers = entry.nameServers.map { Martlet_Entries_V1_Address($0) }
      self.nameResolution = [names]
    }
    self.network = entry.network
    self.app = entry.app
    self.appVersion = entry.appVersion
    self.readiness = entry.readiness.map { [Martlet_Entries_V1_ReadinessCheck($0)] } ?? []
    self.unhealthy = !entry.isHealthy
    self.foundAddresses = entry.foundAddresses.map { Martlet_Entries_V1_Address($0) }
    self.gateways = entry.gateways.map { Martlet_Entries_V1_Address($0) }
    if entry.peerModes != .permissive { self.peerModes = Martlet_Entries_V1_PeerModes(entry.peerModes) }
  }
}

extension WorkloadEntry {
  init(_ message: Martlet_Entries_V1_Workload) throws(MeshError) {
    let field = FieldPath("workload", message.name)
    // A location of a kind that is unknown here arrives as an unknown field: without it the workload would not be
    // enrolled, and its traffic would pass unseen.
    try field.known(message)
    let name = try field["name"].resourceName(message.name)
    guard let identity = SPIFFEID(message.identity) else {
      throw field["identity"].error(message.identity.isEmpty ? "missing" : "not a SPIFFE id of the mesh")
    }
    let failureMode: FailureMode
    switch message.failureMode {
    case .closed: failureMode = .closed
    case .open: failureMode = .open
    case .unspecified: throw field["failure_mode"].error("missing")
    case .UNRECOGNIZED(let value): throw field["failure_mode"].error("\(value) is unknown to this version")
    }
    self.init(
      name: name, node: try field["node"].text(message.node, limit: 253), identity: identity,
      addresses: try field["addresses"].unicastAddresses(message.addresses), failureMode: failureMode,
      app: try field["app"].text(message.app, limit: 253),
      appVersion: try field["app_version"].text(message.appVersion, limit: 253),
      network: try field["network"].text(message.network, limit: 253))
    guard message.nameResolution.count <= 1 else { throw field["name_resolution"].error("more than one") }
    if let names = message.nameResolution.first {
      self.resolvesNames = true
      self.nameServers = try field["name_resolution"][0]["servers"].unicastAddresses(names.servers)
    }
    switch message.location {
    case .networkNamespace(let path):
      self.location = .networkNamespace(path: try field["network_namespace"].absolutePath(path))
    case .cgroup(let path): self.location = .cgroup(path: try field["cgroup"].absolutePath(path))
    case .systemdUnit(let name):
      // A unit's name becomes part of a path.
      let unit = try field["systemd_unit"].text(name, limit: 255)
      guard SystemdUnit.isName(unit) else { throw field["systemd_unit"].error("not the name of a unit") }
      self.location = .systemdUnit(name: unit)
    case .container(let container):
      self.location = .container(try ContainerSelector(container, field["container"]))
    case nil: self.location = .none
    }
    for (index, number) in message.ports.enumerated() {
      guard let port = UInt16(exactly: number), port != 0, port > self.ports.last ?? 0 else {
        throw field["ports"][index].error("\(number) is no port, or out of order")
      }
      self.ports.append(port)
    }
    guard self.location.isInHost || self.ports.isEmpty else {
      throw field["ports"].error("only a workload in the host's namespace has ports")
    }
    guard message.readiness.count <= 1 else { throw field["readiness"].error("more than one check") }
    if let check = message.readiness.first { self.readiness = try ReadinessCheck(check, field["readiness"][0]) }
    self.isHealthy = !message.unhealthy
    self.foundAddresses = try field["found_addresses"].unicastAddresses(message.foundAddresses)
    self.gateways = try field["gateways"].unicastAddresses(message.gateways)
    if message.hasPeerModes { self.peerModes = try PeerModes(message.peerModes, field["peer_modes"]) }
    var seen: Set<ResourceName> = []
    for (index, text) in message.policies.enumerated() {
      let policy = try field["policies"][index].resourceName(text)
      guard seen.insert(policy).inserted else { throw field["policies"][index].error("\(policy) occurs twice") }
      self.policies.append(policy)
    }
  }
}

extension Martlet_Entries_V1_Container {
  init(_ selector: ContainerSelector) {
    self.init()
    switch selector {
    case .id(let id): self.id = id
    case .name(let name): self.name = name
    case .labels(let labels):
      self.labels = labels.sorted { $0.key < $1.key }.map { label in
        var message = Martlet_Entries_V1_Container.Label()
        message.key = label.key
        message.value = label.value
        return message
      }
    }
  }
}

extension ContainerSelector {
  init(_ message: Martlet_Entries_V1_Container, _ field: FieldPath) throws(MeshError) {
    switch (message.id.isEmpty, message.name.isEmpty, message.labels.isEmpty) {
    case (false, true, true):
      guard Self.isID(message.id) else { throw field["id"].error("no container's id") }
      self = .id(message.id)
    case (true, false, true):
      guard Self.isName(message.name) else { throw field["name"].error("no container's name") }
      self = .name(message.name)
    case (true, true, false):
      var labels: [String: String] = [:]
      for (index, label) in message.labels.enumerated() {
        guard Self.isLabel(label.key, label.value), labels.updateValue(label.value, forKey: label.key) == nil,
          labels.count <= Self.maximumLabels
        else { throw field["labels"][index].error("no label, a second one, or too many") }
      }
      self = .labels(labels)
    default: throw field.error("needs one of id, name and labels")
    }
  }
}

extension FieldPath {
  fileprivate func absolutePath(_ text: String) throws(MeshError) -> String {
    // PATH_MAX counts the terminating zero.
    let checked = try self.text(text, limit: 4095)
    guard checked.utf8.first == UInt8(ascii: "/"), !checked.split(separator: "/").contains("..") else {
      throw self.error("not an absolute path")
    }
    return checked
  }
}
