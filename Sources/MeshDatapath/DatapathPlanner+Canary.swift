import CMeshABI
import MeshBase

/// The rows by which the agent proves that calls are steered. They are no service: no policy, no endpoint.
extension DatapathPlanner {
  private static let canaryRows: [ServiceKey: UInt8] = [
    ServiceKey(Canary.address, Canary.answerPort): UInt8(truncatingIfNeeded: MESH_MODE_CANARY.rawValue),
    ServiceKey(Canary.address, Canary.pulsePort): UInt8(truncatingIfNeeded: MESH_MODE_PULSE.rawValue),
  ]

  func isCanary(_ key: ServiceKey) -> Bool { self.configuration.hasCanary && Self.canaryRows[key] != nil }

  /// Once, and again when everything is written anew.
  func planCanary(_ puts: inout MapChanges) {
    guard self.configuration.hasCanary, self.access == nil else { return }
    for (key, mode) in Self.canaryRows {
      puts.services.put(
        key.abi, mesh_service(service: 0, table: 0, slots: 0, mode: mode, zero8: 0, zero16: 0))
    }
  }
}
