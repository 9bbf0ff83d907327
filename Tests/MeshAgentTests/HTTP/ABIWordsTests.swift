import CMeshABI
import MeshTelemetry
import Testing

@Suite struct ABIWordsTests {
  @Test("the words of telemetry bear the numbers of mesh_abi.h")
  func numbers() {
    #expect(RefusalReason(number: UInt8(MESH_REASON_POLICY_DENIED.rawValue)) == .policyDenied)
    #expect(RefusalReason(number: UInt8(MESH_REASON_NO_ENDPOINT.rawValue)) == .noEndpoint)
    #expect(RefusalReason(number: UInt8(MESH_REASON_UNKNOWN_ADDRESS.rawValue)) == .unknownAddress)
    #expect(RefusalReason(number: UInt8(MESH_REASON_FORGED_SOURCE.rawValue)) == .forgedSource)
    #expect(RefusalReason(number: UInt8(MESH_REASON_NOT_READY.rawValue)) == .notReady)
    #expect(RefusalReason.allCases.count == Int(MESH_REASON_COUNT.rawValue) + 1)
    #expect(FlowTier(number: UInt8(MESH_TIER_RELAY.rawValue)) == .relay)
    #expect(FlowTier(number: UInt8(MESH_TIER_OUTSIDE.rawValue)) == .outside)
    #expect(FlowVerdict(number: UInt8(MESH_VERDICT_DENY.rawValue)) == .deny)
    #expect(FlowKind(number: MESH_EVENT_CLOSED.rawValue) == .closed)
    #expect(FlowHook(number: MESH_HOOK_EDGE.rawValue) == .edge)
  }
}
