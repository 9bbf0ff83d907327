import MeshBase
import MeshDatapath
import MeshSnapshot
import MeshTestSupport
import Testing

@Suite("Endpoint shares")
struct EndpointSharesTests {
  func shares(_ fractions: [(UInt128, UInt128)]) -> [EndpointShare] {
    fractions.enumerated().map { index, fraction in
      EndpointShare(
        backend: Backend(service: name("b"), port: 80),
        target: SocketEndpoint(IPAddress(v4: UInt32(index)), 80), workload: nil, numerator: fraction.0,
        denominator: fraction.1)
    }
  }

  func counts(_ fractions: [(UInt128, UInt128)], maximum: Int = 256) -> [Int] {
    self.shares(fractions).slotCounts(maximum: maximum, seed: 7)
  }

  @Test("Shares that fit are exact in the smallest table")
  func exact() {
    #expect(self.counts([(1, 1)]) == [1])
    #expect(self.counts([(1, 3), (1, 3), (1, 3)]) == [1, 1, 1])
    #expect(self.counts([(9, 10), (1, 10)]) == [9, 1])
    // 90/10, the first backend with three endpoints.
    #expect(self.counts([(90, 300), (90, 300), (90, 300), (10, 100)]) == [3, 3, 3, 1])
  }

  @Test("Shares that do not fit are the largest remainder of the maximum")
  func remainder() {
    #expect(self.counts([(1, 1000), (999, 1000)]) == [0, 256])
    #expect(self.counts([(3, 1000), (997, 1000)]) == [1, 255])
    #expect(self.counts([(1, 257), (256, 257)]) == [1, 255])
  }

  @Test("A table never has more than the maximum, nor a share more than one slot beside its own")
  func bounds() {
    for seed in 0..<2000 as Range<UInt64> {
      var random = SplitMix64(seed: seed)
      let weights = (0..<Int.random(in: 1...40, using: &random)).map { _ in
        UInt128(UInt32.random(in: 1...(random.chance(50) ? 5 : .max), using: &random))
      }
      let total = weights.reduce(0, +)
      let maximum = random.pick([1, 16, 256])
      let counts = self.counts(weights.map { ($0, total) }, maximum: maximum)
      let size = counts.reduce(0, +)
      #expect((1...maximum).contains(size), "seed \(seed)")
      for (weight, count) in zip(weights, counts) {
        let ideal = Double(weight) / Double(total) * Double(size)
        #expect(abs(Double(count) - ideal) < 1.000001, "seed \(seed)")
      }
    }
  }

  @Test("More endpoints than slots: each node leaves out other ones")
  func manyEndpoints() {
    let fractions = (0..<1000).map { _ in (UInt128(1), UInt128(1000)) }
    let shares = self.shares(fractions)
    func chosen(_ node: String) -> Set<Int> {
      let counts = shares.slotCounts(maximum: 256, seed: ContentVersion(of: node.utf8).value)
      return Set(counts.indices.filter { counts[$0] > 0 })
    }
    let (one, other) = (chosen("a"), chosen("b"))
    #expect(one.count == 256 && other.count == 256)
    #expect(one.intersection(other).count < 200)
  }

  func resolved(_ endpoints: [Endpoint]) -> ResolvedSnapshot {
    var snapshot = Snapshot()
    snapshot.insert(
      VersionedEntry(
        .endpoints(EndpointsEntry(service: name("a"), endpoints: endpoints)), version: ContentVersion(value: 1)))
    return ResolvedSnapshot(node: "here", snapshot: snapshot, locals: [])
  }

  @Test("A backend that does not exist, or has nothing ready while another has, keeps its share; weight 0 has none")
  func backends() {
    let map = [PortMapping(servicePort: 80, targetPort: 8080)]
    let resolved = self.resolved([Endpoint(addresses: [address("1.2.3.4")], ports: map)])
    let good = Backend(service: name("a"), port: 80, weight: 3)
    let empty = Backend(service: name("none"), port: 80, weight: 1)
    let invalid = Backend(service: name("a"), port: 80, weight: 4, isValid: false)
    let zero = Backend(service: name("a"), port: 80, weight: 0)
    func say(_ backends: [Backend]) -> [String] {
      resolved.shares(of: ServicePort(port: 80, backends: backends), isV4: true).map {
        "\($0.target?.description ?? "refused") \($0.fraction)"
      }
    }
    #expect(say([good]) == ["1.2.3.4:8080 1.0"])
    #expect(say([good, empty, zero]) == ["1.2.3.4:8080 0.75", "refused 0.25"])
    #expect(say([empty]) == [])
    #expect(say([zero]) == [])
    #expect(say([empty, invalid]) == ["refused 0.2", "refused 0.8"])
    #expect(resolved.shares(of: ServicePort(port: 80, backends: [good]), isV4: false).isEmpty)
    #expect(resolved.shares(of: ServicePort(port: 80, backends: [good]), isV4: nil).count == 1)
  }
}
