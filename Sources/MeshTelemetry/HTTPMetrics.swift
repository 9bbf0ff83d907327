import MeshBase
import MeshSnapshot

/// Istio's HTTP metrics (istio.io, "Istio Standard Metrics"), same names, labels and buckets. Told once a request, by the proxy of
/// the caller's host.
package enum HTTPMetrics {
  /// Those of TCP, and what a request has besides.
  package static let labels = TCPMetrics.labels + ["response_code", "grpc_response_status"]

  package static func families(_ requests: RequestTotals, names: NameDirectory) -> [MetricFamily] {
    // Two keys have the same labels if two workloads do: a number that is given out anew.
    var sums: [[String]: RequestTotals.Sums] = [:]
    for (key, value) in requests.totals { sums[self.values(key, names), default: .init()].merge(value) }
    if let overflow = requests.overflow {
      sums[Array(repeating: TCPMetrics.overflowLabel, count: self.labels.count)] = overflow
    }
    func histogram(
      _ name: String, _ help: String, _ unit: Double, _ value: (RequestTotals.Sums) -> RequestHistogram
    ) -> MetricFamily {
      MetricFamily(
        .histogram, name, help, labels: self.labels,
        series: sums.map { MetricSeries($0.key, .histogram(value($0.value).metric(unit: unit))) })
    }
    return [
      MetricFamily(
        .counter, "istio_requests", "HTTP and gRPC requests.", labels: self.labels,
        series: sums.map { MetricSeries($0.key, .integer($0.value.duration.count)) }),
      histogram("istio_request_duration_milliseconds", "How long requests took.", 1000, \.duration),
      histogram("istio_request_bytes", "Bytes of the bodies of requests.", 1, \.requestBytes),
      histogram("istio_response_bytes", "Bytes of the bodies of answers.", 1, \.responseBytes),
      .single(
        .counter, "martlet_request_series_overflow",
        "Requests that found no room for a series of their own and are summed in the one labelled overflow.",
        .integer(requests.overflow?.duration.count ?? 0)),
    ]
  }

  private static func values(_ key: RequestTotals.Key, _ names: NameDirectory) -> [String] {
    TCPMetrics.values(
      reporter: "source", source: key.source, destination: key.destination, service: key.service, names: names,
      protocol: key.kind.word, flags: key.flags.text)
      + [String(key.status), key.grpcStatus.map { String($0) } ?? ""]
  }
}

extension RequestTotals.Sums {
  mutating func merge(_ other: RequestTotals.Sums) {
    self.duration.add(other.duration)
    self.requestBytes.add(other.requestBytes)
    self.responseBytes.add(other.responseBytes)
  }
}
