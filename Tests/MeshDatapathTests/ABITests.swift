import CMeshABI
import MeshBase
import MeshDatapath
import MeshPolicy
import Testing

@Suite("Shared structs")
struct ABITests {
  @Test("Reasons have the numbers of mesh_abi.h, all of them")
  func reasons() {
    let pairs: [(Reason, mesh_reason)] = [
      (.none, MESH_REASON_NONE), (.policyDenied, MESH_REASON_POLICY_DENIED), (.notAllowed, MESH_REASON_NOT_ALLOWED),
      (.noEndpoint, MESH_REASON_NO_ENDPOINT), (.noServicePort, MESH_REASON_NO_SERVICE_PORT),
      (.unknownVIP, MESH_REASON_UNKNOWN_VIP), (.policyMissing, MESH_REASON_POLICY_MISSING),
      (.mapError, MESH_REASON_MAP_ERROR), (.untagged, MESH_REASON_UNTAGGED), (.meshPort, MESH_REASON_MESH_PORT),
      (.noTunnel, MESH_REASON_NO_TUNNEL), (.unknownAddress, MESH_REASON_UNKNOWN_ADDRESS),
      (.invalidBackend, MESH_REASON_INVALID_BACKEND), (.forgedSource, MESH_REASON_FORGED_SOURCE),
      (.notReady, MESH_REASON_NOT_READY), (.serviceLoop, MESH_REASON_SERVICE_LOOP),
      (.notEnrolled, MESH_REASON_NOT_ENROLLED), (.quarantined, MESH_REASON_QUARANTINED),
    ]
    for (reason, abi) in pairs { #expect(UInt32(reason.rawValue) == abi.rawValue) }
    #expect(pairs.count == Int(MESH_REASON_COUNT.rawValue))
    #expect(Set(pairs.map(\.0)) == Set(Reason.allCases))
    #expect(PolicyKey.anyClass == MESH_CLASS_ANY)
    #expect(Canary.pulseError == MESH_PULSE_ERRNO)
  }

  @Test("Addresses keep their bytes in network order, and come back")
  func addresses() {
    for text in ["10.1.2.3", "fd00::1:2", "::1", "255.255.255.255"] {
      #expect(IPAddress(mesh_addr(address(text))) == address(text))
    }
    let mapped = withUnsafeBytes(of: mesh_addr(address("10.1.2.3"))) { Array($0) }
    #expect(mapped == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3])
    #expect(IPAddress(known: .none) == nil)
  }

  @Test("Ports are in network order, prefixes count the generation")
  func keys() {
    let service = mesh_service_key(address("240.0.0.1"), port: 80)
    #expect(withUnsafeBytes(of: service.port_be) { Array($0) } == [0, 80])
    #expect(service.protocol == 6)
    #expect(ServiceKey(service) == ServiceKey(address("240.0.0.1"), 80))
    let v4 = IPPrefix(address("10.1.0.0"), length: 16).map { mesh_network_key(generation: 7, $0) }
    #expect(v4?.prefixlen == UInt32(144))
    #expect(v4?.generation == 7)
    let v6 = IPPrefix(address("fd00::"), length: 8).map { mesh_network_key(generation: 7, $0) }
    #expect(v6?.prefixlen == UInt32(40))
  }

  @Test("VIP ranges are written as address, mask and bits, and what the agent owns is left alone")
  func config() {
    var config = mesh_config()
    config.proxy_cgroup = 42
    PlannedConfig(
      generation: 3, vipRangeV4: IPPrefix(address("240.0.0.0"), length: 8),
      vipRangeV6: IPPrefix(address("fd77::"), length: 16)
    ).write(to: &config)
    #expect(config.generation == 3)
    #expect(withUnsafeBytes(of: config.vip4_be) { Array($0) } == [240, 0, 0, 0])
    #expect(withUnsafeBytes(of: config.vip4_mask_be) { Array($0) } == [255, 0, 0, 0])
    #expect(config.vip6_prefix == 16)
    #expect(IPAddress(config.vip6) == address("fd77::"))
    #expect(config.proxy_cgroup == 42)
    PlannedConfig(generation: 4).write(to: &config)
    #expect(config.vip4_mask_be == 0 && config.vip6_prefix == 0)
  }
}
