import CMeshABI
import MeshBase
import MeshDatapath
import MeshPolicy
import MeshSnapshot
import MeshTestSupport
import Testing

@Suite("Datapath planner")
struct DatapathPlannerTests {
  func configuration() -> DatapathPlanner.Configuration { DatapathPlanner.Configuration(node: RandomMesh.node) }

  /// What the kernel would do with each destination of interest, for every enrolled workload; ids as names.
  func expectDecisions(_ maps: SimulatedMaps, _ planner: DatapathPlanner, _ seed: UInt64) throws {
    let resolved = planner.resolved
    var targets: [SocketEndpoint] = []
    for service in resolved.snapshot.services.values {
      for address in service.value.addresses {
        for port in [80, 81, 82] as [UInt16] { targets.append(SocketEndpoint(address, port)) }
      }
    }
    for workload in resolved.snapshot.workloads.values {
      for address in workload.value.addresses {
        for port in RandomMesh.ports { targets.append(SocketEndpoint(address, port)) }
      }
    }
    targets.append(SocketEndpoint(address("240.9.9.9"), 80))
    targets.append(SocketEndpoint(address("fd77::99"), 80))
    targets.append(SocketEndpoint(address("8.8.8.8"), 80))
    for port in [UInt16(80), 8080, 8081] { targets.append(SocketEndpoint(address("192.168.0.1"), port)) }
    for (name, local) in resolved.locals {
      for target in targets {
        let says = Set(maps.connect(cookie: local.netnsCookie, to: target))
        let explanation = try resolved.explain(source: .workload(name), destination: .endpoint(target))
        #expect(says == self.decisions(explanation, planner), "seed \(seed) \(name) to \(target)")
      }
    }
    for (name, local) in resolved.locals {
      for place in resolved.snapshot.workloads[name]?.value.addresses ?? []
      where resolved.workload(at: place)?.name == name {
        for port in RandomMesh.ports {
          let target = SocketEndpoint(place, port)
          let outsider = address(place.isV4 ? "172.16.0.9" : "2001:db8::9")
          let explanation = try resolved.explain(source: .address(outsider), destination: .endpoint(target))
          #expect(
            [maps.arrive(from: outsider, at: target)] == self.decisions(explanation, planner),
            "seed \(seed) outside to \(local.name) \(target)")
        }
      }
    }
  }

  func decisions(_ explanation: Explanation, _ planner: DatapathPlanner) -> Set<SimulatedDecision> {
    if explanation.tier == .none { return [.pass] }
    // Nothing is ready, and the proxy answers.
    if explanation.outcomes.isEmpty { return [explanation.verdict == .allowed ? .relay : .refuse(explanation.reason)] }
    // By service; by the networks of both ends it is each outcome's own matter.
    if explanation.tier == .relay, !explanation.outcomes.contains(where: \.isRelayed) { return [.relay] }
    return Set(
      explanation.outcomes.map { outcome in
        let policy = outcome.verdict.policy.flatMap { planner.identifiers.number(.policy, $0.description) } ?? 0
        if outcome.isRelayed { return .relay }
        if outcome.isAllowed {
          return .admit(outcome.target ?? SocketEndpoint(.loopbackV4, 0), policy: policy)
        }
        switch outcome.reason {
        case .policyDenied, .notAllowed, .policyMissing: return .refusePolicy(outcome.reason, policy: policy)
        default: return .refuse(outcome.reason)
        }
      })
  }

  /// What holds between any two writes.
  func expectNothingDangles(_ maps: SimulatedMaps, _ seed: UInt64) {
    let generation = maps.config.generation
    #expect(maps.generations.count <= 2, "seed \(seed)")
    for service in maps.services.values where service.table != 0 {
      for slot in 0..<service.slots {
        #expect(maps.endpoints[EndpointKey(table: service.table, slot: slot)] != nil, "seed \(seed)")
      }
    }
    guard generation != 0 else {
      #expect(maps.pods.isEmpty && maps.services.isEmpty, "seed \(seed)")
      return
    }
    for pod in maps.pods.values {
      #expect(maps.guards[GuardKey(generation: generation, workload: pod.first)] != nil, "seed \(seed)")
      let families = [4, 6].filter {
        maps.classes[ClassKey(generation: generation, workload: pod.first, family: $0)] != nil
      }
      #expect(!families.isEmpty, "seed \(seed)")
    }
    for (key, row) in maps.guards where key.generation == generation && row.first != 0 {
      let last = PolicyKey(generation: generation, group: row.first, sourceClass: PolicyKey.anyClass, port: 0)
      #expect(maps.policy[last] != nil, "seed \(seed)")
    }
    #expect(maps.networks.keys.contains { $0.generation == generation && $0.prefixLength == 32 }, "seed \(seed)")
  }

  /// With three rows for a group, many groups have no room and refuse everything; the others are as ever.
  @Test(
    "Tables, explanation and evaluation decide alike, through any sequence of changes", arguments: 0..<12,
    [65_536, 3])
  func decides(part: UInt64, rows: Int) throws {
    for seed in part * 1000..<(part * 1000 + 12) {
      var mesh = RandomMesh(seed: seed)
      var configuration = self.configuration()
      configuration.maximumRowsPerGroup = rows
      configuration.parsesRequests = !seed.isMultiple(of: 3)
      configuration.opensTunnels = seed.isMultiple(of: 2)
      var planner = DatapathPlanner(configuration)
      var maps = SimulatedMaps()
      var now = Duration.seconds(1)
      for _ in 0..<8 {
        let plan = planner.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now)
        for step in plan.steps { maps.apply(step) }
        if mesh.random.chance(50) { maps.apply(plan.later) }
        #expect(plan.generation == maps.config.generation)
        #expect(plan.deferredUntil == nil)
        try self.expectDecisions(maps, planner, seed)
        for _ in 0..<Int.random(in: 1...3, using: &mesh.random) { mesh.change() }
        now += .seconds(2)
      }
    }
  }

  @Test("No step of a plan leaves a row that refers to nothing, and no more than two generations are alive")
  func makeBeforeBreak() {
    for seed in 0..<150 as Range<UInt64> {
      var mesh = RandomMesh(seed: seed)
      var planner = DatapathPlanner(self.configuration())
      var maps = SimulatedMaps()
      var now = Duration.seconds(1)
      var waiting: [MapChanges] = []
      for _ in 0..<10 {
        let plan = planner.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now)
        for step in plan.steps {
          guard case .changes(let changes) = step else {
            maps.apply(step)
            self.expectNothingDangles(maps, seed)
            continue
          }
          for part in changes.split {
            maps.apply(part)
            self.expectNothingDangles(maps, seed)
          }
        }
        waiting.append(plan.later)
        // Any plan's remains may come late, but never out of order.
        while !waiting.isEmpty, mesh.random.chance(40) {
          maps.apply(waiting.removeFirst())
          self.expectNothingDangles(maps, seed)
        }
        mesh.change()
        now += .milliseconds(Int.random(in: 20...3000, using: &mesh.random))
      }
    }
  }

  @Test("After any sequence of plans the maps are those of a fresh planner, and nothing leaks")
  func equalsFresh() {
    for seed in 0..<150 as Range<UInt64> {
      var mesh = RandomMesh(seed: seed)
      var planner = DatapathPlanner(self.configuration())
      var maps = SimulatedMaps()
      var now = Duration.seconds(1)
      for _ in 0..<8 {
        let plan = planner.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now)
        for step in plan.steps { maps.apply(step) }
        maps.apply(plan.later)
        mesh.change()
        now += .seconds(2)
      }
      let plan = planner.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now)
      for step in plan.steps { maps.apply(step) }
      maps.apply(plan.later)
      #expect(maps.generations == [maps.config.generation], "seed \(seed)")
      #expect(maps.unusedTables.isEmpty, "seed \(seed)")

      var fresh = DatapathPlanner(self.configuration())
      var other = SimulatedMaps()
      for step in fresh.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now).steps {
        other.apply(step)
      }
      #expect(maps.named(planner.identifiers) == other.named(fresh.identifiers), "seed \(seed)")
      // Nothing to do for what is done.
      let again = planner.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now + .seconds(1))
      #expect(again.isEmpty && again.delta.isEmpty, "seed \(seed)")
      // Identifiers rest, then are forgotten.
      _ = planner.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now + .seconds(120))
      for kind in [IdentifierKind.service, .group, .policy] {
        #expect(
          Set(planner.identifiers.names(kind)) == Set(fresh.identifiers.names(kind)), "seed \(seed) \(kind)")
      }
      // A workload keeps its number while it is known, rows or not.
      let named = Set(planner.identifiers.names(.workload))
      #expect(named.isSuperset(of: fresh.identifiers.names(.workload)), "seed \(seed)")
      #expect(named.isSubset(of: mesh.snapshot.workloads.keys.map(\.description)), "seed \(seed)")
      #expect(planner.identifiers.count(.table) == fresh.identifiers.count(.table), "seed \(seed)")
    }
  }

  @Test("A new agent adopts the maps: same numbers, a new generation, nothing dangling, nothing left over")
  func adoption() {
    for seed in 0..<150 as Range<UInt64> {
      var mesh = RandomMesh(seed: seed)
      var first = DatapathPlanner(self.configuration())
      var maps = SimulatedMaps()
      var now = Duration.seconds(1)
      for _ in 0..<3 {
        let plan = first.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now)
        for step in plan.steps { maps.apply(step) }
        if mesh.random.chance(50) { maps.apply(plan.later) }
        for _ in 0..<3 { mesh.change() }
        now += .seconds(2)
      }
      // With the identifiers of before, or without: the file was lost.
      let isLost = mesh.random.chance(30)
      var second = DatapathPlanner(
        self.configuration(), identifiers: isLost ? Identifiers() : Identifiers(first.identifiers.exported))
      second.adopt(maps.presentKeys, now: now)
      let plan = second.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now)
      #expect(plan.generation != maps.config.generation)
      for step in plan.steps { maps.apply(step) }
      maps.apply(plan.later)
      #expect(maps.generations == [maps.config.generation], "seed \(seed)")
      #expect(maps.unusedTables.isEmpty, "seed \(seed)")
      self.expectNothingDangles(maps, seed)
      var fresh = DatapathPlanner(self.configuration())
      var other = SimulatedMaps()
      for step in fresh.plan(for: mesh.snapshot, locals: Array(mesh.locals.values), now: now).steps {
        other.apply(step)
      }
      #expect(maps.named(second.identifiers) == other.named(fresh.identifiers), "seed \(seed)")
      if !isLost {
        for (workload, _) in mesh.snapshot.workloads {
          guard let number = first.identifiers.number(.workload, workload.description) else { continue }
          #expect(second.identifiers.number(.workload, workload.description) == number)
        }
      }
    }
  }

  @Test("One endpoint change writes one table and one row, and no generation")
  func endpointChangeIsSmall() {
    let count = 200
    var (snapshot, locals) = LargeMesh.make(services: count, workloadsPerService: 3)
    var planner = DatapathPlanner(self.configuration())
    let whole = planner.plan(for: snapshot, locals: locals, now: .seconds(1))
    #expect(whole.steps.count >= 3)
    guard var changed = snapshot.endpoints[name("s7")]?.value else {
      Issue.record("no endpoints")
      return
    }
    changed.endpoints[0].isReady = false
    let entry = VersionedEntry(Entry.endpoints(changed), version: ContentVersion(value: .max))
    snapshot.insert(entry)
    let plan = planner.plan(applying: Delta(upserts: [entry]), now: .seconds(2))
    #expect(plan.before.count == 2)
    #expect(plan.before.endpoints.keys.count == 2)
    #expect(plan.flip.count == 1)
    #expect(plan.later.endpoints.deletions.count == 3)
    #expect(plan.after.isEmpty && plan.retire.isEmpty)
    #expect(plan.generation == whole.generation)
    #expect(!plan.changesAccess)
    #expect(planner.plan(for: snapshot, locals: locals, now: .seconds(3)).isEmpty)
  }

  @Test("A workload's questions for names are led where its node says, and only if it says so")
  func names() throws {
    var planner = DatapathPlanner(self.configuration())
    var snapshot = Snapshot()
    let worker = WorkloadEntry(name: name("w0"), node: RandomMesh.node, identity: LargeMesh.identity)
    snapshot.insert(VersionedEntry(.workload(worker), version: ContentVersion(value: 1)))
    var local = LocalWorkload(name: name("w0"), netnsCookie: 7, addresses: [address("10.0.0.10")])
    func pods(_ plan: Plan) -> [mesh_pod] {
      var rows: [mesh_pod] = []
      for case .changes(let changes) in plan.flip { rows += changes.pods.values }
      return rows
    }
    func rows(_ names: NameSteering?, _ second: Int64) -> [mesh_pod] {
      local.names = names
      return pods(planner.plan(for: snapshot, locals: [local], now: .seconds(second)))
    }
    let left = rows(nil, 1)
    #expect(left.map(\.names_port_be) == [0] && left.map(\.flags) == [0])
    let taken = rows(NameSteering(takesLoopback: false), 2)
    #expect(taken.map { UInt16(bigEndian: $0.names_port_be) } == [15053] && taken.map(\.flags) == [0])
    let all = rows(NameSteering(takesLoopback: true), 3)
    #expect(all.map { UInt16(bigEndian: $0.names_port_be) } == [15053])
    #expect(all.map(\.flags) == [MESH_POD_NAMES_LOOPBACK])
    #expect(rows(NameSteering(takesLoopback: true), 4).isEmpty)
    #expect(rows(nil, 5).map(\.names_port_be) == [0])
  }

  @Test("A second policy change within the grace of a flip waits, an endpoint change does not")
  func deferral() {
    var mesh = RandomMesh(seed: 1)
    var planner = DatapathPlanner(self.configuration())
    func policy(_ version: UInt64) -> VersionedEntry {
      VersionedEntry(
        .policy(PolicyEntry(name: name("p0"), action: .deny, rules: [PolicyRule()])),
        version: ContentVersion(value: version))
    }
    let worker = WorkloadEntry(
      name: name("w0"), node: RandomMesh.node,
      identity: LargeMesh.identity, policies: [name("p0")])
    mesh.snapshot.insert(VersionedEntry(.workload(worker), version: ContentVersion(value: 9_000)))
    mesh.snapshot.insert(policy(9_001))
    let locals = [LocalWorkload(name: name("w0"), netnsCookie: 1, addresses: [address("10.0.0.10")])]
    _ = planner.plan(for: mesh.snapshot, locals: locals, now: .seconds(1))
    let second = planner.plan(applying: Delta(upserts: [policy(9_002)]), now: .seconds(2))
    #expect(second.generation == 2 && !second.flip.isEmpty)
    let third = planner.plan(applying: Delta(upserts: [policy(9_003)]), now: .seconds(2) + .milliseconds(5))
    #expect(third.deferredUntil == .seconds(2) + .milliseconds(20))
    #expect(third.isEmpty && third.generation == 2)
    let endpoints = EndpointsEntry(service: name("s1"), endpoints: [])
    let entry = VersionedEntry(Entry.endpoints(endpoints), version: ContentVersion(value: 9_004))
    #expect(
      planner.plan(applying: Delta(upserts: [entry]), now: .seconds(2) + .milliseconds(6)).deferredUntil == nil)
    let fourth = planner.plan(applying: Delta(upserts: [policy(9_003)]), now: .seconds(2) + .milliseconds(20))
    #expect(fourth.generation == 3)
    #expect(!fourth.retire.isEmpty)
  }
}

