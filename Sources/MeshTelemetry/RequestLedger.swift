package import MeshBase

/// Requests that one loop of the proxy saw since it was asked last. Each belongs to its loop: no lock. Counting one is a look-up
/// of a small key and six additions into one flat array.
///
/// Bounded: past `limit` series further ones are summed as `RequestSeries.overflow`, so that a client which makes a server answer
/// with every status costs one series (RS-09 of the hostile inputs).
package struct RequestLedger: Sendable {
  package let limit: Int

  private var rows: [RequestSeries: Int] = [:]
  /// A row: the counts of three histograms, then their sums.
  private var numbers: [UInt64] = []
  /// Of the request before: on a connection the next one is often of the same series.
  private var last: (series: RequestSeries, row: Int)?
  private var names: [ResourceName: UInt32] = [:]
  private var nameOf: [ResourceName] = []
  /// Requests that were summed as overflow.
  package private(set) var overflowed: UInt64 = 0

  private static let stride = 3 * RequestHistogram.bucketCount + 3
  /// Of Services and workloads that were asked for since the names were forgotten.
  private static let nameLimit = 65_536

  package init(limit: Int = 2_000) { self.limit = max(1, limit) }

  package var isEmpty: Bool { self.rows.isEmpty }

  /// The number that stands for a name in outcomes, for as long as the ledger lives. Asked once a connection or a backend, not
  /// once a request. 0: there are too many names.
  package mutating func number(of name: ResourceName?) -> UInt32 {
    guard let name else { return 0 }
    if let number = self.names[name] { return number }
    guard self.nameOf.count < Self.nameLimit else { return 0 }
    self.nameOf.append(name)
    let number = UInt32(truncatingIfNeeded: self.nameOf.count)
    self.names[name] = number
    return number
  }

  package mutating func record(_ outcome: RequestOutcome) {
    let row = self.row(of: outcome.series)
    let (buckets, base) = (RequestHistogram.bucketCount, row * Self.stride)
    self.numbers[base + RequestHistogram.bucket(microseconds: outcome.microseconds)] &+= 1
    self.numbers[base + buckets + RequestHistogram.bucket(bytes: outcome.requestBytes)] &+= 1
    self.numbers[base + 2 * buckets + RequestHistogram.bucket(bytes: outcome.responseBytes)] &+= 1
    self.numbers[base + 3 * buckets] &+= outcome.microseconds
    self.numbers[base + 3 * buckets + 1] &+= outcome.requestBytes
    self.numbers[base + 3 * buckets + 2] &+= outcome.responseBytes
  }

  private mutating func row(of series: RequestSeries) -> Int {
    if let last, last.series == series { return last.row }
    if let row = self.rows[series] {
      self.last = (series, row)
      return row
    }
    // One is kept for all others.
    guard self.rows.count < self.limit - 1 || series == .overflow else {
      self.overflowed &+= 1
      return self.row(of: .overflow)
    }
    let row = self.rows.count
    self.rows[series] = row
    self.numbers.append(contentsOf: repeatElement(0, count: Self.stride))
    return row
  }

  /// What was counted since the last time, with names; the ledger begins anew.
  package mutating func take() -> [RequestCount] {
    let counts = self.rows.map { series, row in
      let base = row * Self.stride
      return RequestCount(
        series: series, service: self.name(series.service), destination: self.name(series.destination),
        duration: self.histogram(base, 0), requestBytes: self.histogram(base, 1), responseBytes: self.histogram(base, 2)
      )
    }
    self.last = nil
    self.rows.removeAll(keepingCapacity: true)
    self.numbers.removeAll(keepingCapacity: true)
    return counts
  }

  private func histogram(_ base: Int, _ index: Int) -> RequestHistogram {
    var histogram = RequestHistogram()
    let buckets = RequestHistogram.bucketCount
    for bucket in 0..<buckets { histogram.counts[bucket] = self.numbers[base + index * buckets + bucket] }
    histogram.sum = self.numbers[base + 3 * buckets + index]
    return histogram
  }

  /// Nil: the number stands for none.
  package func name(_ number: UInt32) -> ResourceName? {
    let index = Int(number) - 1
    return self.nameOf.indices.contains(index) ? self.nameOf[index] : nil
  }
}

/// Requests of one series within some time: what the proxy tells the agent.
package struct RequestCount: Hashable, Sendable {
  /// Its numbers of names mean nothing outside of the ledger: they are 0, but for the overflow's.
  package var series: RequestSeries
  package var service: ResourceName?
  package var destination: ResourceName?
  package var duration: RequestHistogram
  package var requestBytes: RequestHistogram
  package var responseBytes: RequestHistogram

  package init(
    series: RequestSeries, service: ResourceName? = nil, destination: ResourceName? = nil, duration: RequestHistogram,
    requestBytes: RequestHistogram, responseBytes: RequestHistogram
  ) {
    self.series = series
    if series != .overflow {
      self.series.service = 0
      self.series.destination = 0
    }
    self.service = service
    self.destination = destination
    self.duration = duration
    self.requestBytes = requestBytes
    self.responseBytes = responseBytes
  }
}
