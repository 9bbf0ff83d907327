import CMeshABI
import MeshDatapath
import MeshTelemetry
import Testing

@testable import MeshAgent

@Suite struct FlowFeedTests {
  @Test("a reader that waits is woken by the next record", .timeLimit(.minutes(1)))
  func wakes() async {
    let feed = FlowFeed(capacity: 4)
    async let woken: Void = feed.wait(after: 0)
    while feed.waitingReaders == 0 { await Task.yield() }
    feed.publish([])
    #expect(feed.waitingReaders == 1)
    feed.publish([FakeAgent.record("a/b")])
    await woken
    #expect(feed.waitingReaders == 0)
    #expect(feed.records(after: 0, limit: 9).records.map(\.number) == [1])
  }

  @Test("a reader behind the newest record does not wait at all", .timeLimit(.minutes(1)))
  func behind() async {
    let feed = FlowFeed(capacity: 4)
    feed.publish([FakeAgent.record("a/b")])
    await feed.wait(after: 0)
    #expect(feed.waitingReaders == 0)
  }

  @Test("a cancelled reader stops waiting, whenever the cancellation comes", .timeLimit(.minutes(1)))
  func cancellation() async {
    let feed = FlowFeed(capacity: 4)
    for round in 0..<200 {
      let task = Task { await feed.wait(after: 0) }
      if round % 2 == 0 { await Task.yield() }
      task.cancel()
      await task.value
    }
    #expect(feed.waitingReaders == 0)
  }

  @Test("the last N that match begin at the right record")
  func last() throws {
    let feed = FlowFeed(capacity: 300)
    feed.publish((0..<400).map { FakeAgent.record($0 % 2 == 0 ? "a/even" : "a/odd") })
    let even = try FlowFilter(source: "a/even")
    #expect(feed.cursor(last: 2, matching: even) == 396)
    #expect(feed.cursor(last: 140, matching: even) == 120)
    #expect(feed.cursor(last: 1000, matching: even) == 100)
    #expect(feed.cursor(last: 0, matching: even) == 400)
    #expect(feed.cursor(last: 1, matching: FlowFilter()) == 399)
    #expect(feed.cursor(last: 1000, matching: FlowFilter()) == 100)
    #expect(FlowFeed(capacity: 3).cursor(last: 5, matching: FlowFilter()) == 0)
    #expect(FlowFeed(capacity: 3).cursor(last: 5, matching: even) == 0)
  }

  @Test("an event bears the names of its time, also when it is read after they changed")
  func names() {
    let feed = FlowFeed(capacity: 600)
    let (first, second) = (self.names("a/one"), self.names("a/two"))
    feed.publish([mesh_event](repeating: self.event, count: 500), first)
    #expect(feed.records(after: 498, limit: 9).records.map(\.source.workload) == ["a/one", "a/one"])
    feed.publish([self.event], second)
    feed.publish([FakeAgent.record("a/three")])
    feed.publish([self.event], self.names("a/four"))
    let all = feed.records(after: 0, limit: 1000).records
    #expect(all.map(\.number) == Array(1...503))
    #expect(all.map(\.source.workload) == Array(repeating: "a/one", count: 500) + ["a/two", "a/three", "a/four"])
  }

  private var event: mesh_event {
    var event = mesh_event()
    event.flow.source_workload = 1
    return event
  }

  /// That number 1 is this workload.
  private func names(_ workload: String) -> FlowNames {
    var identifiers = Identifiers()
    #expect(identifiers.take(.workload, workload, now: .zero) == 1)
    return FlowNames(identifiers: identifiers)
  }
}
