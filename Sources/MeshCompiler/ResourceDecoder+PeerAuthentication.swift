import MeshBase
import MeshSnapshot

/// PeerAuthentication of security.istio.io: whether workloads take connections that are not authenticated.
extension ResourceDecoder {
  /// As many as one object may name, so that policy tables stay small.
  private static let mostPorts = 64

  mutating func peerAuthentication(_ top: inout Fields) -> PeerAuthenticationSpec? {
    var result = PeerAuthenticationSpec(selector: [:], mode: nil, ports: [:])
    guard let field = top.optional("spec") else { return result }
    guard var spec = field.fields() else { return nil }
    if let field = spec.optional("selector"), let selector = Self.selector(field) {
      self.selector = selector
      result.selector = selector
    }
    if let field = spec.optional("mtls") { result.mode = Self.mode(in: field) }
    if let field = spec.optional("portLevelMtls") {
      if result.selector.isEmpty {
        field.fail(
          "ports stand in an object without a selector, where Istio does not look at them",
          next: "add selector.matchLabels")
      }
      result.ports = Self.ports(field)
    }
    spec.finish()
    return result
  }

  private static func ports(_ field: Field) -> [UInt16: PeerModes.Mode] {
    guard let entries = field.entries() else { return [:] }
    var result: [UInt16: PeerModes.Mode] = [:]
    if entries.count > Self.mostPorts {
      field.fail("\(entries.count) ports", next: "at most \(Self.mostPorts): set the mode and name the exceptions")
    }
    for (key, field) in entries {
      guard let port = UInt16(key), port > 0 else {
        field.fail(
          "\(quotedForMessage(key)) is no port", next: "write the number that the workload listens on, 1 to 65535")
        continue
      }
      result[port] = Self.mode(in: field)
    }
    return result
  }

  /// Nil: UNSET.
  private static func mode(in field: Field) -> PeerModes.Mode? {
    guard var fields = field.fields() else { return nil }
    defer { fields.finish() }
    guard let field = fields.optional("mode"), let text = field.text(), text != "UNSET" else { return nil }
    guard let mode = PeerModes.Mode(rawValue: text.lowercased()), text == text.uppercased() else {
      field.fail(
        "\(quotedForMessage(text)) is no mode", next: "use STRICT, PERMISSIVE, DISABLE or UNSET")
      return nil
    }
    return mode
  }
}
