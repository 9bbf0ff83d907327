import Testing

@testable import MeshTelemetry

@Suite struct EndpointMetricsTests {
  @Test("nothing of what never happened; reasons and resources are labels")
  func families() {
    #expect(EndpointMetrics.families([:]).isEmpty)
    let text = TextExposition.prometheus.text(
      EndpointMetrics.families([
        "endpoint_ejections.success_rate": 2, "endpoint_ejections.consecutive_errors": 0, "endpoint_ejected": 1,
        "upstream_overflows.requests": 7, "retries_over_budget": 3, "other": 5,
      ]))
    for line in [
      "martlet_endpoint_ejections_total{reason=\"success_rate\"} 2",
      "martlet_endpoint_ejections_total{reason=\"consecutive_errors\"} 0", "martlet_endpoint_ejected 1",
      "martlet_upstream_overflows_total{resource=\"requests\"} 7", "martlet_retries_over_budget_total 3",
    ] { #expect(text.contains(line + "\n"), "\(text)") }
    #expect(!text.contains("other"))
  }
}
