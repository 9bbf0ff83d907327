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
    case .none: break
    }
    self.failureMode =
      switch entry.failureMode {
      case .closed: .closed
      case .open: .open
      }
    self.policies = entry.policies.map(\.description)
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
      appVersion: try field["app_version"].text(message.appVersion, limit: 253))
    switch message.location {
    case .networkNamespace(let path):
      let location = field["network_namespace"]
      // PATH_MAX counts the terminating zero.
      let checked = try location.text(path, limit: 4095)
      guard checked.utf8.first == UInt8(ascii: "/") else { throw location.error("not an absolute path") }
      self.location = .networkNamespace(path: checked)
    case nil: self.location = .none
    }
    var seen: Set<ResourceName> = []
    for (index, text) in message.policies.enumerated() {
      let policy = try field["policies"][index].resourceName(text)
      guard seen.insert(policy).inserted else { throw field["policies"][index].error("\(policy) occurs twice") }
      self.policies.append(policy)
    }
  }
}
