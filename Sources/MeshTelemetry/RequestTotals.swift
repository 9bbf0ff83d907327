package import MeshBase

/// All requests since the agent started, by the names that metrics have: sums of what proxies told, so a proxy that is replaced
/// takes nothing away. Bounded as `EdgeLedger` is.
package struct RequestTotals: Sendable {
  package struct Key: Hashable, Sendable {
    package var source: ResourceName?
    package var service: ResourceName?
    package var destination: ResourceName?
    package var kind: RequestSeries.Kind
    package var status: UInt16
    package var grpcStatus: UInt8?
    package var flags: ResponseFlags
  }

  package struct Sums: Hashable, Sendable {
    package var duration = RequestHistogram()
    package var requestBytes = RequestHistogram()
    package var responseBytes = RequestHistogram()

    mutating func add(_ count: RequestCount) {
      self.duration.add(count.duration)
      self.requestBytes.add(count.requestBytes)
      self.responseBytes.add(count.responseBytes)
    }
  }

  package let limit: Int
  package private(set) var totals: [Key: Sums] = [:]
  /// Of all that found no room, here or in the proxy.
  package private(set) var overflow: Sums?

  package init(limit: Int = 5_000) { self.limit = max(1, limit) }

  /// `source`: the workload that the count's number stands for.
  package mutating func add(_ count: RequestCount, source: ResourceName?) {
    let key = Key(
      source: source, service: count.service, destination: count.destination, kind: count.series.kind,
      status: count.series.status, grpcStatus: count.series.grpcStatus, flags: count.series.flags)
    guard count.series != .overflow, self.totals[key] != nil || self.totals.count < self.limit else {
      self.overflow = self.overflow ?? Sums()
      self.overflow?.add(count)
      return
    }
    self.totals[key, default: Sums()].add(count)
  }
}
