import MeshBase
import MeshSnapshot
import MeshSync
import MeshTestSupport
import Testing

/// Two machines and the wires between them. Messages are delivered in order in each direction, in any order between the
/// directions; a disconnect loses all that is under way.
private struct Conversation: ~Copyable {
  var random: SplitMix64
  var server = ServerSession()
  var client: ClientSession
  var toServer: [SessionRequest] = []
  var toClient: [SessionResponse] = []
  var isConnected = false
  var epoch: UInt64 = 1
  var revision: UInt64 = 0
  /// What the control plane has to say, and what the agent holds.
  var world = Snapshot()
  var node = Snapshot()
  /// Names that the node refuses, with the content that it refuses.
  var refuses: Set<ContentVersion> = []
  var published = false
  var problems: [String] = []

  init(seed: UInt64) {
    self.random = SplitMix64(seed: seed)
    self.client = ClientSession(node: "host-a")
  }

  var catalogue: Catalogue {
    var items: [EntryKind: [String: Catalogue.Item]] = [:]
    for (key, version) in self.world.versions {
      items[key.kind, default: [:]][key.name] = Catalogue.Item(version: version, size: 300)
    }
    return Catalogue(version: SystemVersion(epoch: self.epoch, revision: self.revision), items: items)
  }

  mutating func perform(_ action: ServerAction) {
    switch action {
    case .none: break
    case .close(let reason): self.problems.append("server closed: \(reason)")
    case .send(let plans):
      for plan in plans {
        self.toClient.append(
          SessionResponse(
            kind: plan.kind, nonce: plan.nonce, version: plan.version, isPartial: plan.isPartial,
            upserts: plan.upserts.compactMap { self.world[EntryKey(plan.kind, $0)] }, removals: plan.removals))
      }
    }
  }

  mutating func connect() {
    var configuration = ServerSession.Configuration()
    configuration.responseSize = 1000
    self.server = ServerSession(configuration: configuration)
    self.isConnected = true
    if case .send(let requests) = self.client.connected() { self.toServer = requests }
    if self.published { self.perform(self.server.catalogueChanged(self.catalogue)) }
  }

  mutating func disconnect() {
    guard self.isConnected else { return }
    self.isConnected = false
    self.toServer = []
    self.toClient = []
    _ = self.client.disconnected(using: &self.random)
  }

  /// The control plane restarts: a new epoch, and revisions from the beginning.
  mutating func restart() {
    self.disconnect()
    self.epoch += 1
    self.revision = 1
  }

  mutating func change() {
    self.revision += 1
    self.published = true
    for _ in 0..<Int.random(in: 0...6, using: &self.random) {
      let number = Int.random(in: 0..<8, using: &self.random)
      let version = ContentVersion(value: UInt64.random(in: 0..<50, using: &self.random))
      guard let name = ResourceName("a/n\(number)"), let entry = self.entry(name, version) else { return }
      if Bool.random(using: &self.random) {
        self.world.insert(entry)
      } else {
        self.world.remove(entry.value.key)
      }
    }
    if self.isConnected { self.perform(self.server.catalogueChanged(self.catalogue)) }
  }

  private mutating func entry(_ name: ResourceName, _ version: ContentVersion) -> VersionedEntry? {
    switch EntryKind.allCases.randomElement(using: &self.random) ?? .config {
    case .config: return VersionedEntry(.config(ConfigEntry(trustDomain: "t")), version: version)
    case .policy: return VersionedEntry(.policy(PolicyEntry(name: name, action: .deny, rules: [])), version: version)
    case .workload:
      guard let identity = SPIFFEID(trustDomain: "t", namespace: "a", serviceAccount: "b") else { return nil }
      return VersionedEntry(.workload(WorkloadEntry(name: name, node: "n", identity: identity)), version: version)
    case .endpoints: return VersionedEntry(.endpoints(EndpointsEntry(service: name, endpoints: [])), version: version)
    case .service: return VersionedEntry(.service(ServiceEntry(name: name, addresses: [], ports: [])), version: version)
    }
  }

