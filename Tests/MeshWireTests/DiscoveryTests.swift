import Glibc
import MeshBase
import MeshProto
import MeshSnapshot
import MeshSync
import MeshWire
import Testing

@Suite("A delta session over a Unix socket")
struct DiscoveryTests {
  @Test("brings everything, then changes and removals; a reconnect brings nothing")
  func updates() async throws {
    let directory = try TemporaryDirectory()
    let node = Node()
    try await withServer(directory) { server in
      let first = try snapshot(["a/w1", "a/w2"])
      server.publish(first)
      try await withClient(directory, node) { client in
        #expect(await eventually { client.status.phase == .complete && node.snapshot == first })
        #expect(client.status.connections == 1)
        #expect(node.batches.last?.isComplete == true)
        let second = try snapshot(["a/w2", "a/w3"], app: "b")
        server.publish(second)
        #expect(await eventually { node.snapshot == second })
        #expect(server.version == SystemVersion(epoch: 1, revision: 2))
        // The same again is no revision.
        server.publish(second)
        #expect(server.version == SystemVersion(epoch: 1, revision: 2))
      }
      let count = node.batches.count
      let held = node.snapshot.versions
      try await withClient(directory, node, held: held, version: server.version) { client in
        #expect(await eventually { client.status.phase == .complete })
        // XD-09: five empty rounds.
        #expect(await eventually { node.batches.count >= count + 5 })
        #expect(node.batches.dropFirst(count).allSatisfy { $0.delta.isEmpty })
        #expect(node.batches.count == count + 5)
      }
    }
  }

  @Test("F-07: a control plane without a complete catalogue says nothing, and nothing is removed")
  func silent() async throws {
    let directory = try TemporaryDirectory()
    let node = Node()
    let before = try snapshot(["a/w1"])
    _ = node.apply(
      SessionBatch(
        kind: .workload, delta: before.diff(from: Snapshot()), version: SystemVersion(epoch: 1, revision: 1),
        isComplete: true))
    try await withServer(directory, epoch: 2) { server in
      try await withClient(directory, node, held: before.versions) { client in
        try await Task.sleep(for: .milliseconds(300))
        #expect(client.status.phase != .complete)
        #expect(node.snapshot == before)
        #expect(node.batches.count == 1)
        let after = try snapshot(["a/w2"])
        server.publish(after)
        #expect(await eventually { node.snapshot == after })
      }
    }
  }

  @Test("XD-02: one bad entry among a thousand: the others are applied, and the bad one comes again when it changes")
  func partialNack() async throws {
    let directory = try TemporaryDirectory()
    let node = Node()
    node.refuse(["a/w500"])
    let names = (0..<1000).map { "a/w\($0)" }
    try await withServer(directory) { server in
      server.publish(try snapshot(names))
      try await withClient(directory, node) { client in
        #expect(await eventually { client.status.phase == .complete })
        #expect(node.snapshot.workloads.count == 999)
        node.refuse([])
        let fixed = try snapshot(names, app: "fixed")
        server.publish(fixed)
        #expect(await eventually { node.snapshot == fixed })
      }
    }
  }

  @Test(
    "the client keeps its last good while the control plane is away, and follows the next one without a full resend")
  func restart() async throws {
    let directory = try TemporaryDirectory()
    let node = Node()
    let first = try snapshot(["a/w1", "a/w2", "a/w3"])
    let client = DiscoveryClient(
      DiscoveryClient.Configuration(socketPath: directory.socket, node: "host-a"), logger: quiet()
    ) { node.apply($0) }
    let running = Task { try await client.run() }
    #expect(await eventually { client.status.lastError != nil })
    try await withServer(directory, epoch: 1) { server in
      server.publish(first)
      #expect(await eventually { client.status.phase == .complete })
    }
    #expect(await eventually { client.status.phase == .disconnected })
    #expect(node.snapshot == first)
    let count = node.batches.count
    var second = first
    second.insert(try entry("a/w4"))
    second.remove(EntryKey(.workload, "a/w1"))
    try await withServer(directory, epoch: 2) { server in
      server.publish(second)
      #expect(await eventually { node.snapshot == second })
    }
    let later = node.batches.dropFirst(count)
    #expect(later.flatMap { $0.delta.upserts.map { $0.value.key.name } } == ["a/w4"])
    #expect(later.flatMap { $0.delta.removals.map(\.name) } == ["a/w1"])
    #expect(client.status.connections == 2)
    running.cancel()
    _ = try? await running.value
  }

