package import MeshBase

/// What a workload asks of those who connect to it, by PeerAuthentication: whether they have to be authenticated. A workload of the
/// same host is, by the kernel.
package struct PeerModes: Hashable, Sendable {
  package enum Mode: String, Hashable, Sendable, CaseIterable {
    /// Who is not authenticated is refused.
    case strict
    case permissive
    /// The same, and workloads of other hosts call in plaintext.
    case disable
  }

  package var mode: Mode
  /// Of ports that the workload listens on, where they differ.
  package private(set) var ports: [UInt16: Mode]

  package init(mode: Mode, ports: [UInt16: Mode] = [:]) {
    self.mode = mode
    self.ports = ports.filter { $0.value != mode }
  }

  /// Where nobody says anything.
  package static let permissive = PeerModes(mode: .permissive)

  package func mode(at port: UInt16) -> Mode { self.ports[port] ?? self.mode }

  /// Whether workloads of other hosts call some port in plaintext.
  package var takesPlaintext: Bool { self.mode == .disable || self.ports.values.contains(.disable) }

  /// At which ports plaintext is refused. Nil: at none.
  package var strictPorts: OperationMatch? {
    if self.mode == .strict { return OperationMatch(notPorts: self.ports.keys.sorted()) }
    let ports = self.ports.filter { $0.value == .strict }.keys.sorted()
    return ports.isEmpty ? nil : OperationMatch(ports: ports)
  }
}

extension PolicyEntry {
  /// Refuses whoever has no identity, where these modes do. Nil: nowhere.
  package init?(name: ResourceName, refusingPlaintextOf modes: PeerModes) {
    guard let ports = modes.strictPorts else { return nil }
    self.init(
      name: name, action: .deny,
      rules: [
        PolicyRule(
          from: [SourceMatch(notPrincipals: [.present])],
          to: ports == OperationMatch() ? [] : [ports])
      ])
  }
}
