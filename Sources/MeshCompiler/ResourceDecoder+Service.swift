import MeshBase
import MeshSnapshot

extension ResourceDecoder {
  func service(_ top: inout Fields) -> ServiceSpec? {
    guard var spec = top.required("spec")?.fields() else { return nil }
    var result = ServiceSpec()
    if let field = spec.optional("selector"), let selector = field.textMap() {
      if selector.isEmpty {
        field.fail("an empty selector", next: "name a label, or remove the field and write EndpointSlices")
      } else {
        result.selector = selector
      }
    }
    spec.accept("type", only: ["ClusterIP"], because: "the mesh publishes no service outside of itself")
    Self.clusterIPs(&spec, &result)
    Self.families(&spec, &result)
    if let field = spec.optional("ports") {
      result.ports = Self.servicePorts(field)
    } else if !result.isHeadless {
      spec.owner.fail("ports is missing", next: "add spec.ports with the port that clients call")
    }
    spec.accept("sessionAffinity", only: ["None"], because: "connections are spread by weight")
    spec.accept("internalTrafficPolicy", only: ["Cluster"], because: "endpoints of every node are used")
    spec.accept("externalTrafficPolicy", only: ["Cluster"], because: "nothing is published outside")
    spec.accept("ipFamilyPolicy", only: ["SingleStack", "PreferDualStack", "RequireDualStack"], because: "unknown")
    if let field = spec.optional("publishNotReadyAddresses"), field.flag() == true {
      field.fail("not supported: only ready endpoints are called", next: "remove the field")
    }
    spec.refuse(
      [
        "externalName", "externalIPs", "loadBalancerIP", "loadBalancerClass", "loadBalancerSourceRanges",
        "allocateLoadBalancerNodePorts", "healthCheckNodePort",
      ], because: "the mesh publishes no service outside of itself")
    spec.refuse(["sessionAffinityConfig"], because: "connections are spread by weight")
    spec.refuse(
      ["trafficDistribution"], because: "place counts where a TrafficPolicy says so",
      next: "write loadBalancing.locality there")
    spec.finish()
    return result
  }

  private static func clusterIPs(_ spec: inout Fields, _ result: inout ServiceSpec) {
    var fields: [(Field, String)] = []
    let single = spec.optional("clusterIP").flatMap { field in field.text().map { (field, $0) } }
    let several = spec.optional("clusterIPs")?.texts(allowEmpty: true) ?? []
    if let single, let first = several.first, single.1 != first.1 {
      single.0.fail("clusterIP differs from clusterIPs[0]", next: "write the same address, or only one of the fields")
    }
    if !several.isEmpty { fields = several } else if let single { fields = [single] }
    for (field, text) in fields {
      switch text {
      case "": continue
      case "None":
        result.isHeadless = true
        if fields.count > 1 { field.fail("None beside an address", next: "write None alone") }
      default:
        guard let address = Self.address(field, text) else { continue }
        if result.clusterIPs.contains(where: { $0.isV4 == address.isV4 }) {
          field.fail("a second address of one family", next: "give at most one IPv4 and one IPv6 address")
        } else {
          result.clusterIPs.append(address)
        }
      }
    }
  }

  private static func families(_ spec: inout Fields, _ result: inout ServiceSpec) {
    guard let field = spec.optional("ipFamilies"), let texts = field.texts(allowEmpty: true), !texts.isEmpty else {
      return
    }
    result.wantsV4 = false
    result.wantsV6 = false
    for (field, text) in texts {
      switch text {
      case "IPv4": result.wantsV4 = true
      case "IPv6": result.wantsV6 = true
      default: field.fail("\(quotedForMessage(text)) is no address family", next: "use IPv4 or IPv6")
      }
    }
  }

