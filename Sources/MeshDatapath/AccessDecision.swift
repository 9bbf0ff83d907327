package import MeshBase
package import MeshPolicy
import MeshSnapshot

/// Who calls a workload of this node, as the kernel can know it.
package enum AccessSource: Hashable, Sendable {
  /// An enrolled workload of this node that uses an address of this family.
  case workload(ResourceName, isV4: Bool)
  /// Plaintext from anywhere else: an address without identity.
  case outside(IPAddress)
}

extension ResolvedSnapshot {
  /// What policy says about a connection to a port of an enrolled workload: what the tables give, without tables.
  package func access(from source: AccessSource, to destination: ResourceName, port: UInt16) -> PolicyVerdict {
    guard self.isEnrolled(destination), let workload = self.snapshot.workloads[destination]?.value else {
      return PolicyVerdict(isAllowed: false, reason: .policyMissing)
    }
    if self.isQuarantined(destination) || self.isDisowned(port, of: destination) || self.isQuarantined(source) {
      return PolicyVerdict(isAllowed: false, reason: .quarantined)
    }
    let policies = workload.policies.compactMap { self.snapshot.policies[$0] }
    guard policies.count == workload.policies.count else {
      switch workload.failureMode {
      case .closed: return PolicyVerdict(isAllowed: false, reason: .policyMissing)
      case .open: return .allowed
      }
    }
    guard !policies.isEmpty else { return .allowed }
    if !self.oversizedGroups.isEmpty, self.oversizedGroups.contains(workload.policyGroup) {
      return PolicyVerdict(isAllowed: false, reason: .mapError)
    }
    switch source {
    case .outside(let address):
      return evaluate(policies: policies, source: PolicySource(identity: nil, address: address), port: port)
    case .workload(let name, let isV4):
      guard let caller = self.snapshot.workloads[name]?.value else {
        return PolicyVerdict(isAllowed: false, reason: .policyMissing)
      }
      let addresses = caller.addresses.filter { $0.isV4 == isV4 }
      guard !addresses.isEmpty else { return PolicyVerdict(isAllowed: false, reason: .policyMissing) }
      return PolicyVerdict.combined(
        addresses.map {
          evaluate(policies: policies, source: PolicySource(identity: caller.identity, address: $0), port: port)
        })
    }
  }

  private func isQuarantined(_ source: AccessSource) -> Bool {
    switch source {
    case .workload(let name, _): self.isQuarantined(name)
    case .outside(let address): self.workload(at: address).map { self.isQuarantined($0.name) } ?? false
    }
  }
}
