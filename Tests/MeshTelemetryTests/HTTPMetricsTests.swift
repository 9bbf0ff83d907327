import MeshBase
import MeshSnapshot
import Testing

@testable import MeshTelemetry

@Suite("HTTP metrics") struct HTTPMetricsTests {
  private let web = ResourceName(namespace: "shop", name: "web")

  private func totals(overflowing: Bool = false) -> RequestTotals {
    var (ledger, totals) = (RequestLedger(), RequestTotals(limit: overflowing ? 1 : 100))
    let service = ledger.number(of: self.web)
    let series = RequestSeries(
      source: 1, service: service, kind: .grpc, status: 200, grpcStatus: 14, flags: .noHealthyUpstream)
    ledger.record(RequestOutcome(series: series, microseconds: 1_500, requestBytes: 5, responseBytes: 0))
    ledger.record(RequestOutcome(series: series, microseconds: 4_000_000_000, requestBytes: 6, responseBytes: 0))
    for count in ledger.take() { totals.add(count, source: ResourceName(namespace: "shop", name: "front")) }
    if overflowing {
      ledger.record(RequestOutcome(series: RequestSeries(source: 1, status: 404, flags: .noRoute)))
      for count in ledger.take() { totals.add(count, source: nil) }
    }
    return totals
  }

  @Test("Istio's names, labels and buckets, by the grammar of both formats", arguments: TextExposition.allCases)
  func families(format: TextExposition) throws {
    let text = format.text(HTTPMetrics.families(self.totals(), names: NameDirectory()))
    let page = try ExpositionParser(text, openMetrics: format == .openMetrics)
    let labels = [
      "reporter": "source", "source_workload": "front", "source_workload_namespace": "shop",
      "destination_service": "web.shop.svc.cluster.local", "destination_service_name": "web",
      "destination_workload": "unknown", "request_protocol": "grpc", "response_code": "200",
      "grpc_response_status": "14",
      "response_flags": "UH", "connection_security_policy": "none",
    ]
    #expect(page.value("istio_requests_total", labels) == 2)
    func bucket(_ name: String, _ bound: String) -> Double? {
      page.value(
        "\(name)_bucket",
        labels.merging(["le": format == .openMetrics && !bound.contains(".") && bound != "+Inf" ? bound + ".0" : bound])
        { $1 })
    }
    let duration = "istio_request_duration_milliseconds"
    #expect(bucket(duration, "1") == 0 && bucket(duration, "5") == 1 && bucket(duration, "3.6e+06") == 1)
    #expect(bucket(duration, "+Inf") == 2 && page.value("\(duration)_count", labels) == 2)
    #expect(page.value("\(duration)_sum", labels) == 4_000_001.5)
    #expect(bucket("istio_request_bytes", "5") == 1 && bucket("istio_request_bytes", "10") == 2)
    #expect(page.value("istio_request_bytes_sum", labels) == 11)
    #expect(bucket("istio_response_bytes", "0.5") == 2 && page.value("istio_response_bytes_sum", labels) == 0)
    #expect(page.value("martlet_request_series_overflow_total") == 0)
  }

  @Test("past the limit requests are in the series labelled overflow, and counted")
  func overflow() throws {
    let families = HTTPMetrics.families(self.totals(overflowing: true), names: NameDirectory())
    let page = try ExpositionParser(TextExposition.prometheus.text(families), openMetrics: false)
    #expect(page.value("istio_requests_total", ["response_code": "overflow", "source_workload": "overflow"]) == 1)
    #expect(page.value("martlet_request_series_overflow_total") == 1)
  }

  @Test("without requests there are no series, and the page is whole")
  func none() throws {
    let text = TextExposition.openMetrics.text(HTTPMetrics.families(RequestTotals(), names: NameDirectory()))
    #expect(try ExpositionParser(text, openMetrics: true).samples.count == 1)
  }
}
