import Testing

@testable import MeshAgent

@Suite("Generations of the proxy")
struct ProxyGenerationsTests {
  private func serving(_ process: Int32 = 1) -> ProxyGenerations {
    var machine = ProxyGenerations(drainMilliseconds: 300_000)
    #expect(machine.start(at: 0, found: .init()) == [.start])
    machine.started(process, at: 0)
    machine.linked(process)
    #expect(machine.accepting(process, at: 10) == [])
    #expect(machine.nextDeadline == nil)
    return machine
  }

  @Test("a new proxy takes over when it has the snapshot, and the old one drains when the new one accepts")
  func replaced() {
    var machine = self.serving()
    #expect(machine.replace() == [.prepare])
    #expect(machine.prepared(2, at: 1000) == [])
    #expect(machine.upgrade == .preparing(2, deadline: 11_000))
    #expect(machine.replace() == nil)
    #expect(machine.nextDeadline == 11_000)
    #expect(machine.accepting(2, at: 1001) == [])
    #expect(machine.ready(2) == [.promote(2)])
    #expect(machine.upgrade == .takingOver(2, deadline: 11_000))
    #expect(machine.serving == 1)
    #expect(machine.accepting(2, at: 1100) == [.drain(1), .replaced(by: 2)])
    #expect(machine.serving == 2 && machine.upgrade == .none && machine.replaced == 1)
    #expect(machine.drains(1, at: 1200) == [])
    #expect(machine.nextDeadline == 311_100)
    #expect(machine.ended(1, "exit status 0", at: 2000) == [])
    #expect(machine.nextDeadline == nil)
    // The new one is what is started again from here on.
    #expect(machine.ended(2, "signal 9", at: 3000) == [.start])
  }

