import MeshBase
import Yams

/// Reads one object. It goes on after a problem, so that all of them are found at once.
struct ResourceDecoder {
  let kind: ResourceKind
  let field: Field
  /// As far as it could be read.
  private(set) var namespace: String?
  private(set) var name: String?
  private(set) var labels: [String: String] = [:]
  private var created: String?
  /// Of what forbids something, for its stand-in.
  var selector: [String: String] = [:]

  /// Errors of the document before this object.
  private let errorsBefore: Int

  init(kind: ResourceKind, field: Field, errorsBefore: Int) {
    self.kind = kind
    self.field = field
    self.errorsBefore = errorsBefore
  }

  /// No error was found in this object so far.
  var isClean: Bool { self.sink.errors == self.errorsBefore }

  var sink: ProblemSink { self.field.sink }

  var key: ResourceKey? {
    guard let name, let namespace else { return nil }
    return ResourceKey(self.kind, namespace: namespace, name: name)
  }

  var standIn: PolicyStandIn? {
    guard self.kind.isProtective else { return nil }
    return PolicyStandIn(
      kind: self.kind, namespace: self.namespace ?? "default", name: self.name ?? PolicyStandIn.unreadableName,
      selector: self.selector)
  }

  mutating func decode(_ top: inout Fields) -> Resource? {
    self.decodeMetadata(&top)
    if let key = self.key { self.sink.object = key.description }
    top.accept("status")
    let spec = self.decodeSpec(&top)
    guard let key = self.key, let spec else { return nil }
    return Resource(key: key, labels: self.labels, created: self.created, spec: spec, position: self.field.position)
  }

  private mutating func decodeSpec(_ top: inout Fields) -> ResourceSpec? {
    switch self.kind {
    case .meshConfig: self.meshConfig(&top).map { .meshConfig($0) }
    case .namespace: self.namespaceSpec(&top)
    case .workload: self.workload(&top).map { .workload($0) }
    case .service: self.service(&top).map { .service($0) }
    case .endpointSlice: self.endpointSlice(&top).map { .endpointSlice($0) }
    case .httpRoute: self.httpRoute(&top).map { .requestRoute($0) }
    case .grpcRoute: self.grpcRoute(&top).map { .requestRoute($0) }
    case .tcpRoute: self.tcpRoute(&top).map { .tcpRoute($0) }
    case .tlsRoute: self.tlsRoute(&top).map { .tlsRoute($0) }
    case .referenceGrant: self.referenceGrant(&top).map { .referenceGrant($0) }
    case .authorizationPolicy: self.authorizationPolicy(&top).map { .authorizationPolicy($0) }
    case .peerAuthentication: self.peerAuthentication(&top).map { .peerAuthentication($0) }
    case .trafficPolicy: self.trafficPolicy(&top).map { .trafficPolicy($0) }
    }
  }

  private mutating func decodeMetadata(_ top: inout Fields) {
    guard var metadata = top.required("metadata")?.fields() else { return }
    if let field = metadata.required("name"), let text = field.text() {
      let isValid = self.kind == .namespace ? ResourceName.isLabel(text) : ResourceName.isSubdomain(text)
      if isValid {
        self.name = text
      } else {
        field.fail(
          "\(quotedForMessage(text)) is no name", next: "use lower case letters, digits and '-', at most 63 a part")
      }
    }
    if self.kind.isNamespaced {
      if let field = metadata.optional("namespace") {
        if let text = field.text() {
          if ResourceName.isLabel(text) {
            self.namespace = text
          } else {
            field.fail(
              "\(quotedForMessage(text)) is no namespace", next: "use lower case letters, digits and '-', at most 63")
          }
        }
      } else {
        self.namespace = "default"
      }
    } else {
      self.namespace = ""
      metadata.refuse(["namespace"], because: "\(self.kind.rawValue) has no namespace")
    }
    if let field = metadata.optional("labels"), let labels = field.textMap() { self.labels = labels }
    self.decodeAnnotations(&metadata)
    metadata.refuse(["generateName"], because: "objects in files have a fixed name", next: "set metadata.name")
    if self.kind.hasAge, let field = metadata.value("creationTimestamp"), !field.isNull {
      self.created = Self.timestamp(field)
    }
    metadata.accept(
      "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "ownerReferences", "finalizers",
      "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds")
    metadata.finish()
  }

  /// Annotations are other tools' notes, but for the one that would make a policy have no effect.
  private func decodeAnnotations(_ metadata: inout Fields) {
    guard self.kind == .authorizationPolicy else { return metadata.accept("annotations") }
    guard let field = metadata.optional("annotations"), let map = field.textMap() else { return }
    if map["istio.io/dry-run"] == "true" {
      field.fail(
        "istio.io/dry-run is not supported: the policy would be enforced",
        next: "remove the annotation; `martlet dryrun` shows what a policy would do")
    }
  }

  /// As Kubernetes writes it, so that the order of texts is the order of times.
  private static func timestamp(_ field: Field) -> String? {
    guard let text = field.text() else { return nil }
    let form = "0000-00-00T00:00:00Z"
    let isTime =
      text.utf8.count == form.utf8.count
      && zip(text.utf8, form.utf8).allSatisfy { $1 == 0x30 ? (0x30...0x39).contains($0) : $0 == $1 }
    guard isTime else {
      field.fail("\(quotedForMessage(text)) is no time", next: "write one like 2026-01-31T00:00:00Z, or remove it")
      return nil
    }
    return text
  }

  private func namespaceSpec(_ top: inout Fields) -> ResourceSpec? {
    if var spec = top.optional("spec")?.fields() {
      spec.accept("finalizers")
      spec.finish()
    }
    return .namespace
  }
}
