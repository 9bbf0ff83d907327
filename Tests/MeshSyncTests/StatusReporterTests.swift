import MeshBase
import MeshSync
import MeshTestSupport
import Testing

func status(
  _ name: String, _ reason: WorkloadStatus.Reason = .ready, detail: String = "", since: Int64 = 1
) throws -> WorkloadStatus {
  WorkloadStatus(name: try #require(ResourceName("a/\(name)")), reason: reason, detail: detail, since: since)
}

@Suite("An agent's end of a status stream")
struct StatusReporterTests {
  private static func name(_ text: String) throws -> ResourceName { try #require(ResourceName("a/\(text)")) }

  @Test("begins with everything and its name, then tells changes, one update at a time")
  func changes() throws {
    var reporter = StatusReporter(node: "n")
    let (one, two) = (try status("one"), try status("two"))
    #expect(reporter.changed(to: [two, one]) == .none)
    #expect(reporter.phase == .disconnected)
    #expect(reporter.connected() == .send(StatusUpdate(node: "n", sequence: 1, statuses: [one, two])))
    #expect(reporter.phase == .waiting(sequence: 1))
    // While an answer is awaited nothing is sent; what came and went meanwhile is not told at all.
    let failing = try status("one", .checkFailed, detail: "ECONNREFUSED", since: 2)
    #expect(reporter.changed(to: [failing]) == .none)
    #expect(reporter.changed(to: [failing, two]) == .none)
    #expect(reporter.acknowledged(1) == .send(StatusUpdate(sequence: 2, statuses: [failing])))
    #expect(reporter.acknowledged(2) == .none)
    #expect(reporter.phase == .idle)
    #expect(reporter.changed(to: [failing, two]) == .none)
    #expect(reporter.changed(to: [two]) == .send(StatusUpdate(sequence: 3, removed: [failing.name])))
  }

  @Test("says that there is nothing, and after a new connection everything anew")
  func reconnect() throws {
    var reporter = StatusReporter(node: "n")
    #expect(reporter.connected() == .send(StatusUpdate(node: "n", sequence: 1)))
    let one = try status("one")
    #expect(reporter.changed(to: [one]) == .none)
    reporter.disconnected()
    #expect(reporter.phase == .disconnected)
    #expect(reporter.connected() == .send(StatusUpdate(node: "n", sequence: 1, statuses: [one])))
    #expect(reporter.acknowledged(1) == .none)
    #expect(reporter.phase == .idle)
  }

  @Test("a large picture goes in parts, the last of which says so")
  func parts() throws {
    var reporter = StatusReporter(node: "n", limit: 2)
    let all = try ["a", "b", "c"].map { try status($0) }
    #expect(reporter.changed(to: all) == .none)
    #expect(
      reporter.connected() == .send(StatusUpdate(node: "n", sequence: 1, statuses: Array(all[..<2]), isPartial: true)))
    #expect(reporter.acknowledged(1) == .send(StatusUpdate(sequence: 2, statuses: [all[2]])))
    #expect(reporter.acknowledged(2) == .none)
    #expect(reporter.phase == .idle)
  }

  @Test("an answer that belongs to no update ends the stream")
  func wrongAnswer() throws {
    var reporter = StatusReporter(node: "n")
    _ = reporter.connected()
    for sequence: UInt64 in [0, 2, .max] {
      guard case .close = reporter.acknowledged(sequence) else {
        Issue.record("\(sequence) was taken")
        continue
      }
      #expect(reporter.phase == .waiting(sequence: 1))
    }
    #expect(reporter.acknowledged(1) == .none)
    guard case .close = reporter.acknowledged(1) else {
      Issue.record("taken twice")
      return
    }
    #expect(reporter.phase == .idle)
  }
}

@Suite("What the control plane knows of all nodes")
struct StatusLedgerTests {
  private static func name(_ text: String) throws -> ResourceName { try #require(ResourceName("a/\(text)")) }

  private func accept(
    _ ledger: inout StatusLedger, _ update: StatusUpdate, _ stream: StatusLedger.Stream, news: Bool = true
  ) {
    let answer = ledger.received(update, on: stream)
    #expect(answer.action == .acknowledge(StatusAck(sequence: update.sequence)))
    #expect(answer.isNews == news)
  }

  private func isClosed(_ answer: StatusLedger.Answer) -> Bool {
    if case .close = answer.action { return !answer.isNews }
    return false
  }

  @Test("keeps the last word of each node, also when the node is gone, and forgets what a new picture leaves out")
  func words() throws {
    var ledger = StatusLedger()
    let first = ledger.opened()
    let (one, two) = (try status("one"), try status("two", .checkFailed))
    self.accept(&ledger, StatusUpdate(node: "n", sequence: 1, statuses: [one, two]), first)
    self.accept(&ledger, StatusUpdate(sequence: 2, statuses: [one]), first, news: false)
    #expect(ledger.status(of: two.name, on: "n") == two)
    #expect(ledger.status(of: two.name, on: "m") == nil)
    #expect(ledger.unready.map(\.workload) == [two.name])
    #expect(ledger.isConnected("n"))
    ledger.closed(first)
    #expect(!ledger.isConnected("n"))
    #expect(ledger.status(of: one.name, on: "n") == one)
    // A new stream in two parts: what it did not name goes with the end of the second, not before.
    let second = ledger.opened()
    let three = try status("three")
    self.accept(&ledger, StatusUpdate(node: "n", sequence: 1, statuses: [three], isPartial: true), second)
    #expect(ledger.status(of: two.name, on: "n") == two)
    self.accept(&ledger, StatusUpdate(sequence: 2, statuses: [one]), second)
    #expect(ledger.status(of: two.name, on: "n") == nil)
    #expect(ledger.unready.isEmpty)
    self.accept(&ledger, StatusUpdate(sequence: 3, removed: [one.name]), second)
    #expect(ledger.status(of: one.name, on: "n") == nil)
  }

  @Test("of two streams of a node the later one counts, whatever the earlier one still says or does")
  func streams() throws {
    var ledger = StatusLedger()
    let (old, new) = (ledger.opened(), ledger.opened())
    let (good, bad) = (try status("one"), try status("one", .notEnrolled))
    self.accept(&ledger, StatusUpdate(node: "n", sequence: 1, statuses: [bad]), old)
    self.accept(&ledger, StatusUpdate(node: "n", sequence: 1, statuses: [good]), new)
    let closed1 = ledger.received(StatusUpdate(sequence: 2, statuses: [bad]), on: old)
    #expect(self.isClosed(closed1))
    ledger.closed(old)
    #expect(ledger.isConnected("n"))
    #expect(ledger.status(of: good.name, on: "n") == good)
    // One that was opened before and says its name after.
    let (early, late) = (ledger.opened(), ledger.opened())
    self.accept(&ledger, StatusUpdate(node: "m", sequence: 1), late, news: false)
    let closed2 = ledger.received(StatusUpdate(node: "m", sequence: 1), on: early)
    #expect(self.isClosed(closed2))
  }

  @Test("who breaks the protocol is closed and changes nothing")
  func hostile() throws {
    var ledger = StatusLedger()
    let one = try status("one")
    for update in [
      StatusUpdate(sequence: 1, statuses: [one]), StatusUpdate(node: "A_B", sequence: 1, statuses: [one]),
      StatusUpdate(node: "", sequence: 1), StatusUpdate(node: "n", sequence: 2, statuses: [one]),
      StatusUpdate(node: "n", sequence: 0), StatusUpdate(node: "n", sequence: .max),
    ] {
      let stream = ledger.opened()
      let closed3 = ledger.received(update, on: stream)
      #expect(self.isClosed(closed3), "\(update)")
      #expect(ledger.status(of: one.name, on: "n") == nil)
      ledger.closed(stream)
    }
    let stream = ledger.opened()
    self.accept(&ledger, StatusUpdate(node: "n", sequence: 1), stream, news: false)
    let closed4 = ledger.received(StatusUpdate(node: "m", sequence: 2, statuses: [one]), on: stream)
    #expect(self.isClosed(closed4))
    let closed5 = ledger.received(StatusUpdate(sequence: 1, statuses: [one]), on: stream)
    #expect(self.isClosed(closed5))
  }

  @Test("what a node may say is bounded, and nodes that are gone and unused are forgotten")
  func bounds() throws {
    var limits = StatusLedger.Limits()
    (limits.nodes, limits.workloadsPerNode, limits.update) = (2, 2, 3)
    var ledger = StatusLedger(limits: limits)
    let stream = ledger.opened()
    let all = try ["a", "b", "c", "d"].map { try status($0) }
    let closed6 = ledger.received(StatusUpdate(node: "n", sequence: 1, statuses: all), on: stream)
    #expect(self.isClosed(closed6))
    let answer = ledger.received(StatusUpdate(node: "n", sequence: 1, statuses: Array(all[..<3])), on: stream)
    guard case .acknowledge(let ack) = answer.action else {
      Issue.record("\(answer)")
      return
    }
    #expect(ack.rejections.map(\.name) == ["a/c"])
    #expect(ledger.status(of: all[2].name, on: "n") == nil)
    self.accept(&ledger, StatusUpdate(node: "m", sequence: 1), ledger.opened(), news: false)
    let closed7 = ledger.received(StatusUpdate(node: "o", sequence: 1), on: ledger.opened())
    #expect(self.isClosed(closed7))
    ledger.closed(stream)
    ledger.retain(nodes: [])
    #expect(ledger.status(of: all[0].name, on: "n") == nil)
    self.accept(&ledger, StatusUpdate(node: "o", sequence: 1), ledger.opened(), news: false)
  }

  @Test("after any order of changes, losses and reconnects both ends agree", arguments: 0..<50)
  func agreement(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    var ledger = StatusLedger()
    var reporter = StatusReporter(node: "n", limit: 3)
    var stream: StatusLedger.Stream?
    var wire: [StatusUpdate] = []
    var current: [WorkloadStatus] = []
    func take(_ action: StatusAction) {
      if case .send(let update) = action { wire.append(update) }
      if case .close(let reason) = action { Issue.record("\(reason)") }
    }
    func deliver() {
      guard let open = stream, !wire.isEmpty else { return }
      let answer = ledger.received(wire.removeFirst(), on: open)
      guard case .acknowledge(let ack) = answer.action else {
        Issue.record("\(answer)")
        return
      }
      take(reporter.acknowledged(ack.sequence))
    }
    for step in 0..<200 {
      switch UInt8.random(in: 0..<8, using: &random) {
      case 0..<3:
        current = try (0..<8).filter { _ in Bool.random(using: &random) }.map {
          try status("w\($0)", Bool.random(using: &random) ? .ready : .checkFailed, since: Int64(step))
        }
        take(reporter.changed(to: current))
      case 3 where stream == nil:
        stream = ledger.opened()
        take(reporter.connected())
      case 4:
        if let open = stream { ledger.closed(open) }
        reporter.disconnected()
        stream = nil
        wire = []
      default: deliver()
      }
      #expect(wire.count <= 1)
    }
    if stream == nil {
      stream = ledger.opened()
      take(reporter.connected())
    }
    while !wire.isEmpty { deliver() }
    #expect(reporter.phase == .idle)
    for index in 0..<8 {
      let name = try Self.name("w\(index)")
      #expect(ledger.status(of: name, on: "n") == current.first { $0.name == name })
    }
  }
}
