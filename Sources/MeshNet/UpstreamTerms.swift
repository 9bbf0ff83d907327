import MeshSnapshot

/// How long a connection toward an endpoint is used, and how much: what a TrafficPolicy says, else what holds for the proxy.
struct UpstreamTerms: Equatable {
  /// Milliseconds without a request.
  var idle: UInt64
  /// Milliseconds from the beginning on; a request that is under way then is the last one.
  var lifetime: UInt64
  /// Requests in all.
  var requests: UInt64
  /// Requests at once, on HTTP/2.
  var streams: Int

  /// - idle: where the policy says nothing.
  init(_ pool: PoolSettings? = nil, idle: UInt64) {
    self.idle = pool?.idleMilliseconds.map { UInt64($0) } ?? idle
    self.lifetime = pool?.lifetimeMilliseconds.map { UInt64($0) } ?? .max
    self.requests = pool?.requestsPerConnection.map { UInt64($0) } ?? .max
    self.streams = pool?.streamsPerConnection.map { Int($0) } ?? .max
  }

  /// When one that began then is used no more, whatever it does.
  func end(of began: UInt64) -> UInt64 {
    let (end, isLater) = began.addingReportingOverflow(self.lifetime)
    return isLater ? .max : end
  }

  /// Until when it waits for a request that has waited since `rested`.
  func patience(since rested: UInt64, began: UInt64) -> UInt64 {
    let (end, isLater) = rested.addingReportingOverflow(self.idle)
    return min(isLater ? .max : end, self.end(of: began))
  }
}
