/// What a choice among endpoints may depend on besides them.
package struct BalancerContext: Sendable {
  /// A request, else a connection: they are spread differently where no TrafficPolicy says how.
  package var isRequest: Bool
  /// Of what the balancer hashes (`HashKeys`); nil: none of it is there.
  package var key: UInt64?
  /// Milliseconds of a steady clock, the one of `RoutingTable.tick`.
  package var now: UInt64

  package init(isRequest: Bool, key: UInt64? = nil, now: UInt64) {
    self.isRequest = isRequest
    self.key = key
    self.now = now
  }
}
