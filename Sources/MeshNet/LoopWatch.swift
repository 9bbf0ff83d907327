/// Finds event loops that do not come back from a turn (F-27): after two seconds it is told, with what the thread does; after ten the
/// process ends, so that its successor serves. Other loops go on accepting meanwhile. Pure; times in milliseconds of a steady clock.
package struct LoopWatch: Sendable {
  package enum Finding: Equatable, Sendable {
    case stuck(loop: Int, milliseconds: UInt64)
    case recovered(loop: Int, milliseconds: UInt64)
    /// Nothing can be expected of it any more.
    case lost(loop: Int, milliseconds: UInt64)
  }

  package static let tellAfter: UInt64 = 2_000
  package static let endAfter: UInt64 = 10_000
  package static let interval: UInt64 = 1_000
  /// From one look to the next no more than this counts: a process that was stopped, or whose host slept, is not stuck.
  private static let mostOfStep: UInt64 = 1_500

  private struct State {
    var turn: UInt64 = 0
    var spent: UInt64 = 0
    var isTold = false
  }

  private var states: [State]
  private var last: UInt64?

  package init(loops: Int) { self.states = Array(repeating: State(), count: loops) }

  /// - turns: of each loop, how often it began to work or to wait: odd while it works.
  package mutating func look(_ turns: [UInt64], now: UInt64) -> [Finding] {
    let step = self.last.map { min(now > $0 ? now - $0 : 0, Self.mostOfStep) } ?? 0
    self.last = now
    var findings: [Finding] = []
    for (loop, turn) in turns.enumerated() where loop < self.states.count {
      var state = self.states[loop]
      defer { self.states[loop] = state }
      guard turn % 2 == 1, turn == state.turn else {
        if state.isTold { findings.append(.recovered(loop: loop, milliseconds: state.spent)) }
        state = State(turn: turn)
        continue
      }
      state.spent += step
      if state.spent >= Self.endAfter {
        findings.append(.lost(loop: loop, milliseconds: state.spent))
      } else if state.spent >= Self.tellAfter, !state.isTold {
        state.isTold = true
        findings.append(.stuck(loop: loop, milliseconds: state.spent))
      }
    }
    return findings
  }
}
