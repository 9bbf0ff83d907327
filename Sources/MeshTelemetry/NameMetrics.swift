/// What the proxy's name server did, as metrics. Its words (docs/names.md, Metrics) are grouped by what they tell: questions,
/// how they were answered, what it took to ask others.
enum NameMetrics {
  /// Each answer to a client has one result.
  private static let results: [(word: String, label: String)] = [
    ("mesh", "mesh"), ("answered", "forwarded"), ("refused", "refused"), ("overloaded", "overloaded"),
    ("filtered", "filtered"), ("exhausted", "exhausted"),
  ]

  private static let upstream = [
    "forwarded", "joined", "streams", "timeouts", "failures", "mismatched", "malformed",
  ]

  static func families(_ counts: [String: UInt64]) -> [MetricFamily] {
    [
      .single(
        .counter, "martlet_dns_questions", "Questions of workloads for names that were understood.",
        .integer(counts["questions"] ?? 0)),
      MetricFamily(
        .counter, "martlet_dns_answers", "Answers to workloads, by how they came about.", labels: ["result"],
        series: self.results.map { MetricSeries([$0.label], .integer(counts[$0.word] ?? 0)) }),
      MetricFamily(
        .counter, "martlet_dns_upstream_events", "What it took to ask name servers.", labels: ["event"],
        series: self.upstream.map { MetricSeries([$0], .integer(counts[$0] ?? 0)) }),
      .single(
        .counter, "martlet_dns_truncated_answers", "Answers that were cut to what the client takes.",
        .integer(counts["truncated"] ?? 0)),
      .single(
        .counter, "martlet_dns_ignored_messages", "What workloads sent to the name server and was no question.",
        .integer(counts["ignored"] ?? 0)),
    ]
  }
}