  @Test("a new proxy that ends before it is ready is given up, and the old one is not touched")
  func crashes() {
    var machine = self.serving()
    _ = machine.replace()
    _ = machine.prepared(2, at: 0)
    #expect(
      machine.ended(2, "exit status 1", at: 5) == [.gaveUp(reason: "it ended before it was ready: exit status 1")])
    #expect(machine.upgrade == .none && machine.serving == 1 && machine.givenUp == 1)
    #expect(machine.replace() == [.prepare])
    #expect(machine.notPrepared("no such file", at: 6) == [.gaveUp(reason: "no such file")])
    #expect(machine.givenUp == 2 && machine.upgrade == .none)
  }

  @Test("one that speaks another protocol is replaced at once, or when there is a snapshot; a candidate is given up")
  func foreign() {
    var machine = ProxyGenerations(drainMilliseconds: 300_000)
    #expect(machine.start(at: 0, found: .init(serving: 1)) == [])
    #expect(machine.speaksAnother(1, "protocol 6", hasSnapshot: true, at: 5) == [.prepare])
    #expect(machine.snapshotCame() == [])
    #expect(machine.prepared(2, at: 10) == [])
    #expect(machine.ready(2) == [.promote(2)])
    #expect(machine.accepting(2, at: 20) == [.drain(1), .replaced(by: 2)])
    #expect(machine.serving == 2)
    #expect(machine.drains(1, at: 30) == [])
    // Told again by a later connection, or of one that is gone: nothing follows.
    #expect(machine.speaksAnother(1, "protocol 6", hasSnapshot: true, at: 40) == [])
    #expect(machine.snapshotCame() == [])

    var waiting = ProxyGenerations(drainMilliseconds: 300_000)
    _ = waiting.start(at: 0, found: .init(serving: 1))
    #expect(waiting.speaksAnother(1, "protocol 6", hasSnapshot: false, at: 5) == [])
    // Another one could not be told anything either: it is not tried before long.
    #expect(waiting.passed(20_000) == [])
    #expect(waiting.snapshotCame() == [.prepare])
    #expect(waiting.notPrepared("no such file", at: 21_000) == [.gaveUp(reason: "no such file")])
    #expect(waiting.passed(60_005) == [.prepare])

    var steady = self.serving()
    _ = steady.replace()
    _ = steady.prepared(2, at: 1000)
    #expect(
      steady.speaksAnother(2, "protocol 8", hasSnapshot: true, at: 1001) == [.kill(2), .gaveUp(reason: "protocol 8")])
    #expect(steady.serving == 1 && steady.upgrade == .none)
  }

  @Test("who asks second in one moment is told so, also before the new proxy is started")
  func asksTwice() {
    var machine = self.serving()
    #expect(machine.replace() == [.prepare])
    #expect(machine.upgrade == .asked)
    #expect(machine.replace() == nil)
    #expect(machine.nextDeadline == nil)
    // The old one dies in that moment: the new one does not wait for the snapshot first.
    #expect(machine.ended(1, "signal 9", at: 5) == [])
    #expect(machine.prepared(2, at: 6) == [.promote(2)])

    // Or the new one cannot be started: then the old program is.
    var alone = self.serving()
    _ = alone.replace()
    #expect(alone.ended(1, "signal 9", at: 5) == [])
    #expect(alone.notPrepared("no such file", at: 6) == [.gaveUp(reason: "no such file"), .start])
    #expect(alone.replace() == [.prepare])

    // One in a loop of crashes waits for its next start as before.
    var looping = ProxyGenerations(drainMilliseconds: 0)
    _ = looping.start(at: 0, found: .init())
    looping.started(1, at: 0)
    _ = looping.ended(1, "exit status 1", at: 1)
    looping.started(2, at: 1)
    _ = looping.ended(2, "exit status 1", at: 2)
    _ = looping.replace()
    #expect(looping.notPrepared("no such file", at: 3) == [.gaveUp(reason: "no such file")])
    #expect(looping.passed(102) == [.start])
  }

  @Test("a new proxy that hangs before it is ready is killed after ten seconds")
  func hangs() {
    var machine = self.serving()
    _ = machine.replace()
    _ = machine.prepared(2, at: 1000)
    #expect(machine.passed(10_999) == [])
    #expect(machine.passed(11_000) == [.kill(2), .gaveUp(reason: "it was not ready within 10 s")])
    #expect(machine.upgrade == .none && machine.serving == 1)
    #expect(machine.ended(2, "signal 9", at: 11_010) == [])
    #expect(machine.ready(2) == [])
  }

  @Test("a new proxy that takes the listeners and hangs is killed; only when it is gone the old one has them again")
  func hangsWithListeners() {
    var machine = self.serving()
    _ = machine.replace()
    _ = machine.prepared(2, at: 0)
    _ = machine.ready(2)
    #expect(machine.passed(10_000) == [.kill(2), .gaveUp(reason: "it did not accept within 10 s")])
    #expect(machine.upgrade == .ending(2))
    #expect(machine.ended(2, "signal 9", at: 10_010) == [.promote(1), .handOverAgain])
    #expect(machine.upgrade == .none && machine.serving == 1)
  }

  @Test("a new proxy that refuses the snapshot is given up")
  func refuses() {
    var machine = self.serving()
    _ = machine.replace()
    _ = machine.prepared(2, at: 0)
    #expect(machine.refused(1, "no", at: 1) == [])
    #expect(machine.refused(2, "no", at: 1) == [.kill(2), .gaveUp(reason: "no")])
    #expect(machine.upgrade == .none)
  }

  @Test("when the old proxy dies meanwhile, the new one is promoted at once and no third one is started")
  func oldDies() {
    var machine = self.serving()
    _ = machine.replace()
    _ = machine.prepared(2, at: 0)
    #expect(machine.ended(1, "signal 9", at: 5) == [.promote(2)])
    #expect(machine.upgrade == .takingOver(2, deadline: 10_000) && machine.serving == nil)
    #expect(machine.accepting(2, at: 20) == [.replaced(by: 2)])
    #expect(machine.serving == 2)

    var both = self.serving()
    _ = both.replace()
    _ = both.prepared(2, at: 0)
    _ = both.ready(2)
    #expect(both.ended(1, "signal 9", at: 5) == [.handOverAgain])
    #expect(both.ended(2, "signal 9", at: 6) == [.gaveUp(reason: "it ended before it accepted: signal 9"), .start])
    #expect(both.upgrade == .none && both.serving == nil)
  }

  @Test("a proxy in a loop of crashes is replaced by a new one without waiting for its next start")
  func replacesWhatDoesNotStart() {
    var machine = ProxyGenerations(drainMilliseconds: 0)
    _ = machine.start(at: 0, found: .init())
    machine.started(1, at: 0)
    #expect(machine.ended(1, "exit status 1", at: 1) == [.start])
    machine.started(2, at: 1)
    #expect(machine.ended(2, "exit status 1", at: 2) == [])
    #expect(machine.nextDeadline == 102)
    #expect(machine.replace() == [.prepare])
    #expect(machine.prepared(3, at: 50) == [.promote(3)])
    #expect(machine.passed(102) == [])
    #expect(machine.accepting(3, at: 110) == [.replaced(by: 3)])
    #expect(machine.restart.phase == .running(since: 110))
  }

  @Test("one that does not say that it drains is asked by a signal, then killed if it keeps its listeners, then killed")
  func doesNotDrain() {
    var machine = self.serving()
    _ = machine.replace()
    _ = machine.prepared(2, at: 0)
    _ = machine.ready(2)
    _ = machine.accepting(2, at: 1000)
    #expect(machine.nextDeadline == 6000)
    #expect(machine.passed(6000) == [.terminate(1)])
    #expect(machine.nextDeadline == 11_000)
    #expect(machine.passed(11_000) == [.killIfListening(1)])
    #expect(machine.nextDeadline == 311_000)
    #expect(machine.passed(311_000) == [.kill(1)])
    // What it was woken for is looked at by the one that serves.
    #expect(machine.ended(1, "signal 9", at: 311_001) == [.handOverAgain])
  }

  @Test("what an earlier agent left: one serves, older ones drain, a candidate that was never promoted is killed")
  func adopts() {
    var machine = ProxyGenerations(drainMilliseconds: 1000)
    #expect(
      machine.start(at: 0, found: .init(serving: 5, older: [3, 4], newer: [6])) == [.kill(6), .drain(3), .drain(4)])
    #expect(machine.serving == 5)
    #expect(machine.drains(3, at: 10) == [])
    #expect(machine.ended(6, "signal 9", at: 11) == [])
    machine.linked(5)
    #expect(machine.accepting(5, at: 12) == [])
    #expect(machine.nextDeadline == 5000)
  }

  @Test("one that is adopted and turns out to drain is no serving one: another is started at once")
  func adoptedDrains() {
    var machine = ProxyGenerations(drainMilliseconds: 1000)
    #expect(machine.start(at: 0, found: .init(serving: 5)) == [])
    #expect(machine.drains(5, at: 10) == [.start])
    #expect(machine.serving == nil)
    machine.started(6, at: 10)
    #expect(machine.ended(5, "exit status 0", at: 20) == [])
    #expect(machine.serving == 6)
  }

  @Test("one that serves and says nothing to the agent is replaced after ten seconds, and tried again a minute later")
  func neverLinks() {
    var machine = ProxyGenerations(drainMilliseconds: 1000)
    _ = machine.start(at: 0, found: .init(serving: 5))
    #expect(machine.passed(9999) == [])
    #expect(machine.passed(10_000) == [.prepare])
    _ = machine.prepared(6, at: 10_000)
    _ = machine.ended(6, "exit status 1", at: 10_001)
    #expect(machine.passed(69_999) == [])
    #expect(machine.passed(70_000) == [.prepare])
  }
}
