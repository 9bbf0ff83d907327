import MeshBase
import MeshSnapshot

/// How a workload takes connections, and the policy that enforces it.
struct EffectivePeerModes {
  var modes = PeerModes.permissive
  var policy: ResourceName?
}

/// PeerAuthentication becomes a DENY policy for whoever has no identity: kernel and proxy enforce it as any other, for the same
/// addresses and ports, and a verdict names it. As in Istio, the one that selects a workload goes before its namespace's, and that
/// before the mesh's (the root namespace's); what one leaves UNSET the next says; of several for the same, the oldest holds.
extension Compilation {
  /// No AuthorizationPolicy may have a name that begins so.
  static let peerAuthenticationPrefix = "peerauthentication."

  /// In the order of `workloads`. Inserts the policies.
  mutating func compilePeerAuthentications() -> [EffectivePeerModes] {
    var wide: [String: Placed<PeerAuthenticationSpec>] = [:]
    var narrow: [Placed<PeerAuthenticationSpec>] = []
    for object in self.peerAuthentications {
      guard object.spec.selector.isEmpty else {
        narrow.append(object)
        continue
      }
      if let older = wide[object.name.namespace] {
        self.report(
          object.claim, severity: .warning, "has no effect: \(older.claim.resource.key) holds for the namespace",
          next: "remove one of them, or give it a selector")
      } else {
        wide[object.name.namespace] = object
      }
    }
    let mesh = wide[self.config.rootNamespace]
    var result = self.workloads.map { workload in
      self.effective([wide[workload.name.namespace], mesh].compactMap(\.self), ports: [:])
    }
    var chosen: [Int: Placed<PeerAuthenticationSpec>] = [:]
    for object in narrow {
      let indices = self.select(object.spec.selector, namespace: object.name.namespace)
      for index in indices {
        if let older = chosen[index] {
          self.report(
            object.claim, severity: .warning,
            "has no effect on \(self.workloads[index].claim.resource.key): \(older.claim.resource.key) holds for it",
            next: "remove one of them, or let them select different workloads")
          continue
        }
        chosen[index] = object
        result[index] = self.effective(
          [object, wide[object.name.namespace], mesh].compactMap(\.self), ports: object.spec.ports)
      }
    }
    for (key, standIn) in self.standIns where key.kind == .peerAuthentication {
      let name = Self.policyName(key.namespace, key.name)
      let scope = key.namespace == self.config.rootNamespace ? nil : key.namespace
      for index in self.select(standIn.selector, namespace: scope) {
        result[index] = EffectivePeerModes(modes: PeerModes(mode: .strict), policy: name)
      }
    }
    for effective in result {
      guard let name = effective.policy, self.snapshot.policies[name] == nil,
        let policy = PolicyEntry(name: name, refusingPlaintextOf: effective.modes)
      else { continue }
      self.insert(.policy(policy))
    }
    return result
  }

  private static func policyName(_ namespace: String, _ name: String) -> ResourceName? {
    ResourceName(namespace: namespace, name: Self.peerAuthenticationPrefix + name)
  }

  /// - objects: the narrowest first.
  private func effective(
    _ objects: [Placed<PeerAuthenticationSpec>], ports: [UInt16: PeerModes.Mode]
  ) -> EffectivePeerModes {
    let saying = objects.first { $0.spec.mode != nil }
    let modes = PeerModes(mode: saying?.spec.mode ?? .permissive, ports: ports)
    guard modes.strictPorts != nil, let owner = ports.isEmpty ? saying : objects.first else {
      return EffectivePeerModes(modes: modes, policy: nil)
    }
    return EffectivePeerModes(modes: modes, policy: Self.policyName(owner.name.namespace, owner.name.name))
  }
}
