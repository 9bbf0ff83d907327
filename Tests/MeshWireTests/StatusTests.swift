import Glibc
import MeshBase
import MeshSnapshot
import MeshSync
import MeshTestSupport
import Synchronization
import Testing

@testable import MeshWire

@Suite("Statuses over the wire")
struct StatusTests {
  private func status(
    _ name: String, _ reason: WorkloadStatus.Reason, detail: String = "", addresses: [IPAddress] = []
  ) -> WorkloadStatus {
    WorkloadStatus(
      name: resourceName("a/\(name)"), addresses: addresses, reason: reason, detail: detail, since: 1_700_000_000_000)
  }

  @Test("every field survives the way to bytes and back, every reason too")
  func roundTrip() throws {
    for reason in WorkloadStatus.Reason.allCases {
      let update = StatusUpdate(
        node: "n", sequence: 7,
        statuses: [
          self.status("one", reason, detail: "ECONNREFUSED", addresses: [address("10.0.0.1"), address("fd00::1")])
        ],
        removed: [resourceName("a/gone")], isPartial: true)
      #expect(try StatusUpdate(bytes: try update.encoded()) == update)
    }
    let ack = StatusAck(sequence: 3, rejections: [Rejection(name: "a/b", reason: "too many")])
    #expect(try StatusAck(bytes: try ack.encoded()) == ack)
    #expect(try StatusUpdate(bytes: []) == StatusUpdate(sequence: 0))
  }

  @Test("what a peer writes is bounded, and nothing in it reaches a terminal")
  func text() throws {
    let long = "\u{1b}[31m\n" + String(repeating: "ä", count: 10_000)
    let decoded = try StatusUpdate(
      bytes: try StatusUpdate(node: "n", sequence: 1, statuses: [self.status("one", .checkFailed, detail: long)])
        .encoded())
    let detail = try #require(decoded.statuses.first?.detail)
    #expect(detail.utf8.count <= WorkloadStatus.detailLimit && detail.hasPrefix(" [31m ä"))
  }

  @Test("every truncation, every flipped byte and noise give an update or an error, never a trap")
  func damage() throws {
    let bytes = try StatusUpdate(
      node: "n", sequence: 1,
      statuses: [
        self.status("one", .checkFailed, detail: "timeout", addresses: [address("10.0.0.1")]),
        self.status("two", .ready),
      ], removed: [resourceName("a/gone")]
    ).encoded()
    for count in 0..<bytes.count { _ = try? StatusUpdate(bytes: Array(bytes[..<count])) }
    for index in bytes.indices {
      for mask in [0x01, 0x80, 0xff] as [UInt8] {
        var damaged = bytes
        damaged[index] ^= mask
        if let update = try? StatusUpdate(bytes: damaged) {
          var again = update
          again.failures = []
          #expect(try StatusUpdate(bytes: try again.encoded()) == again)
        }
        _ = try? StatusAck(bytes: damaged)
      }
    }
    var random = SplitMix64(seed: 1)
    for _ in 0..<3000 {
      let noise = (0..<Int.random(in: 0...64, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      _ = try? StatusUpdate(bytes: noise)
      _ = try? StatusAck(bytes: noise)
    }
  }

  @Test("what an agent says arrives, again after the control plane's restart, and stays when the agent goes")
  func session() async throws {
    let directory = try TemporaryDirectory()
    let feed = StatusFeed(node: "host-a", logger: quiet())
    let (one, bad) = (self.status("one", .ready), self.status("one", .checkFailed, detail: "timeout"))
    let name = one.name
    feed.update([one])
    let client = DiscoveryClient(
      DiscoveryClient.Configuration(socketPath: directory.socket, node: "host-a"), statuses: feed, logger: quiet()
    ) { _ in [] }
    let running = Task { try await client.run() }
    try await withServer(directory) { server in
      // Statuses are taken also before anything is published.
      #expect(await eventually(seconds: 20) { server.statuses.ledger.status(of: name, on: "host-a") == one })
      feed.update([bad])
      #expect(await eventually(seconds: 20) { server.statuses.ledger.status(of: name, on: "host-a") == bad })
      #expect(await eventually(seconds: 20) { feed.phase == .idle })
      feed.update([])
      #expect(await eventually(seconds: 20) { server.statuses.ledger.status(of: name, on: "host-a") == nil })
      feed.update([bad])
    }
    try await withServer(directory, epoch: 2) { server in
      #expect(await eventually(seconds: 20) { server.statuses.ledger.status(of: name, on: "host-a") == bad })
      running.cancel()
      _ = try? await running.value
      #expect(await eventually(seconds: 20) { !server.statuses.ledger.isConnected("host-a") })
      #expect(server.statuses.ledger.status(of: name, on: "host-a") == bad)
    }
  }

  @Test("a status stream ends with the server, which does not wait for it", .timeLimit(.minutes(1)))
  func shutdown() async throws {
    let directory = try TemporaryDirectory()
    let feed = StatusFeed(node: "host-a", logger: quiet())
    let client = DiscoveryClient(
      DiscoveryClient.Configuration(socketPath: directory.socket, node: "host-a"), statuses: feed, logger: quiet()
    ) { _ in [] }
    let running = Task { try await client.run() }
    try await withServer(directory) { server in
      #expect(await eventually(seconds: 20) { server.statuses.ledger.isConnected("host-a") })
    }
    running.cancel()
    _ = try? await running.value
  }
}