  private static func servicePorts(_ field: Field) -> [ServiceSpec.Port] {
    var result: [ServiceSpec.Port] = []
    guard let list = field.list() else { return [] }
    for field in list {
      guard var item = field.fields() else { continue }
      let nameField = item.optional("name")
      let name = nameField.flatMap { field in field.text().flatMap { Self.dnsPortName(field, $0) } }
      let port = item.required("port")?.port()
      let isCarried = Self.isCarried(item.optional("protocol"))
      let target = item.optional("targetPort").flatMap { Self.targetPort($0) }
      let appProtocol = item.optional("appProtocol").flatMap { Self.appProtocol($0) }
      item.refuse(["nodePort"], because: "the mesh publishes no service outside of itself")
      item.finish()
      if nameField == nil, list.count > 1 {
        field.fail("a port without a name beside others", next: "give each of several ports a name")
      }
      guard let port, isCarried else { continue }
      if target == nil, MeshPort.all.contains(port) {
        field.fail("port \(port) belongs to the mesh itself", next: "use another targetPort")
      }
      if result.contains(where: { $0.port == port }) {
        field.fail("port \(port) stands twice", next: "remove one of them")
        continue
      }
      if let name, result.contains(where: { $0.name == name }) {
        field.fail("port name \(name) stands twice", next: "give each port a name of its own")
      }
      result.append(
        .init(
          name: name ?? "", port: port, target: target ?? .number(port), appProtocol: appProtocol,
          position: field.position))
    }
    return result.sorted { $0.port < $1.port }
  }

  /// A Service may have ports of other protocols beside: they are left out, and its others serve.
  private static func isCarried(_ field: Field?) -> Bool {
    guard let field, !field.isNull, let text = field.text() else { return true }
    switch text {
    case "TCP": return true
    case "UDP", "SCTP":
      field.warn("the mesh carries TCP: the port is left out, and nothing of the mesh answers there")
      return false
    default:
      field.fail("\(quotedForMessage(text)) is no protocol", next: "use TCP")
      return true
    }
  }

  /// A DNS label.
  private static func dnsPortName(_ field: Field, _ text: String) -> String? {
    guard ResourceName.isLabel(text) else {
      field.fail(
        "\(quotedForMessage(text)) is no name of a port", next: "use at most 63 lower case letters, digits and '-'")
      return nil
    }
    return text
  }

  private static func targetPort(_ field: Field) -> ServiceSpec.TargetPort? {
    switch field.textOrNumber("a port number or the name of a workload's port") {
    case nil: return nil
    case .text(let text): return Self.portName(field, text).map { .name($0) }
    case .number(let number):
      guard let port = UInt16(exactly: number), port > 0 else {
        field.fail("\(number) is no port", next: "use a number from 1 to 65535")
        return nil
      }
      guard !MeshPort.all.contains(port) else {
        field.fail("port \(port) belongs to the mesh itself", next: "let the workload listen on another port")
        return nil
      }
      return .number(port)
    }
  }

  /// Kubernetes' names (`kubernetes.io/…`), Istio's, and protocols that only TCP's bytes are known of.
  static func appProtocol(_ field: Field) -> AppProtocol? {
    guard let text = field.text() else { return nil }
    switch text {
    case "http", "kubernetes.io/ws": return .http
    case "http2", "kubernetes.io/h2c": return .http2
    case "grpc": return .grpc
    case "tls", "https", "kubernetes.io/wss": return .tls
    case "tcp", "mysql", "postgres", "postgresql", "redis", "mongo", "mongodb", "amqp", "kafka", "mqtt", "ssh", "smtp",
      "ldap", "nats":
      return .tcp
    default:
      field.fail(
        "unknown protocol \(quotedForMessage(text))",
        next: "use tcp, tls, http, http2, grpc, or remove the field for tcp")
      return nil
    }
  }

