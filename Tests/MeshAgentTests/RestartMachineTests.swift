import Testing

@testable import MeshAgent

@Suite("The restart machine of the proxy")
struct RestartMachineTests {
  @Test("starts the proxy once")
  func start() {
    var machine = RestartMachine()
    #expect(machine.start(at: 0, adopted: false) == .spawn)
    #expect(machine.phase == .running(since: 0))
    #expect(machine.start(at: 1, adopted: false) == .none)
  }

  @Test("leaves an adopted proxy alone until it dies")
  func adopted() {
    var machine = RestartMachine()
    #expect(machine.start(at: 5, adopted: true) == .none)
    #expect(machine.phase == .running(since: 5))
    #expect(machine.ended(at: 20_000) == .spawn)
    #expect(machine.restarts == 1)
  }

  @Test("restarts at once after a long life, and waits longer after each young death")
  func backoff() {
    var machine = RestartMachine()
    _ = machine.start(at: 0, adopted: false)
    #expect(machine.ended(at: 10) == .spawn)
    var now: Int64 = 20
    var delays: [Int64] = []
    for _ in 0..<9 {
      guard case .wait(let delay) = machine.ended(at: now) else {
        Issue.record("expected a wait at \(now)")
        return
      }
      delays.append(delay)
      #expect(machine.phase == .waiting(until: now + delay))
      #expect(machine.waited(at: now + delay - 1) == .wait(milliseconds: 1))
      now += delay
      #expect(machine.waited(at: now) == .spawn)
      now += 1
    }
    #expect(delays == [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000])
    #expect(machine.ended(at: now + RestartMachine.settledMilliseconds) == .spawn)
  }

  @Test("one that served for a quarter of a second is restarted at once, however often; one that hardly served is not")
  func served() {
    var machine = RestartMachine()
    _ = machine.start(at: 0, adopted: false)
    var now: Int64 = 0
    for _ in 0..<50 {
      machine.served(at: now + 20)
      now += 20 + RestartMachine.servedMilliseconds
      #expect(machine.ended(at: now) == .spawn)
    }
    #expect(machine.restarts == 50)
    machine.served(at: now + 20)
    #expect(machine.ended(at: now + 30) == .spawn)
    machine.served(at: now + 50)
    #expect(machine.ended(at: now + 60) == .wait(milliseconds: 100))
  }

  @Test("one that another replaced is forgotten: the new one runs since then")
  func replaced() {
    var machine = RestartMachine()
    _ = machine.start(at: 0, adopted: false)
    _ = machine.ended(at: 1)
    _ = machine.ended(at: 2)
    #expect(machine.phase == .waiting(until: 102))
    machine.replaced(at: 50)
    #expect(machine.phase == .running(since: 50))
    #expect(machine.ended(at: 50 + RestartMachine.servedMilliseconds) == .spawn)
  }

  @Test("does nothing after it was stopped")
  func stopped() {
    var machine = RestartMachine()
    _ = machine.start(at: 0, adopted: false)
    machine.stop()
    #expect(machine.ended(at: 1) == .none)
    #expect(machine.waited(at: 1) == .none)
    #expect(machine.phase == .stopped)
  }
}
