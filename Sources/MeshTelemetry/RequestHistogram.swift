/// How many values fell into which bucket, and their sum. The bounds are Envoy's, which Istio's metrics have.
package struct RequestHistogram: Hashable, Sendable {
  /// Upper bounds in milliseconds, or bytes; one more bucket has all above.
  package static let bounds = [
    "0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000", "300000",
    "600000", "1.8e+06", "3.6e+06",
  ]
  package static let bucketCount = Self.bounds.count + 1

  /// The same in whole units, so that no floating point is on the way of a request.
  private static let microseconds: [UInt64] = [
    500, 1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    30_000_000, 60_000_000, 300_000_000, 600_000_000, 1_800_000_000, 3_600_000_000,
  ]
  private static let bytes: [UInt64] = [
    0, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
    3_600_000,
  ]

  /// Not cumulative; `bucketCount` of them.
  package var counts: [UInt64]
  /// Microseconds, or bytes.
  package var sum: UInt64

  package init() {
    self.counts = Array(repeating: 0, count: Self.bucketCount)
    self.sum = 0
  }

  /// Nil: there have to be as many counts as buckets.
  package init?(counts: [UInt64], sum: UInt64) {
    guard counts.count == Self.bucketCount else { return nil }
    self.counts = counts
    self.sum = sum
  }

  package static func bucket(microseconds: UInt64) -> Int { self.bucket(microseconds, self.microseconds) }
  package static func bucket(bytes: UInt64) -> Int { self.bucket(bytes, self.bytes) }

  /// Most requests are small and fast, so from the low end.
  private static func bucket(_ value: UInt64, _ bounds: [UInt64]) -> Int {
    for index in bounds.indices where value <= bounds[index] { return index }
    return bounds.count
  }

  package var count: UInt64 { self.counts.reduce(0, EdgeCounters.sum) }

  /// Adds, and stays at the largest value instead of overflowing.
  package mutating func add(_ other: RequestHistogram) {
    for index in self.counts.indices { self.counts[index] = EdgeCounters.sum(self.counts[index], other.counts[index]) }
    self.sum = EdgeCounters.sum(self.sum, other.sum)
  }

  /// As both text formats write it: cumulative, the bound as text.
  func metric(unit: Double) -> MetricHistogram {
    var total: UInt64 = 0
    let buckets = zip(Self.bounds + ["+Inf"], self.counts).map { bound, count in
      total = EdgeCounters.sum(total, count)
      return MetricHistogram.Bucket(bound: bound, count: total)
    }
    return MetricHistogram(buckets: buckets, sum: Double(self.sum) / unit, count: total)
  }
}