  @Test("XD-04: a control plane of an older epoch is not followed")
  func olderEpoch() async throws {
    let directory = try TemporaryDirectory()
    let node = Node()
    try await withServer(directory, epoch: 3) { server in
      server.publish(try snapshot(["a/w1"]))
      try await withClient(directory, node, version: SystemVersion(epoch: 4, revision: 1)) { client in
        #expect(await eventually { client.status.lastError?.contains("this node has followed one at 4.1") == true })
        #expect(node.batches.isEmpty)
      }
    }
  }

  @Test("XD-01: a bad entry that changes every 10 ms is answered at a pace, and good entries of other kinds arrive")
  func storm() async throws {
    let directory = try TemporaryDirectory()
    let node = Node()
    node.refuse(["a/bad"])
    try await withServer(directory) { server in
      try await withClient(directory, node) { client in
        for round in 0..<100 {
          var next = try snapshot([])
          next.insert(try entry("a/bad", app: "v\(round)"))
          server.publish(next)
          try await Task.sleep(for: .milliseconds(10))
        }
        #expect(await eventually { client.status.phase == .complete })
        // 1 s of a bad entry every 10 ms: at 10, 20, 40 ... ms apart, about eight batches carry one, not a hundred.
        let tries = node.batches.filter { !$0.delta.upserts.isEmpty && $0.kind == .workload }.count
        #expect(tries < 15)
        #expect(node.snapshot.config != nil)
      }
    }
  }

  @Test("XD-03: an entry past the size limit is withheld and reported; the rest arrives, and what a node has it keeps")
  func tooLarge() async throws {
    let directory = try TemporaryDirectory()
    let node = Node()
    try await withServer(directory, epoch: 1, { $0.maximumEntrySize = 4096 }) { server in
      #expect(server.publish(try snapshot(["a/w1"])).isEmpty)
      try await withClient(directory, node) { client in
        #expect(await eventually { node.snapshot.workloads.count == 1 })
        var next = try snapshot(["a/w1", "a/w2"])
        let name = try #require(ResourceName("a/w1"))
        let identity = try #require(SPIFFEID(trustDomain: "t", namespace: "a", serviceAccount: "b"))
        let addresses = (0..<1000).map { IPAddress(v4: 0x0a00_0000 + UInt32($0)) }
        next.insert(
          VersionedEntry(.workload(WorkloadEntry(name: name, node: "n", identity: identity, addresses: addresses))))
        let withheld = server.publish(next)
        #expect(withheld.keys.map(\.name) == ["a/w1"])
        #expect(await eventually { node.snapshot.workloads.count == 2 })
        #expect(node.snapshot.workloads[name]?.value.addresses == [])
      }
    }
  }

  @Test("XD-03: ten thousand entries arrive in parts, in order, and once")
  func large() async throws {
    let directory = try TemporaryDirectory()
    let node = Node()
    try await withServer(directory, epoch: 1, { $0.session.responseSize = 100_000 }) { server in
      let all = try snapshot((0..<10_000).map { "a/w\($0)" })
      server.publish(all)
      try await withClient(directory, node) { client in
        #expect(await eventually(seconds: 60) { client.status.phase == .complete })
        #expect(node.snapshot == all)
        #expect(node.batches.reduce(0) { $0 + $1.delta.upserts.count } == all.count)
        #expect(node.batches.count > 10)
      }
    }
  }

  @Test("twenty nodes get the same, at once")
  func fanOut() async throws {
    let directory = try TemporaryDirectory()
    try await withServer(directory) { server in
      server.publish(try snapshot(["a/w1"]))
      let nodes = (0..<20).map { _ in Node() }
      let next = try snapshot(["a/w2"])
      try await withThrowingTaskGroup(of: Void.self) { group in
        for node in nodes {
          group.addTask {
            try await withClient(directory, node) { client in
              #expect(await eventually { client.status.phase == .complete })
              #expect(await eventually { node.snapshot == next })
            }
          }
        }
        #expect(await eventually { nodes.allSatisfy { !$0.snapshot.isEmpty } })
        server.publish(next)
        try await group.waitForAll()
      }
    }
  }
}
