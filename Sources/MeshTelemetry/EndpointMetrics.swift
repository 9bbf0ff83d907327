/// What the proxy does for endpoints that fail and callers that are too many. The words come from it beside those of its name
/// server: those of `ejections`, `overflows` with the label behind a dot, once there was any of it.
package enum EndpointMetrics {
  package static let ejections = "endpoint_ejections"
  package static let ejected = "endpoint_ejected"
  package static let overflows = "upstream_overflows"
  package static let retriesOverBudget = "retries_over_budget"

  static func families(_ counts: [String: UInt64]) -> [MetricFamily] {
    func labelled(_ word: String, _ name: String, _ help: String, _ label: String) -> MetricFamily? {
      let series = counts.filter { $0.key.hasPrefix(word + ".") }.sorted { $0.key < $1.key }.map {
        MetricSeries([String($0.key.dropFirst(word.count + 1))], .integer($0.value))
      }
      return series.isEmpty ? nil : MetricFamily(.counter, name, help, labels: [label], series: series)
    }
    func plain(_ kind: MetricFamily.Kind, _ word: String, _ name: String, _ help: String) -> MetricFamily? {
      counts[word].map { MetricFamily(kind, name, help, labels: [], series: [MetricSeries([], .integer($0))]) }
    }
    return [
      labelled(
        self.ejections, "martlet_endpoint_ejections", "Endpoints that were left out because they failed, by reason.",
        "reason"),
      plain(.gauge, self.ejected, "martlet_endpoint_ejected", "Endpoints that are left out now."),
      labelled(
        self.overflows, "martlet_upstream_overflows", "What was over a limit of a service port, by what was limited.",
        "resource"),
      plain(
        .counter, self.retriesOverBudget, "martlet_retries_over_budget", "Retries that the budget did not afford."),
    ].compactMap { $0 }
  }
}
