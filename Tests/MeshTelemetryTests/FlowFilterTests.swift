import MeshBase
import Testing

@testable import MeshTelemetry

@Suite struct FlowFilterTests {
  @Test(
    "a source is named in any of its forms",
    arguments: [
      "default/client", "default/", "client", "spiffe://cluster.local/ns/default/sa/client", "10.0.0.1",
      "10.0.0.0/24", "10.0.0.1:40000",
    ])
  func matchesSource(text: String) throws {
    let filter = try FlowFilter(source: text)
    #expect(filter.matches(Sample.closed()))
  }

  @Test(
    "what is named differently is left out",
    arguments: ["default/clien", "other/", "lient", "10.0.0.2", "10.0.1.0/24", "10.0.0.1:40001", "::/0"])
  func leavesOut(text: String) throws {
    #expect(try !FlowFilter(source: text).matches(Sample.closed()))
  }

  @Test("all parts must hold")
  func conjunction() throws {
    #expect(try FlowFilter(destination: "web", verdict: "deny", reason: "policy_denied").matches(Sample.refused()))
    #expect(try !FlowFilter(destination: "web", verdict: "allow").matches(Sample.refused()))
    #expect(try !FlowFilter(reason: "not_allowed").matches(Sample.refused()))
    #expect(try FlowFilter(kind: "refused").matches(Sample.refused()))
    #expect(try FlowFilter(service: "web").matches(Sample.closed()))
    #expect(try FlowFilter(service: "default/web").matches(Sample.closed()))
    #expect(try !FlowFilter(service: "web").matches(Sample.refused()))
    #expect(try !FlowFilter(service: "eb").matches(Sample.closed()))
    #expect(FlowFilter().matches(FlowRecord(time: Sample.time, kind: .unknown)))
  }

  @Test("a word that does not exist is refused, with the list of those that do")
  func wrongWord() {
    let error = #expect(throws: MeshError.self) { try FlowFilter(verdict: "maybe") }
    #expect(error?.code == .invalid)
    #expect(error?.message.contains("none, allow, deny") == true)
    #expect(throws: MeshError.self) { try FlowFilter(reason: "unknown") }
    #expect(throws: MeshError.self) { try FlowFilter(source: "A b") }
    #expect(throws: MeshError.self) { try FlowFilter(source: "10.0.0.0/33") }
    #expect(throws: MeshError.self) { try FlowFilter(service: "a/b/c") }
  }
}

@Suite struct FlowRingTests {
  private func ring(_ count: Int, capacity: Int) -> FlowRing {
    var ring = FlowRing(capacity: capacity)
    for index in 0..<count { ring.append(index % 2 == 0 ? Sample.closed() : Sample.refused()) }
    return ring
  }

  @Test("numbers rise by one and the oldest records go first")
  func numbering() {
    let ring = self.ring(10, capacity: 4)
    let batch = ring.records(after: 0, limit: 100)
    #expect(batch.records.map(\.number) == [7, 8, 9, 10])
    #expect(batch.missed == 6)
    #expect(batch.cursor == 10)
    #expect(ring.dropped == 6)
    #expect(ring.count == 4)
  }

  @Test("a reader gets every record once, or is told how many it missed")
  func lossless() {
    for capacity in [1, 3, 8] {
      var ring = FlowRing(capacity: capacity)
      var cursor: UInt64 = 0
      var got: UInt64 = 0
      var missed: UInt64 = 0
      for step in 1...200 {
        for _ in 0..<(step % 5) { ring.append(Sample.closed()) }
        if step % 3 == 0 {
          let batch = ring.records(after: cursor, limit: 2)
          #expect(batch.records.first.map { $0.number == cursor + batch.missed + 1 } ?? (batch.missed == 0))
          got += UInt64(batch.records.count)
          missed += batch.missed
          cursor = batch.cursor
        }
      }
      #expect(got + missed == cursor)
    }
  }

  @Test("nothing new is an empty batch at the same cursor, also for a cursor of the future")
  func nothingNew() {
    let ring = self.ring(3, capacity: 4)
    #expect(ring.records(after: 3, limit: 5) == .init(records: [], cursor: 3, missed: 0))
    #expect(ring.records(after: 99, limit: 5) == .init(records: [], cursor: 3, missed: 0))
    #expect(ring.records(after: .max, limit: 5).cursor == 3)
    #expect(ring.records(after: 0, limit: 0).records.isEmpty)
    #expect(FlowRing(capacity: 0).capacity == 1)
    #expect(FlowRing(capacity: 2).records(after: 0, limit: 1).records.isEmpty)
  }

  @Test("the last N that match begin at the right record")
  func last() throws {
    let ring = self.ring(10, capacity: 8)
    let filter = try FlowFilter(kind: "refused")
    #expect(ring.cursor(last: 2, where: filter.matches) == 7)
    #expect(ring.cursor(last: 1, where: { _ in true }) == 9)
    #expect(ring.cursor(last: 100, where: filter.matches) == 2)
    #expect(ring.cursor(last: 0, where: { _ in true }) == 10)
    #expect(FlowRing(capacity: 3).cursor(last: 5, where: { _ in true }) == 0)
  }
}
