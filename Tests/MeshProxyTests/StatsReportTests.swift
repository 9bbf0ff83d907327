import MeshLink
import Testing

@testable import MeshProxy

@Suite("StatsReport")
struct StatsReportTests {
  private func stats(_ accepted: UInt64) -> ProxyStats {
    ProxyStats(active: 0, accepted: accepted, relayed: 0, sentBytes: 0, receivedBytes: 0, refused: [])
  }

  /// The seconds at which something is told.
  private func told(_ report: inout StatsReport, seconds: Range<Int>, _ accepted: (Int) -> UInt64) -> [Int] {
    seconds.filter { report.isDue() && report.isNews(self.stats(accepted($0)), []) }
  }

  @Test("while connections come, each second is told")
  func busy() {
    var report = StatsReport()
    #expect(self.told(&report, seconds: 0..<5) { UInt64($0) } == [0, 1, 2, 3, 4])
  }

  @Test("at rest every sixth second is told, and what comes then within three")
  func quiet() {
    var report = StatsReport()
    let moments = self.told(&report, seconds: 0..<20) { _ in 7 }
    #expect(moments.first == 0)
    #expect(zip(moments, moments.dropFirst()).allSatisfy { $1 - $0 <= 6 && $1 - $0 >= 4 })
    let news = self.told(&report, seconds: 20..<26) { _ in 8 }
    #expect((news.first ?? 99) <= 22)
  }

  @Test("names that were asked are news as well")
  func names() {
    var report = StatsReport()
    #expect(report.isDue() && report.isNews(self.stats(1), []))
    #expect(report.isDue() && report.isNews(self.stats(1), [NamedCount("asked", 1)]))
    #expect(report.isDue() && !report.isNews(self.stats(1), [NamedCount("asked", 1)]))
  }
}
