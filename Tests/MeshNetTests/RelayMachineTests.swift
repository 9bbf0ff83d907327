import MeshNet
import Testing

@Suite struct RelayMachineTests {
  private func relaying() -> RelayMachine {
    var machine = RelayMachine()
    #expect(machine.connected() == .none)
    return machine
  }

  @Test(
    "half-close: each direction ends on its own, and the relay when both sides are closed",
    arguments: RelaySide.allCases)
  func halfClose(first: RelaySide) {
    var machine = self.relaying()
    #expect(machine.inputEnded(first) == .flush(first.other))
    #expect(machine.phase == .relaying)
    #expect(machine.flushed(first.other) == .shutdownOutput(first.other))
    #expect(first == .client ? machine.outward == .ended : machine.homeward == .ended)
    #expect(first == .client ? machine.homeward == .flowing : machine.outward == .flowing)
    #expect(machine.inputEnded(first.other) == .flush(first))
    #expect(machine.flushed(first) == .shutdownOutput(first))
    #expect(machine.closed(first) == .none)
    #expect(machine.phase == .relaying)
    #expect(machine.closed(first.other) == .end)
    #expect(machine.phase == .over)
  }

  @Test("a side that closes after its output ended has sent FIN", arguments: RelaySide.allCases)
  func closeMeansEnd(side: RelaySide) {
    var machine = self.relaying()
    _ = machine.inputEnded(side.other)
    _ = machine.flushed(side)
    #expect(machine.closed(side) == .flush(side.other))
    #expect(machine.flushed(side.other) == .shutdownOutput(side.other))
    #expect(machine.closed(side.other) == .end)
  }

  @Test("a failure of one side is an RST on the other", arguments: RelaySide.allCases)
  func failure(side: RelaySide) {
    var machine = self.relaying()
    #expect(machine.failed(side) == .abort(side.other))
    #expect(machine.phase == .over)
    #expect(machine.closed(side) == .none)
    #expect(machine.closed(side.other) == .none)
    #expect(machine.inputEnded(side) == .none)
    #expect(machine.flushed(side) == .none)
  }

  @Test("a side that closes while bytes to it wait has failed", arguments: RelaySide.allCases)
  func closedEarly(side: RelaySide) {
    var machine = self.relaying()
    #expect(machine.closed(side) == .abort(side.other))
    machine = self.relaying()
    _ = machine.inputEnded(side.other)
    #expect(machine.closed(side) == .abort(side.other))
    machine = self.relaying()
    _ = machine.inputEnded(side)
    #expect(machine.closed(side) == .abort(side.other))
    #expect(machine.phase == .over)
  }

  @Test("a client that fails while the upstream is dialled ends the dial")
  func abandon() {
    var machine = RelayMachine()
    #expect(machine.failed(.client) == .abandonDial)
    #expect(machine.phase == .over)
    #expect(machine.connected() == .none)
    #expect(machine.refused() == .none)
    machine = RelayMachine()
    #expect(machine.closed(.client) == .abandonDial)
  }

  @Test("a client that ends its input before the upstream stands has it passed on afterwards")
  func earlyEnd() {
    var machine = RelayMachine()
    #expect(machine.inputEnded(.client) == .none)
    #expect(machine.phase == .connecting)
    #expect(machine.connected() == .flush(.upstream))
    #expect(machine.flushed(.upstream) == .shutdownOutput(.upstream))
  }

  @Test("a refused connection is an RST to the client")
  func refused() {
    var machine = RelayMachine()
    #expect(machine.refused() == .abort(.client))
    #expect(machine.phase == .over)
    #expect(machine.connected() == .none)
  }

  @Test("any order of any events ends in a phase with no action after it")
  func everyOrder() {
    let events: [(inout RelayMachine) -> RelayMachine.Action] = [
      { $0.connected() }, { $0.refused() }, { $0.inputEnded(.client) }, { $0.inputEnded(.upstream) },
      { $0.flushed(.client) }, { $0.flushed(.upstream) }, { $0.failed(.client) }, { $0.failed(.upstream) },
      { $0.closed(.client) }, { $0.closed(.upstream) },
    ]
    func explore(_ machine: RelayMachine, _ depth: Int) {
      if depth == 0 { return }
      for event in events {
        var next = machine
        let action = event(&next)
        if machine.phase == .over {
          #expect(action == .none && next == machine)
        } else if next.phase != .over {
          explore(next, depth - 1)
        }
      }
    }
    explore(RelayMachine(), 5)
  }
}
