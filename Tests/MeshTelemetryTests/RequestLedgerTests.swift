import MeshBase
import Testing

@testable import MeshTelemetry

@Suite("Requests, counted") struct RequestLedgerTests {
  private let web = ResourceName(namespace: "shop", name: "web")
  private let pod = ResourceName(namespace: "shop", name: "web-1")

  private func outcome(
    _ ledger: inout RequestLedger, source: UInt32 = 1, status: UInt16 = 200, microseconds: UInt64 = 700,
    request: UInt64 = 0, response: UInt64 = 42
  ) -> RequestOutcome {
    RequestOutcome(
      series: RequestSeries(
        source: source, service: ledger.number(of: self.web), destination: ledger.number(of: self.pod), status: status),
      microseconds: microseconds, requestBytes: request, responseBytes: response)
  }

  @Test("a value is in the bucket whose bound is the first that is not below it")
  func buckets() {
    let bounds = RequestHistogram.bounds.compactMap(Double.init)
    #expect(bounds.count == 19 && bounds == bounds.sorted())
    for value: UInt64 in [0, 1, 499, 500, 501, 1000, 1001, 24_999, 25_000, 3_600_000_000, 3_600_000_001, .max] {
      let bucket = RequestHistogram.bucket(microseconds: value)
      #expect(bucket == bounds.firstIndex { Double(value) / 1000 <= $0 } ?? 19, "\(value) µs")
    }
    for value: UInt64 in [0, 1, 2, 5, 6, 50, 51, 3_600_000, 3_600_001, .max] {
      #expect(
        RequestHistogram.bucket(bytes: value) == bounds.firstIndex { Double(value) <= $0 } ?? 19, "\(value) bytes")
    }
  }

  @Test("what is recorded is taken once, with names, and one series a combination")
  func take() {
    var ledger = RequestLedger()
    for _ in 0..<3 { ledger.record(self.outcome(&ledger)) }
    ledger.record(self.outcome(&ledger, status: 404))
    let counts = ledger.take()
    #expect(counts.count == 2)
    let good = counts.first { $0.series.status == 200 }
    #expect(good?.service == self.web && good?.destination == self.pod)
    #expect(good?.duration.count == 3 && good?.duration.sum == 2100 && good?.duration.counts[1] == 3)
    #expect(good?.requestBytes.counts[0] == 3 && good?.responseBytes.sum == 126)
    #expect(ledger.isEmpty && ledger.take().isEmpty)
    // The numbers of names go on.
    ledger.record(self.outcome(&ledger))
    #expect(ledger.take().first?.service == self.web)
  }

  @Test("series are bounded, and nothing is lost: what finds no room is in one series (RS-09)")
  func cap() {
    var ledger = RequestLedger(limit: 4)
    for status: UInt16 in 0..<100 { ledger.record(self.outcome(&ledger, status: status)) }
    let counts = ledger.take()
    #expect(counts.count == 4 && ledger.overflowed == 97)
    #expect(counts.reduce(0) { $0 + $1.duration.count } == 100)
    #expect(counts.first { $0.series == .overflow }?.duration.count == 97)
  }

  @Test("a number that no name has stands for none")
  func noName() {
    var ledger = RequestLedger()
    #expect(ledger.number(of: nil) == 0)
    ledger.record(RequestOutcome(series: RequestSeries(source: 1, service: 77, status: 503, flags: .noHealthyUpstream)))
    #expect(ledger.take().first?.service == nil)
  }

  @Test("totals grow over proxies, are bounded, and keep the proxies' overflow")
  func totals() {
    var (ledger, totals) = (RequestLedger(), RequestTotals(limit: 2))
    for round in 0..<2 {
      for status: UInt16 in [200, 404, 500] { ledger.record(self.outcome(&ledger, status: status)) }
      // In the order of statuses, so that the same ones find room.
      for count in ledger.take().sorted(by: { $0.series.status < $1.series.status }) {
        totals.add(count, source: self.pod)
      }
      #expect(totals.totals.count == 2 && totals.overflow?.duration.count == UInt64(round + 1))
    }
    #expect(totals.totals.values.allSatisfy { $0.duration.count == 2 })
    totals.add(
      RequestCount(series: .overflow, duration: .init(), requestBytes: .init(), responseBytes: .init()), source: nil)
    #expect(totals.totals.count == 2)
  }

  @Test("flags have Envoy's words")
  func flags() {
    #expect(ResponseFlags().text == "-")
    #expect(ResponseFlags.noRoute.text == "NR")
    #expect(ResponseFlags([.upstreamConnectionFailure, .upstreamRetryLimitExceeded]).text == "UF,URX")
    #expect(ResponseFlags.known.text == "NR,NC,UH,UF,UC,UR,UT,UPE,UO,URX,DC,DPE,DT,SI,DI,FI")
  }
}
