/// What the proxy did for routes beside leading requests on. The words come from it beside those of its name server, once there
/// was any of it.
package enum RouteWorkMetrics {
  package static let retries = "route_retries"
  package static let mirrored = "route_mirrored"
  package static let delayed = "route_delayed"
  package static let aborted = "route_aborted"

  static func families(_ counts: [String: UInt64]) -> [MetricFamily] {
    [
      (self.retries, "martlet_request_retries", "Attempts at requests after the first, because a route asks for them."),
      (self.mirrored, "martlet_mirrored_requests", "Copies of requests that were sent to mirrors."),
      (self.delayed, "martlet_delayed_requests", "Requests that were held up on purpose."),
      (self.aborted, "martlet_aborted_requests", "Requests that were answered on purpose."),
    ].compactMap { word, name, help in
      counts[word].map { MetricFamily(.counter, name, help, labels: [], series: [MetricSeries([], .integer($0))]) }
    }
  }
}
