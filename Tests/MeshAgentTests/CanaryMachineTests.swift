import Testing

@testable import MeshAgent

@Suite("CanaryMachine")
struct CanaryMachineTests {
  private func proven() -> CanaryMachine {
    var machine = CanaryMachine(now: 0)
    _ = machine.looked(nil, now: 0)
    _ = machine.answered()
    return machine
  }

  @Test("only an answer proves; a look alone does not")
  func proof() {
    var machine = CanaryMachine(now: 0)
    #expect(machine.wantsLook(now: 0) && !machine.wantsDial(now: 0) && !machine.isProven)
    #expect(machine.looked(nil, now: 0) == .none)
    #expect(machine.phase == .waiting && machine.wantsDial(now: 0))
    #expect(machine.answered() == .proved)
    #expect(machine.phase == .proven && machine.isProven)
    #expect(machine.answered() == .none && machine.phase == .proven)
  }

  @Test("looks come every two seconds, also if the turn is a moment early; twice a second while something is wrong")
  func intervals() {
    var machine = self.proven()
    #expect(!machine.wantsLook(now: 1700) && machine.wantsLook(now: 1990))
    _ = machine.looked(.unsteered, now: 2000)
    #expect(!machine.wantsLook(now: 2499) && machine.wantsLook(now: 2500))
  }

  @Test("dials of a proven workload are as far apart as told, the others at most two seconds")
  func dials() {
    var machine = CanaryMachine(now: 0)
    _ = machine.looked(nil, now: 0)
    machine.dialled(now: 0, interval: 20_000)
    #expect(!machine.wantsDial(now: 1999) && machine.wantsDial(now: 2000))
    _ = machine.answered()
    machine.dialled(now: 2000, interval: 20_000)
    #expect(!machine.wantsDial(now: 21_999) && machine.wantsDial(now: 22_000))
    _ = machine.silent()
    machine.dialled(now: 22_000, interval: 20_000)
    #expect(machine.wantsDial(now: 24_000))
  }

  @Test("a few workloads share two dials a second, many one, and none is dialled more often than looked at")
  func dialIntervals() {
    let intervals = [0, 1, 4, 5, 20, 21, 100].map(CanaryMachine.dialInterval)
    #expect(intervals == [2000, 2000, 2000, 2500, 10_000, 21_000, 100_000])
  }

  @Test("of few workloads each is asked in every look, of one family and then of the other")
  func fewParts() {
    let part = CanaryMachine.Part(workloads: 20, isAnyUnsteered: false)
    for look in UInt8(0)...7 {
      #expect(part.asks(v4: true, hasV6: true, look: look) != part.asks(v4: false, hasV6: true, look: look))
      #expect(part.asks(v4: true, hasV6: false, look: look))
    }
  }

  @Test("of many workloads each is asked in every other look, for one family and then for the other")
  func manyParts() {
    let part = CanaryMachine.Part(workloads: 21, isAnyUnsteered: false)
    for look in UInt8(0)...7 {
      for isV4 in [true, false] {
        #expect((0..<4).count { part.asks(v4: isV4, hasV6: true, look: look &+ UInt8($0)) } == 1)
      }
      let asked = (0..<2).count { step in
        [true, false].contains { part.asks(v4: $0, hasV6: true, look: look &+ UInt8(step)) }
      }
      #expect(asked == 1)
      #expect((0..<2).count { part.asks(v4: true, hasV6: false, look: look &+ UInt8($0)) } == 1)
    }
  }

  @Test("while the hook of one workload is lost all are asked for everything, and soon")
  func allParts() {
    let part = CanaryMachine.Part(workloads: 100, isAnyUnsteered: true)
    #expect(part == .all && part.asks(v4: true, hasV6: true, look: 1) && part.asks(v4: false, hasV6: true, look: 1))
    var machine = self.proven()
    #expect(!machine.wantsLook(now: 500))
    machine.lookSoon(now: 500)
    #expect(machine.wantsLook(now: 500))
  }

  @Test("at rest is who is proven and was answered the last time")
  func rest() {
    var machine = CanaryMachine(now: 0)
    #expect(!machine.isAtRest)
    machine = self.proven()
    #expect(machine.isAtRest)
    _ = machine.silent()
    #expect(!machine.isAtRest)
    _ = machine.answered()
    #expect(machine.isAtRest)
    _ = machine.looked(.unsteered, now: 2000)
    #expect(!machine.isAtRest)
  }

  @Test("a doubt takes the proof at once, and when it is gone an answer is needed again")
  func repaired() {
    var machine = self.proven()
    #expect(machine.looked(.unsteered, now: 2000) == .doubt(.unsteered))
    #expect(machine.phase == .doubted(.unsteered, since: 2000) && !machine.isProven)
    #expect(!machine.wantsDial(now: 9000))
    #expect(machine.answered() == .none)
    #expect(machine.looked(.detached, now: 2500) == .repair)
    #expect(machine.phase == .doubted(.detached, since: 2000) && machine.doubt == .detached)
    #expect(machine.looked(nil, now: 3000) == .repaired(.detached))
    #expect(machine.phase == .waiting && machine.wantsDial(now: 3000))
    #expect(machine.answered() == .proved)
  }

  @Test("what cannot be repaired is in quarantine within ten seconds of the fault")
  func quarantine() {
    var machine = self.proven()
    var now: Int64 = 0
    var actions: [CanaryMachine.Action] = []
    while !machine.isQuarantined, now < 20_000 {
      now += 250
      if machine.wantsLook(now: now) { actions.append(machine.looked(.ineffective, now: now)) }
    }
    #expect(now <= 10_000 - 250)
    #expect(actions.first == .doubt(.ineffective) && actions.last == .quarantine(.ineffective))
    #expect(actions.dropFirst().dropLast().allSatisfy { $0 == .repair })
    #expect(machine.phase == .quarantined(.ineffective))
  }

  @Test("a quarantine ends with a clean look and an answer, not with one of them")
  func release() {
    var machine = self.proven()
    _ = machine.looked(.unsteered, now: 2000)
    #expect(machine.looked(.unsteered, now: 6500) == .quarantine(.unsteered))
    #expect(machine.answered() == .none && machine.isQuarantined)
    #expect(machine.looked(.unsteered, now: 7000) == .repair && machine.isQuarantined)
    #expect(machine.looked(nil, now: 7500) == .none && machine.isQuarantined)
    #expect(machine.wantsDial(now: 7500))
    #expect(machine.answered() == .release)
    #expect(machine.phase == .proven)
  }

  @Test("a workload that declared failureMode Open is doubted, never in quarantine")
  func open() {
    var machine = CanaryMachine(now: 0, mayQuarantine: false)
    #expect(machine.looked(.unsteered, now: 0) == .doubt(.unsteered))
    #expect(machine.looked(.unsteered, now: 60_000) == .repair)
    #expect(machine.phase == .doubted(.unsteered, since: 0))
  }

  @Test("a silent proxy takes the proof after three dials and raises no doubt")
  func silence() {
    var machine = self.proven()
    #expect(machine.silent() == .none && machine.silent() == .none && machine.isProven)
    #expect(machine.silent() == .unproven)
    #expect(machine.phase == .waiting && machine.doubt == nil)
    #expect(machine.silent() == .none)
    #expect(machine.answered() == .proved && machine.silences == 0)
    #expect(machine.silent() == .none && machine.isProven)
  }
}
