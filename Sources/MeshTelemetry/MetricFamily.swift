/// A metric: one name, one meaning, one list of label names, any number of series.
package struct MetricFamily: Sendable, Hashable {
  package enum Kind: String, Sendable {
    /// Rises only; a sample's name ends with `_total`.
    case counter
    case gauge
    /// Its series have buckets.
    case histogram
  }

  /// Without `_total`.
  package var name: String
  package var kind: Kind
  package var help: String
  package var labels: [String]
  package var series: [MetricSeries]

  package init(_ kind: Kind, _ name: String, _ help: String, labels: [String] = [], series: [MetricSeries] = []) {
    self.name = name
    self.kind = kind
    self.help = help
    self.labels = labels
    self.series = series
  }

  /// The name of a sample.
  package var sampleName: String { self.kind == .counter ? self.name + "_total" : self.name }

  /// One value without labels.
  package static func single(_ kind: Kind, _ name: String, _ help: String, _ value: MetricValue) -> MetricFamily {
    MetricFamily(kind, name, help, series: [MetricSeries([], value)])
  }
}

/// One line: a value for each label of the family, and the value.
package struct MetricSeries: Sendable, Hashable {
  package var labels: [String]
  package var value: MetricValue

  package init(_ labels: [String], _ value: MetricValue) {
    self.labels = labels
    self.value = value
  }
}

package enum MetricValue: Sendable, Hashable {
  case integer(UInt64)
  case real(Double)
  case histogram(MetricHistogram)

  /// As both formats write numbers: no exponent for integers, `NaN`, `+Inf`, `-Inf`.
  package var text: String {
    switch self {
    case .integer(let value): String(value)
    case .real(let value):
      value.isNaN ? "NaN" : value == .infinity ? "+Inf" : value == -.infinity ? "-Inf" : "\(value)"
    case .histogram(let value): String(value.count)
    }
  }
}

/// What a series of a histogram is written as.
package struct MetricHistogram: Sendable, Hashable {
  package struct Bucket: Sendable, Hashable {
    /// The label `le`; the last is `+Inf`.
    package var bound: String
    /// Of all values up to the bound.
    package var count: UInt64
  }

  package var buckets: [Bucket]
  package var sum: Double
  package var count: UInt64
}
