import MeshTelemetry
import Testing

@testable import MeshAgent
@testable import MeshBPF

@Suite("MapFill")
struct MapFillTests {
  private func status(_ word: String, _ entries: Int?, of capacity: UInt32) -> MapStatus {
    MapStatus(name: KernelDatapath.mapName(word), id: 1, entries: entries, maxEntries: capacity, memory: 0)
  }

  @Test("BP-01: warns from 80 % on, the fullest first; of maps with generations half counts")
  func alarm() {
    let fill = MapFill([
      self.status("svc", 80, of: 100), self.status("ep", 79, of: 100), self.status("policy", 45, of: 100),
      self.status("guards", 39, of: 100), self.status("edges", 100, of: 100), self.status("events", nil, of: 100),
      self.status("config", 1, of: 1),
    ])
    #expect(fill.full.map(\.name) == [.policy, .services])
    #expect(fill.check.state == .warn)
    #expect(fill.check.message == "almost full: policy 45 of 50 (90 %), services 80 of 100 (80 %)")
    #expect(MapFill([]).check.state == .ok)
  }

  @Test("limits are NAME=ENTRIES, of a known name and in range")
  func limits() throws {
    var sizes = MapSizes.defaults
    try sizes.set("services=100000")
    #expect(sizes[.services] == 100_000)
    for wrong in [
      "services", "services=", "services=0", "services=3", "services=-1", "services=99999999999", "cats=16",
      "services=16=16", "=16", "", "events=70000",
    ] {
      #expect(throws: (any Error).self, "\(wrong)") { try sizes.set(wrong) }
    }
    #expect(sizes[.events] == MapSizes.defaults[.events])
  }
}
