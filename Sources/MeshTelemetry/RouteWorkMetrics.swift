/// What the proxy did for routes beside leading requests on. The words come from it beside those of its name server, once there
/// was any of it.
package enum RouteWorkMetrics {
  package static let retries = "route_retries"
  package static let mirrored = "route_mirrored"

  static func families(_ counts: [String: UInt64]) -> [MetricFamily] {
    [
      (self.retries, "martlet_request_retries", "Attempts at requests after the first, because a route asks for them."),
      (self.mirrored, "martlet_mirrored_requests", "Copies of requests that were sent to mirrors."),
    ].compactMap { word, name, help in
      counts[word].map { MetricFamily(.counter, name, help, labels: [], series: [MetricSeries([], .integer($0))]) }
    }
  }
}
