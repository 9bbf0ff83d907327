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
    case .none: break
    }
    self.ports = entry.ports.map { UInt32($0) }
    self.failureMode =
      switch entry.failureMode {
      case .closed: .closed
      case .open: .open
      }
    self.policies = entry.policies.map(\.description)
    self.resolvesNames = entry.resolvesNames
    self.nameServers = entry.nameServers.map { Martlet_Entries_V1_Address($0) }
    self.app = entry.app
    self.appVersion = entry.appVersion
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
      appVersion: try field["app_version"].text(message.appVersion, limit: 253), resolvesNames: message.resolvesNames,
      nameServers: try field["name_servers"].unicastAddresses(message.nameServers))
    guard self.resolvesNames || self.nameServers.isEmpty else {
      throw field["name_servers"].error("only a workload that resolves names has them")
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
    var seen: Set<ResourceName> = []
    for (index, text) in message.policies.enumerated() {
      let policy = try field["policies"][index].resourceName(text)
      guard seen.insert(policy).inserted else { throw field["policies"][index].error("\(policy) occurs twice") }
      self.policies.append(policy)
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
