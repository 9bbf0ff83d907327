import Synchronization

/// What limits and ejections did since the proxy began, over all service ports: for metrics, whose counters do not go back when a
/// service goes.
package final class UpstreamTotals: Sendable {
  private let ejections = InlineArray<3, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
  private let overflows = InlineArray<4, Atomic<UInt64>> { _ in Atomic<UInt64>(0) }
  private let overBudget = Atomic<UInt64>(0)

  package init() {}

  func ejected(_ reason: EjectionReason) { self.ejections[reason.number].wrappingAdd(1, ordering: .relaxed) }

  func overflowed(_ resource: UpstreamRecord.Resource) {
    self.overflows[resource.rawValue].wrappingAdd(1, ordering: .relaxed)
  }

  func wasOverBudget() { self.overBudget.wrappingAdd(1, ordering: .relaxed) }

  package func ejections(_ reason: EjectionReason) -> UInt64 { self.ejections[reason.number].load(ordering: .relaxed) }

  package func overflows(_ resource: UpstreamRecord.Resource) -> UInt64 {
    self.overflows[resource.rawValue].load(ordering: .relaxed)
  }

  package var retriesOverBudget: UInt64 { self.overBudget.load(ordering: .relaxed) }
}

extension EjectionReason {
  fileprivate var number: Int {
    switch self {
    case .consecutiveErrors: 0
    case .consecutiveGatewayErrors: 1
    case .successRate: 2
    }
  }
}