  func endpointSlice(_ top: inout Fields) -> EndpointSliceSpec? {
    var service = ""
    if let text = self.labels["kubernetes.io/service-name"] {
      service = text
      if !ResourceName.isSubdomain(text) {
        self.field.fail(
          "label kubernetes.io/service-name is no name: \(quotedForMessage(text))", next: "write the Service's name")
      }
    } else {
      self.field.fail(
        "label kubernetes.io/service-name is missing", next: "add metadata.labels with the name of the Service")
    }
    var wantsV4: Bool?
    if let field = top.required("addressType"), let text = field.text() {
      switch text {
      case "IPv4": wantsV4 = true
      case "IPv6": wantsV4 = false
      default: field.fail("addressType \(quotedForMessage(text)) is not supported", next: "use IPv4 or IPv6")
      }
    }
    let ports = top.optional("ports").map { Self.slicePorts($0) } ?? []
    var endpoints: [EndpointSliceSpec.Endpoint] = []
    // Kubernetes takes a slice without them, whoever manages it adds them later.
    for field in top.optional("endpoints")?.list(allowEmpty: true) ?? [] {
      if let endpoint = self.sliceEndpoint(field, wantsV4: wantsV4) { endpoints.append(endpoint) }
    }
    return EndpointSliceSpec(service: service, ports: ports, endpoints: endpoints)
  }

  private static func slicePorts(_ field: Field) -> [EndpointSliceSpec.Port] {
    var result: [EndpointSliceSpec.Port] = []
    for field in field.list(allowEmpty: true) ?? [] {
      guard var item = field.fields() else { continue }
      let name = item.optional("name")?.text() ?? ""
      let portField = item.required("port")
      let port = portField?.port()
      let isCarried = Self.isCarried(item.optional("protocol"))
      if let field = item.optional("appProtocol") { _ = Self.appProtocol(field) }
      item.finish()
      guard let port, isCarried else { continue }
      if MeshPort.all.contains(port) {
        portField?.fail("port \(port) belongs to the mesh itself", next: "use another port")
      }
      if result.contains(where: { $0.name == name }) {
        field.fail("port name \(quotedForMessage(name)) stands twice", next: "give each port a name of its own")
      }
      result.append(.init(name: name, port: port))
    }
    return result
  }

  private func sliceEndpoint(_ field: Field, wantsV4: Bool?) -> EndpointSliceSpec.Endpoint? {
    guard var item = field.fields() else { return nil }
    var addresses: [IPAddress] = []
    if let field = item.required("addresses") {
      addresses = Self.addresses(field)
      if let wantsV4, addresses.contains(where: { $0.isV4 != wantsV4 }) {
        field.fail("an address of another family than addressType", next: "write a slice for each family")
      }
    }
    var isReady = true
    if var conditions = item.optional("conditions")?.fields() {
      if let flag = conditions.optional("ready")?.flag() { isReady = flag }
      if conditions.optional("terminating")?.flag() == true { isReady = false }
      _ = conditions.optional("serving")?.flag()
      conditions.finish()
    }
    var workload: ResourceName?
    if let field = item.optional("targetRef"), var target = field.fields() {
      if let kind = target.required("kind"), let text = kind.text(), text != "Workload" {
        kind.fail("\(quotedForMessage(text)) is nothing that the mesh knows", next: "use Workload, or remove targetRef")
      }
      target.accept("apiVersion", only: ResourceKind.workload.versions, because: "it names a Workload")
      let namespace = target.optional("namespace")?.text() ?? self.namespace ?? ""
      if let field = target.required("name"), let name = field.text() {
        workload = ResourceName(namespace: namespace, name: name)
        if workload == nil { field.fail("no name of a Workload", next: "write the Workload's metadata.name") }
      }
      target.accept("uid", "resourceVersion", "fieldPath")
      target.finish()
    }
    let zone = item.optional("zone").flatMap { field -> String? in
      guard let text = field.text() else { return nil }
      if Locality.isPart(text) { return text }
      field.fail("\(quotedForMessage(text)) is no zone", next: "use letters, digits, '-', '_' and '.'")
      return nil
    }
    item.accept("hostname", "nodeName", "hints", "deprecatedTopology")
    item.finish()
    return .init(addresses: addresses, isReady: isReady, workload: workload, zone: zone, position: field.position)
  }
}
