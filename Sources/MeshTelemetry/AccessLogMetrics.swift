/// What became of the entries of the access log. The words come from the proxy beside those of its name server.
package enum AccessLogMetrics {
  package static let written = "log_written"
  /// More came than could be written.
  package static let overflowed = "log_overflowed"
  /// There was no file, or it took no more.
  package static let failed = "log_failed"

  /// Nothing where there is no log.
  static func families(_ counts: [String: UInt64]) -> [MetricFamily] {
    guard counts[self.written] != nil else { return [] }
    return [
      MetricFamily(
        .counter, "martlet_access_log_entries", "Entries of the proxy's access log, written or dropped.",
        labels: ["result"],
        series: [("written", self.written), ("overflowed", self.overflowed), ("failed", self.failed)].map {
          MetricSeries([$0.0], .integer(counts[$0.1] ?? 0))
        })
    ]
  }
}
