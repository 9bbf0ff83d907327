import Logging
import MeshBase
import MeshLink
import MeshRouting
import MeshTelemetry

/// What the proxy tells of its endpoints: what happened to its log, how they are to the agent, and counts for metrics.
struct EndpointTelling {
  /// Of endpoints, in a message.
  private static let most = 1_000
  /// While something changes all the time; in turns of a second.
  private static let pause = 3

  private var last: [UpstreamState] = []
  private var turns = 0

  /// Once a second, in milliseconds of a steady clock.
  static func tick(_ table: RoutingTable, now: UInt64, _ logger: Logger) {
    for event in table.tick(now: now) {
      var metadata: Logger.Metadata = [
        LogKey.service: "\(event.service):\(event.port)", LogKey.destination: "\(event.endpoint.target)",
      ]
      if let workload = event.endpoint.workload { metadata[LogKey.workload] = "\(workload)" }
      switch event.change {
      case .ejected(let reason, let milliseconds):
        metadata[LogKey.reason] = "\(reason.rawValue)"
        metadata[LogKey.duration] = "\(milliseconds)"
        logger.warning("endpoint ejected", metadata: metadata)
      case .returned: logger.notice("endpoint is back", metadata: metadata)
      }
    }
  }

  static func counts(_ table: RoutingTable, now: UInt64) -> [NamedCount] {
    let totals = table.totals
    var counts = EjectionReason.allCases.map {
      NamedCount("\(EndpointMetrics.ejections).\($0.rawValue)", totals.ejections($0))
    }
    if counts.contains(where: { $0.count > 0 }) {
      counts.append(NamedCount(EndpointMetrics.ejected, UInt64(Self.ejected(table, now: now))))
    } else {
      counts = []
    }
    counts += UpstreamRecord.Resource.allCases.map {
      NamedCount("\(EndpointMetrics.overflows).\($0.word)", totals.overflows($0))
    }.filter { $0.count > 0 }
    if totals.retriesOverBudget > 0 {
      counts.append(NamedCount(EndpointMetrics.retriesOverBudget, totals.retriesOverBudget))
    }
    return counts
  }

  private static func ejected(_ table: RoutingTable, now: UInt64) -> Int {
    table.notableStates(now: now).flatMap(\.endpoints).count {
      if case .ejected = $0.health { true } else { false }
    }
  }

  /// Messages, if there is something new, or for an agent that is. The first takes the place of all that was told before.
  mutating func messages(_ table: RoutingTable, isNewAgent: Bool, now: UInt64) -> [ProxyMessage] {
    self.turns += 1
    guard isNewAgent || self.turns >= Self.pause else { return [] }
    let states = table.notableStates(now: now).flatMap { $0.parts(ofAtMost: Self.most) }
    guard isNewAgent || states != self.last else { return [] }
    self.turns = 0
    self.last = states
    var messages: [ProxyMessage] = []
    var rest = states[...]
    repeat {
      var count = 0
      let part = rest.prefix { state in
        // A part of `most` fits alone, and those without endpoints are something too.
        count += max(1, state.endpoints.count)
        return count <= Self.most
      }
      messages.append(.upstreams(isFirst: messages.isEmpty, Array(part)))
      rest = rest.dropFirst(part.count)
    } while !rest.isEmpty
    return messages
  }
}
