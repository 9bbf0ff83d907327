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
}