extension MapChanges {
  /// One map's puts or deletions at a time, in the documented order.
  var split: [MapChanges] {
    var parts: [MapChanges] = []
    func add(_ body: (inout MapChanges) -> Void) {
      var part = MapChanges()
      body(&part)
      if !part.isEmpty { parts.append(part) }
    }
    func puts<K, V>(_ path: WritableKeyPath<MapChanges, MapBatch<K, V>>) {
      add { part in
        part[keyPath: path] = self[keyPath: path]
        part[keyPath: path].deletions = []
      }
    }
    func deletions<K, V>(_ path: WritableKeyPath<MapChanges, MapBatch<K, V>>) {
      add { part in part[keyPath: path].deletions = self[keyPath: path].deletions }
    }
    puts(\.endpoints)
    puts(\.policy)
    puts(\.networks)
    puts(\.classes)
    puts(\.guards)
    puts(\.ports)
    puts(\.workloads)
    puts(\.services)
    puts(\.veths)
    puts(\.pods)
    deletions(\.pods)
    deletions(\.veths)
    deletions(\.services)
    deletions(\.workloads)
    deletions(\.ports)
    deletions(\.guards)
    deletions(\.classes)
    deletions(\.networks)
    deletions(\.policy)
    deletions(\.endpoints)
    return parts
  }
}

