package import MeshBase

/// Which records are wanted. Every part that is set must hold.
package struct FlowFilter: Sendable, Hashable {
  /// Who: a workload `namespace/name`, all of a namespace `namespace/`, an identity `spiffe://…`, an address, a prefix
  /// `10.0.0.0/8`, `address:port`, or a bare name, which is a workload of that name in any namespace, or its app.
  package enum Peer: Sendable, Hashable {
    case workload(ResourceName)
    case namespace(String)
    case identity(SPIFFEID)
    case prefix(IPPrefix)
    case endpoint(SocketEndpoint)
    case name(String)
  }

  package var source: Peer?
  package var destination: Peer?
  package var kind: FlowKind?
  package var verdict: FlowVerdict?
  package var reason: RefusalReason?
  /// `namespace/name`, or a bare name in any namespace.
  package var service: String?

  package init() {}

  /// From the words of a command line or of a query. Throws `invalid`, naming the part and the words that it may be.
  package init(
    source: String? = nil, destination: String? = nil, kind: String? = nil, verdict: String? = nil,
    reason: String? = nil, service: String? = nil
  ) throws(MeshError) {
    if let source { self.source = try Peer(parsing: source, as: "source") }
    if let destination { self.destination = try Peer(parsing: destination, as: "destination") }
    if let kind { self.kind = try Self.word(kind, as: "kind") }
    if let verdict { self.verdict = try Self.word(verdict, as: "verdict") }
    if let reason { self.reason = try Self.word(reason, as: "reason") }
    if let service {
      guard ResourceName(service) != nil || ResourceName.isSubdomain(service) else {
        throw MeshError(.invalid, "service", "\"\(service)\" is neither NAMESPACE/NAME nor a name")
      }
      self.service = service
    }
  }

  private static func word<Word: LenientWord>(_ text: String, as part: String) throws(MeshError) -> Word {
    if let word = Word(rawValue: text), word != .unknown { return word }
    let words = Word.allCases.filter { $0 != .unknown }.map(\.rawValue).joined(separator: ", ")
    throw MeshError(.invalid, part, "\"\(text)\" is not one of \(words)")
  }

  package func matches(_ record: FlowRecord) -> Bool {
    if let kind = self.kind, kind != record.kind { return false }
    if let verdict = self.verdict, verdict != record.verdict { return false }
    if let reason = self.reason, reason != record.reason { return false }
    if let service = self.service {
      guard let name = record.service else { return false }
      guard name == service || (!service.contains("/") && name.hasSuffix("/" + service)) else { return false }
    }
    if let source = self.source, !source.matches(record.source) { return false }
    if let destination = self.destination, !destination.matches(record.destination) { return false }
    return true
  }
}

extension FlowFilter.Peer {
  package init(parsing text: String, as part: String) throws(MeshError) {
    if let identity = SPIFFEID(text) {
      self = .identity(identity)
    } else if let endpoint = SocketEndpoint(text) {
      self = .endpoint(endpoint)
    } else if let prefix = IPPrefix(text) {
      self = .prefix(prefix)
    } else if let name = ResourceName(text) {
      self = .workload(name)
    } else if text.hasSuffix("/"), ResourceName.isLabel(text.dropLast()) {
      self = .namespace(String(text.dropLast()))
    } else if ResourceName.isSubdomain(text) {
      self = .name(text)
    } else {
      throw MeshError(
        .invalid, part,
        "\"\(text)\" is none of NAMESPACE/NAME, NAMESPACE/, NAME, spiffe://ID, ADDRESS, ADDRESS:PORT, PREFIX")
    }
  }

  package func matches(_ peer: FlowPeer) -> Bool {
    switch self {
    case .workload(let name): peer.workload == name.description
    case .namespace(let namespace): peer.namespace == namespace
    case .identity(let identity): peer.identity == identity.description
    case .name(let name): peer.app == name || peer.workload?.hasSuffix("/" + name) == true
    case .endpoint(let endpoint): peer.address == endpoint.description
    case .prefix(let prefix):
      peer.address.flatMap { SocketEndpoint($0) }.map { prefix.contains($0.address) } ?? false
    }
  }
}
