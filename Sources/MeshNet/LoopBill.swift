import MeshTelemetry

/// Whose work a loop does. Time is that of whole turns, shared by the events in them: to read the clock for each event would cost
/// more than most events do.
struct LoopBill {
  /// Of the bytes that an object takes with its class, its dictionary entry and its timers; measured with idle connections.
  static let memberBytes: UInt64 = 1_500

  private var microseconds: [UInt32: UInt64] = [:]
  /// Events of this turn, by workload. Mostly few: a list is faster than a table.
  private var turn: [(workload: UInt32, events: UInt64)] = []
  private var events: UInt64 = 0

  mutating func event(of workload: UInt32) {
    self.events &+= 1
    for index in self.turn.indices where self.turn[index].workload == workload {
      self.turn[index].events &+= 1
      return
    }
    self.turn.append((workload, 1))
  }

  var isOpen: Bool { self.events > 0 }

  /// The turn took so long.
  mutating func end(microseconds: UInt64) {
    for (workload, events) in self.turn {
      self.microseconds[workload, default: 0] &+= microseconds &* events / self.events
    }
    self.turn.removeAll(keepingCapacity: true)
    self.events = 0
  }

  /// Since it was asked last, with what members hold now.
  mutating func take(_ members: some Sequence<any LoopMember>) -> [WorkloadCost] {
    var costs: [UInt32: WorkloadCost] = [:]
    for (workload, microseconds) in self.microseconds {
      costs[workload] = WorkloadCost(workload: workload, microseconds: microseconds)
    }
    self.microseconds.removeAll(keepingCapacity: true)
    for member in members {
      costs[member.sourceWorkload, default: WorkloadCost(workload: member.sourceWorkload)].connections += 1
      costs[member.sourceWorkload]?.memory += Self.memberBytes + UInt64(clamping: member.heldBytes)
    }
    return Array(costs.values)
  }
}

extension LoopMember {
  var heldBytes: Int { 0 }
}

extension HTTPConnection {
  var heldBytes: Int { self.held.count - self.heldStart + self.output.count }
}

extension HTTPUpstream {
  var heldBytes: Int { self.held.count + self.output.count }
}
