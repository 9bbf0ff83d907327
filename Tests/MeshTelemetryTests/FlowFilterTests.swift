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
  private func ring(_ count: Int, capacity: Int) -> FlowRing<Int> {
    var ring = FlowRing<Int>(capacity: capacity)
    for index in 0..<count { ring.append(index) }
    return ring
  }

  @Test("numbers rise by one and the oldest elements go first")
  func numbering() {
    let ring = self.ring(10, capacity: 4)
    let batch = ring.elements(after: 0, limit: 100)
    #expect(batch.elements == [6, 7, 8, 9])
    #expect(batch.first == 7)
    #expect(batch.missed == 6)
    #expect(batch.cursor == 10)
    #expect(ring.dropped == 6)
    #expect(ring.count == 4)
  }

  @Test("a reader gets every element once, or is told how many it missed")
  func lossless() {
    for capacity in [1, 3, 8] {
      var ring = FlowRing<UInt64>(capacity: capacity)
      var cursor: UInt64 = 0
      var got: UInt64 = 0
      var missed: UInt64 = 0
      for step in 1...200 {
        for _ in 0..<(step % 5) { ring.append(ring.newest + 1) }
        if step % 3 == 0 {
          let batch = ring.elements(after: cursor, limit: 2)
          #expect(batch.elements.first.map { $0 == cursor + batch.missed + 1 } ?? (batch.missed == 0))
          #expect(batch.elements.first ?? batch.first == batch.first)
          got += UInt64(batch.elements.count)
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
    for cursor in [3, 99, UInt64.max] {
      let batch = ring.elements(after: cursor, limit: 5)
      #expect(batch.elements.isEmpty)
      #expect(batch.cursor == 3)
      #expect(batch.missed == 0)
    }
    #expect(ring.elements(after: 0, limit: 0).elements.isEmpty)
    #expect(FlowRing<Int>(capacity: 0).capacity == 1)
    #expect(FlowRing<Int>(capacity: 2).elements(after: 0, limit: 1).elements.isEmpty)
  }

  @Test("an element is replaced under its number, as long as it is held")
  func replaces() {
    var ring = self.ring(10, capacity: 4)
    for number in [0, 6, 8, 11, UInt64.max] { ring.replace(number, with: 99) }
    #expect(ring.elements(after: 0, limit: 9).elements == [6, 99, 8, 9])
  }
}
