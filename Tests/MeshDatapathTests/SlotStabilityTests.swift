import CMeshABI
import MeshBase
import MeshDatapath
import MeshSnapshot
import MeshTestSupport
import Testing

/// What a change of endpoints does to the slots that the kernel draws from.
@Suite("Slots stay")
struct SlotStabilityTests {
  /// A service of weighted workloads, its planner, and the maps that follow it.
  struct Fleet {
    var planner = DatapathPlanner(DatapathPlanner.Configuration(node: RandomMesh.node))
    var maps = SimulatedMaps()
    var snapshot = Snapshot()
    var version: UInt64 = 0
    var now = Duration.seconds(1)
    /// Weights; 0: not ready.
    var weights: [UInt32]

    static let target = SocketEndpoint(address("240.0.0.1"), 80)

    init(_ weights: [UInt32]) {
      self.weights = weights
      self.insert(.config(ConfigEntry(trustDomain: "mesh.local")))
      for index in weights.indices {
        self.insert(
          .workload(
            WorkloadEntry(
              name: name("w\(index)"), node: "far", identity: LargeMesh.identity, addresses: [Self.place(index)])))
      }
      self.insert(
        .service(
          ServiceEntry(
            name: name("s"), addresses: [Self.target.address],
            ports: [ServicePort(port: 80, backends: [Backend(service: name("s"), port: 80)])])))
    }

    static func place(_ index: Int) -> IPAddress { IPAddress(v4: 0x0a00_0001 + UInt32(index)) }

    private mutating func insert(_ entry: Entry) {
      self.version += 1
      self.snapshot.insert(VersionedEntry(entry, version: ContentVersion(value: self.version)))
    }

    /// Brings the maps up to date.
    mutating func apply() -> Plan {
      let endpoints = self.weights.enumerated().map { index, weight in
        Endpoint(
          workload: name("w\(index)"), isReady: weight > 0, weight: max(1, weight),
          ports: [PortMapping(servicePort: 80, targetPort: 8080)])
      }
      self.insert(.endpoints(EndpointsEntry(service: name("s"), endpoints: endpoints)))
      self.now += .seconds(2)
      let plan = self.planner.plan(for: self.snapshot, locals: [], now: self.now)
      for step in plan.steps { self.maps.apply(step) }
      self.maps.apply(plan.later)
      return plan
    }

    var slots: [IPAddress?] {
      guard let row = self.maps.services[ServiceKey(Self.target.address, 80)] else { return [] }
      return (0..<row.slots).map { self.maps.endpoints[EndpointKey(table: row.table, slot: $0)]?.address }
    }
  }

  @Test("One of a hundred leaves: at most 2 % of the others' slots change")
  func leaves() {
    for seed in 0..<120 as Range<UInt64> {
      var random = SplitMix64(seed: seed)
      let heaviest = random.pick([1, 1, 2, 10, 1000] as [UInt32])
      var fleet = Fleet((0..<100).map { _ in UInt32.random(in: 1...heaviest, using: &random) })
      _ = fleet.apply()
      let before = fleet.slots
      let leaver = Int.random(in: 0..<100, using: &random)
      fleet.weights[leaver] = 0
      _ = fleet.apply()
      let after = fleet.slots
      let gone = Fleet.place(leaver)
      let own = before.count { $0 == gone }
      let moved = zip(before, after).count { $0 != gone && $0 != $1 }
      #expect(!after.contains(gone) && !after.contains(nil), "seed \(seed)")
      #expect(moved * 50 <= before.count - own, "seed \(seed): \(moved) of \(before.count)")
    }
  }

  @Test("Through any changes every endpoint has its weight's slots, to one, and nothing is left of earlier tables")
  func weights() {
    for seed in 0..<60 as Range<UInt64> {
      var random = SplitMix64(seed: seed)
      var fleet = Fleet((0..<Int.random(in: 2...40, using: &random)).map { _ in 1 })
      for _ in 0..<20 {
        _ = fleet.apply()
        let total = fleet.weights.reduce(0) { $0 + Double($1) }
        let slots = fleet.slots
        for (index, weight) in fleet.weights.enumerated() where total > 0 {
          let ideal = Double(weight) / total * Double(slots.count)
          let count = slots.count { $0 == Fleet.place(index) }
          #expect(abs(Double(count) - ideal) < 1.000001, "seed \(seed)")
        }
        #expect(total > 0 || slots.isEmpty, "seed \(seed)")
        #expect(fleet.maps.endpoints.count == slots.count, "seed \(seed)")
        let one = fleet.weights.indices.randomElement(using: &random) ?? 0
        fleet.weights[one] = UInt32.random(in: 0...5, using: &random)
        if random.chance(10) { fleet.weights = fleet.weights.map { _ in random.chance(50) ? 1 : 0 } }
      }
    }
  }
}