  mutating func deliverToServer() {
    guard self.isConnected, !self.toServer.isEmpty else { return }
    self.perform(self.server.received(self.toServer.removeFirst()))
  }

  mutating func deliverToClient() {
    guard self.isConnected, !self.toClient.isEmpty else { return }
    switch self.client.received(self.toClient.removeFirst()) {
    case .apply(let batch):
      var delta = batch.delta
      let refused = delta.upserts.filter { self.refuses.contains($0.version) }
      delta.upserts.removeAll { self.refuses.contains($0.version) }
      self.node.apply(delta)
      let rejections = refused.map { Rejection(name: $0.value.key.name, reason: "refused") }
      switch self.client.applied(rejections: rejections, using: &self.random) {
      case .send(let requests): self.toServer += requests
      case .sendLater(let request, _): self.toServer.append(request)
      case let other: self.problems.append("\(other)")
      }
      if self.client.held.values.reduce(0, { $0 + $1.count }) != self.node.count {
        self.problems.append("the session does not hold what the node holds")
      }
    case let other:
      self.problems.append("\(other)")
      self.disconnect()
    }
  }

  mutating func settle() {
    if !self.isConnected { self.connect() }
    var steps = 0
    while !self.toServer.isEmpty || !self.toClient.isEmpty, steps < 10_000 {
      self.deliverToServer()
      self.deliverToClient()
      steps += 1
    }
    if steps == 10_000 { self.problems.append("does not come to rest") }
  }
}

@Suite("Both ends of a session together")
struct ConversationTests {
  @Test(
    "whatever changes, is lost and is restarted, in the end the agent holds what the control plane has",
    arguments: 0..<200 as Range<UInt64>)
  func convergence(seed: UInt64) {
    var talk = Conversation(seed: seed)
    for _ in 0..<300 {
      switch Int.random(in: 0..<20, using: &talk.random) {
      case 0..<4: talk.change()
      case 4: talk.disconnect()
      case 5 where Int.random(in: 0..<4, using: &talk.random) == 0: talk.restart()
      case 5..<8: if !talk.isConnected { talk.connect() }
      case 8..<14: talk.deliverToServer()
      default: talk.deliverToClient()
      }
    }
    talk.change()
    talk.settle()
    let (problems, node, world) = (talk.problems, talk.node.versions, talk.world.versions)
    #expect(problems.isEmpty)
    #expect(node == world)
    let settled = talk.server.isSettled
    #expect(settled)
    #expect(talk.client.phase == .complete)
  }

  @Test("with an agent that refuses some content, all else arrives, and the refused names keep their last good")
  func refusals() {
    for seed in 1000..<1100 as Range<UInt64> {
      var talk = Conversation(seed: seed)
      talk.refuses = Set((0..<10).map { ContentVersion(value: $0) })
      talk.connect()
      for _ in 0..<200 {
        switch Int.random(in: 0..<10, using: &talk.random) {
        case 0: talk.change()
        case 1..<5: talk.deliverToServer()
        default: talk.deliverToClient()
        }
      }
      talk.change()
      talk.settle()
      let (node, world, refuses) = (talk.node.versions, talk.world.versions, talk.refuses)
      for (key, version) in world where !refuses.contains(version) { #expect(node[key] == version) }
      for (key, version) in node {
        #expect(!refuses.contains(version))
        #expect(world[key] != nil)
      }
      let problems = talk.problems
      #expect(problems.isEmpty)
    }
  }

  @Test("XD-09: a reconnect to an unchanged control plane sends no entry, for any snapshot")
  func quietReconnect() {
    for seed in 2000..<2050 as Range<UInt64> {
      var talk = Conversation(seed: seed)
      for _ in 0..<20 { talk.change() }
      talk.settle()
      talk.disconnect()
      talk.connect()
      var entries = 0
      var steps = 0
      while !talk.toServer.isEmpty || !talk.toClient.isEmpty, steps < 1000 {
        talk.deliverToServer()
        entries += talk.toClient.reduce(0) { $0 + $1.upserts.count + $1.removals.count }
        talk.deliverToClient()
        steps += 1
      }
      #expect(entries == 0)
      #expect(talk.client.phase == .complete)
    }
  }
}