extension SimulatedMaps {
  /// Every row as text, with names for numbers and without the generation, so that maps with other numbers compare.
  func named(_ identifiers: Identifiers) -> Set<String> {
    func text(_ kind: IdentifierKind, _ number: UInt32) -> String {
      number == 0 ? "-" : identifiers.name(kind, number) ?? "?\(number)"
    }
    var rows: Set<String> = []
    for (key, row) in self.pods { rows.insert("pod \(key) \(text(.workload, row.first)) \(row.second)") }
    for (key, row) in self.workloads { rows.insert("workload \(key) \(text(.workload, row.first)) \(row.second)") }
    for (key, row) in self.veths { rows.insert("veth \(key) \(text(.workload, row.workload)) \(row.addresses)") }
    for (key, row) in self.services {
      // Which slot is whose follows from what was there before; how many they have does not.
      let slots = (0..<(row.table == 0 ? 0 : row.slots)).compactMap { slot in
        self.endpoints[EndpointKey(table: row.table, slot: slot)].map { endpoint in
          "\(endpoint.address):\(endpoint.port) \(text(.workload, endpoint.workload)) \(endpoint.isInvalid)"
        }
      }
      rows.insert("service \(key) \(text(.service, row.service)) \(row.mode) \(row.slots) \(slots.sorted())")
    }
    for (key, row) in self.guards {
      rows.insert("guard \(text(.workload, key.workload)) \(text(.group, row.first)) \(row.second)")
    }
    for (key, number) in self.classes { rows.insert("class \(text(.workload, key.workload)) \(key.family) \(number)") }
    for (key, number) in self.networks { rows.insert("network \(key.prefixLength) \(key.address) \(number)") }
    for (key, row) in self.policy {
      rows.insert(
        "policy \(text(.group, key.group)) \(key.sourceClass) \(key.port) \(text(.policy, row.policy)) \(row.verdict) \(row.reason)"
      )
    }
    return rows
  }
}
