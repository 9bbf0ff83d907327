import MeshBase
import MeshTestSupport
import Testing

@testable import MeshDatapath

@Suite("Users of a thing")
struct ServiceUsesTests {
  @Test("One user, many, and none again: the same as a set for each key", arguments: 0..<20)
  func model(seed: Int) {
    var random = SplitMix64(seed: UInt64(seed))
    let services = (0..<6).map { name("s\($0)") }
    var uses = ServiceUses<Int>()
    var model: [Int: Set<ResourceName>] = [:]
    for _ in 0..<400 {
      let (key, service) = (Int.random(in: 0..<4, using: &random), random.pick(services))
      if random.oneIn(2) {
        uses.insert(service, for: key)
        model[key, default: []].insert(service)
      } else {
        uses.remove(service, for: key)
        model[key]?.remove(service)
      }
      for key in 0..<4 { #expect(uses[key] == model[key] ?? []) }
      #expect(uses.isEmpty == model.values.allSatisfy(\.isEmpty))
    }
  }
}
