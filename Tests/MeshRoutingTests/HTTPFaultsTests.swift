import MeshHTTP
import MeshSnapshot
import Testing

@testable import MeshRouting

@Suite struct HTTPFaultsTests {
  private func drawn(
    _ faults: [Fault], _ headers: [(String, String)] = [], times: Int = 1, seed: UInt64 = 1
  ) throws -> [HTTPFaults.Drawn] {
    let rules = try #require(HTTPFaults(faults))
    var bytes: [UInt8] = []
    var request = HTTPRequestHead(method: 0..<0, host: 0..<0, query: nil, fields: [])
    for (name, value) in headers {
      let start = bytes.count
      bytes += Array(name.utf8) + Array(value.utf8)
      let middle = start + name.utf8.count
      request.fields.append(.init(name: start..<middle, value: middle..<bytes.count))
    }
    var random = Seeded(state: seed)
    return (0..<times).map { _ in rules.drawn(for: request, in: bytes.span, using: &random) }
  }

  private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
      self.state = self.state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return self.state ^ (self.state >> 31)
    }
  }

  @Test("a fault of all requests holds for each, one of none is none")
  func whole() throws {
    let all = try self.drawn([Fault(.delay(milliseconds: 5), share: 10_000)], times: 100)
    #expect(all.allSatisfy { $0 == .init(delay: 5) })
    #expect(HTTPFaults([]) == nil && HTTPFaults([Fault(.abort(status: 500), share: 0)]) == nil)
  }

  @Test("a share is a share, and delays and aborts are drawn apart")
  func shares() throws {
    let drawn = try self.drawn(
      [Fault(.delay(milliseconds: 5), share: 2500), Fault(.abort(status: 503), share: 1000)], times: 20_000)
    let delayed = drawn.count { $0.delay == 5 }
    let aborted = drawn.count { $0.abort == 503 }
    let both = drawn.count { $0.delay != nil && $0.abort != nil }
    #expect((4700...5300).contains(delayed))
    #expect((1800...2200).contains(aborted))
    #expect((400...600).contains(both))
  }

  @Test("all fields have to hold; of each kind the first that holds counts")
  func headers() throws {
    let faults = [
      Fault(
        .abort(status: 418), share: 10_000,
        headers: [
          FieldMatch(name: "x-who", value: .exact("me")), FieldMatch(name: "x-how", value: .regex("b.d")),
        ]),
      Fault(.abort(status: 500), share: 10_000, headers: [FieldMatch(name: "x-who", value: .exact("me"))]),
      Fault(.abort(status: 501), share: 10_000, headers: [FieldMatch(name: "x-who", value: .exact("you"))]),
    ]
    #expect(try self.drawn(faults, [("X-Who", "me"), ("x-how", "bad")]) == [.init(abort: 418)])
    #expect(try self.drawn(faults, [("x-who", "me"), ("x-how", "worse")]) == [.init(abort: 500)])
    #expect(try self.drawn(faults, [("x-who", "nobody")]) == [.none])
    #expect(try self.drawn(faults) == [.none])
  }

  @Test("an expression that cannot be compiled fails nobody")
  func unusable() {
    #expect(
      HTTPFaults([Fault(.abort(status: 500), share: 10_000, headers: [FieldMatch(name: "a", value: .regex("("))])])
        == nil)
  }
}
