import MeshBase
import MeshSnapshot

extension ResourceDecoder {
  func workload(_ top: inout Fields) -> WorkloadSpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    var result = WorkloadSpec(node: "")
    if let field = spec.required("node"), let text = field.text() {
      if ResourceName.isSubdomain(text) {
        result.node = text
      } else {
        field.fail("\(quotedForMessage(text)) is no name of a node", next: "use what the node's agent is started with")
      }
    }
    if let field = spec.optional("serviceAccount"), let text = field.text() {
      if ResourceName.isSubdomain(text) {
        result.serviceAccount = text
      } else {
        field.fail("\(quotedForMessage(text)) is no name", next: "use lower case letters, digits and '-'")
      }
    }
    if let field = spec.optional("addresses") { result.addresses = Self.addresses(field) }
    if let field = spec.optional("network"), let text = field.text() {
      if ResourceName.isSubdomain(text) {
        result.network = text
      } else {
        field.fail(
          "\(quotedForMessage(text)) is no name of a network", next: "use lower case letters, digits, '-' and '.'")
      }
    }
    Self.location(&spec, &result)
    if let value = spec.optional("weight")?.number(0...65_535) { result.weight = UInt32(value) }
    if let field = spec.optional("failureMode"), let text = field.text() {
      switch text {
      case "Open": result.failureMode = .open
      case "Closed": result.failureMode = .closed
      default: field.fail("\(quotedForMessage(text)) is no failure mode", next: "use Open or Closed")
      }
    }
    var saysPorts = false
    if let field = spec.optional("ports") {
      saysPorts = true
      result.ports = Self.workloadPorts(field)
    }
    if let field = spec.optional("locality"), let text = field.text() {
      if let locality = Locality(text), !locality.region.isEmpty {
        result.locality = locality
      } else {
        field.fail(
          "\(quotedForMessage(text)) is no place", next: "write region, region/zone or region/zone/subzone")
      }
    }
    Self.names(&spec, &result)
    let readiness = spec.optional("readiness")
    if let readiness { result.readiness = Self.readiness(readiness) }
    spec.refuse(["exclude"], because: "this version takes all of a workload's traffic")
    spec.refuse(["labels"], because: "labels stand at metadata.labels", next: "move them there")
    spec.finish()
    if result.location == .none, result.addresses.isEmpty, self.isClean {
      spec.owner.fail(
        "nothing says how the node finds the workload",
        next: "set networkNamespace, systemdUnit, cgroup or container, or addresses for one by address")
    }
    if result.location.isInHost, !saysPorts, self.isClean {
      spec.owner.fail(
        "a workload in the host's namespace shares its addresses with others: it needs ports",
        next: "list what it serves under spec.ports, [] if nothing; only that is governed")
    }
    if let readiness, self.isClean { self.place(readiness, result) }
    return result
  }

  private static func location(_ spec: inout Fields, _ result: inout WorkloadSpec) {
    var found: [(field: Field, location: WorkloadLocation)] = []
    func path(_ name: String, like example: String, _ make: (String) -> WorkloadLocation) {
      guard let field = spec.optional(name), let text = field.text() else { return }
      if Self.isPath(text) {
        found.append((field, make(text)))
      } else {
        field.fail("\(quotedForMessage(text)) is no absolute path", next: "write one like \(example), without '..'")
      }
    }
    path("networkNamespace", like: "/run/netns/web") { .networkNamespace(path: $0) }
    path("cgroup", like: "/system.slice/web.service, below the cgroup2 root") { .cgroup(path: $0) }
    if let field = spec.optional("systemdUnit"), let text = field.text() {
      if SystemdUnit.isName(text) {
        found.append((field, .systemdUnit(name: text)))
      } else {
        field.fail(
          "\(quotedForMessage(text)) is no name of a unit with processes",
          next: "write one like web.service or app@blue.service")
      }
    }
    if let field = spec.optional("container"), let selector = Self.container(field) {
      found.append((field, .container(selector)))
    }
    if let first = found.first { result.location = first.location }
    for other in found.dropFirst() {
      other.field.fail(
        "the node finds a workload in one way", next: "keep one of networkNamespace, systemdUnit, cgroup, container")
    }
  }

  private static func container(_ field: Field) -> ContainerSelector? {
    guard var spec = field.fields() else { return nil }
    var found: [ContainerSelector] = []
    if let field = spec.optional("id"), let text = field.text() {
      if ContainerSelector.isID(text) {
        found.append(.id(text))
      } else {
        field.fail("\(quotedForMessage(text)) is no container's id", next: "write at least its first 12 digits")
      }
    }
    if let field = spec.optional("name"), let text = field.text() {
      if ContainerSelector.isName(text) {
        found.append(.name(text))
      } else {
        field.fail("\(quotedForMessage(text)) is no container's name", next: "use letters, digits, '_', '.' and '-'")
      }
    }
    if let field = spec.optional("labels"), let labels = field.textMap() {
      if labels.isEmpty || labels.count > ContainerSelector.maximumLabels
        || !labels.allSatisfy({ ContainerSelector.isLabel($0.key, $0.value) })
      {
        field.fail(
          "no labels of a container", next: "give 1 to \(ContainerSelector.maximumLabels) labels that it bears")
      } else {
        found.append(.labels(labels))
      }
    }
    let errors = field.sink.errors
    spec.finish()
    guard field.sink.errors == errors else { return nil }
    if found.count > 1 { field.fail("a container is found in one way", next: "keep one of id, name, labels") }
    if spec.isEmpty { field.fail("nothing says which container", next: "give its name, id or labels") }
    return found.count == 1 ? found[0] : nil
  }

  /// Absolute, no empty, `.` or `..` part, no control character, at most 4095 bytes.
  private static func isPath(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return text.utf8.count <= 4_095 && parts.count >= 2 && parts[0].isEmpty
      && parts.dropFirst().allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
      && text.utf8.allSatisfy { $0 >= 32 && $0 != 127 }
  }

  static func addresses(_ field: Field) -> [IPAddress] {
    var result: [IPAddress] = []
    for (field, text) in field.texts() ?? [] {
      guard let address = Self.address(field, text) else { continue }
      if result.contains(address) {
        field.fail("\(address) stands twice", next: "remove one of them")
      } else {
        result.append(address)
      }
    }
    return result
  }

  /// An address that another host or namespace can call.
  static func address(_ field: Field, _ text: String) -> IPAddress? {
    guard let address = IPAddress(text) else {
      field.fail("\(quotedForMessage(text)) is no IP address", next: "write one like 10.0.0.7 or fd00::7")
      return nil
    }
    guard !address.isUnspecified, !address.isLoopback, !address.isLinkLocal, !address.isMulticast else {
      field.fail("\(address) cannot be called from elsewhere", next: "use an address of the workload's own interface")
      return nil
    }
    return address
  }

  private static func workloadPorts(_ field: Field) -> [String: UInt16] {
    var result: [String: UInt16] = [:]
    for field in field.list(allowEmpty: true) ?? [] {
      guard var item = field.fields() else { continue }
      let name = item.required("name").flatMap { field in field.text().flatMap { Self.portName(field, $0) } }
      let portField = item.required("port")
      let port = portField?.port()
      if let port, MeshPort.all.contains(port) {
        portField?.fail("port \(port) belongs to the mesh itself", next: "let the workload listen on another port")
      }
      item.accept("protocol", only: ["TCP"], because: "the mesh carries TCP")
      item.finish()
      guard let name, let port else { continue }
      if result.updateValue(port, forKey: name) != nil {
        field.fail("port name \(name) stands twice", next: "give each port a name of its own")
      }
    }
    return result
  }

  /// RFC 6335 section 5.1: at most 15 of `a-z0-9-`, at least one letter, no `-` at an end.
  static func portName(_ field: Field, _ text: String) -> String? {
    guard text.utf8.count <= 15, ResourceName.isLabel(text),
      text.utf8.contains(where: { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) })
    else {
      field.fail(
        "\(quotedForMessage(text)) is no name of a port",
        next: "use at most 15 lower case letters, digits and '-', with a letter")
      return nil
    }
    return text
  }
}
