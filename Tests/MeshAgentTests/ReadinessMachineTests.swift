import MeshBase
import MeshSnapshot
import Testing

@testable import MeshAgent

@Suite("Readiness of one workload")
struct ReadinessMachineTests {
  private static let check = ReadinessCheck(port: 80, failureThreshold: 3, successThreshold: 2)

  @Test("begins unready, and is ready after so many successes in a row")
  func starting() {
    var machine = ReadinessMachine()
    #expect(machine.verdict == .pending && !machine.isReady)
    #expect(machine.finished(.success, Self.check) == false)
    #expect(machine.contrary == 1)
    // The cause is news, the verdict is the same.
    #expect(machine.finished(.failure("ECONNREFUSED"), Self.check) == true)
    #expect(machine.verdict == .pending && machine.contrary == 0 && machine.failure == "ECONNREFUSED")
    #expect(machine.finished(.failure("ECONNREFUSED"), Self.check) == false)
    // What never was ready does not become `failing`, however often it fails.
    for _ in 0..<10 { #expect(machine.finished(.failure("ECONNREFUSED"), Self.check) == false) }
    #expect(machine.verdict == .pending)
    #expect(machine.finished(.success, Self.check) == true)
    #expect(machine.failure == nil && !machine.isReady)
    #expect(machine.finished(.success, Self.check) == true)
    #expect(machine.verdict == .ready && machine.contrary == 0)
  }

  @Test("a ready one is unready after so many failures in a row, not before")
  func failing() {
    var machine = ReadinessMachine(verdict: .ready)
    for _ in 0..<5 {
      #expect(machine.finished(.failure("timeout"), Self.check) == false)
      #expect(machine.finished(.failure("timeout"), Self.check) == false)
      #expect(machine.isReady && machine.contrary == 2)
      #expect(machine.finished(.success, Self.check) == false)
      #expect(machine.isReady && machine.contrary == 0)
    }
    for _ in 0..<2 { #expect(machine.finished(.failure("timeout"), Self.check) == false) }
    #expect(machine.finished(.failure("ECONNREFUSED"), Self.check) == true)
    #expect(machine.verdict == .failing && machine.failure == "ECONNREFUSED")
    #expect(machine.finished(.failure("ECONNREFUSED"), Self.check) == false)
    #expect(machine.finished(.failure("timeout"), Self.check) == true)
    _ = machine.finished(.success, Self.check)
    #expect(!machine.isReady)
    #expect(machine.finished(.success, Self.check) == true)
    #expect(machine.verdict == .ready)
  }

  @Test("with thresholds of one each outcome is the verdict")
  func ones() {
    let check = ReadinessCheck(port: 80, failureThreshold: 1, successThreshold: 1)
    var machine = ReadinessMachine()
    for _ in 0..<3 {
      #expect(machine.finished(.success, check) == true)
      #expect(machine.isReady)
      #expect(machine.finished(.failure("x"), check) == true)
      #expect(machine.verdict == .failing)
    }
  }
}

@Suite("When workloads are checked")
struct ReadinessScheduleTests {
  private static func name(_ text: String) throws -> ResourceName { try #require(ResourceName("a/\(text)")) }

  private let check = ReadinessCheck(
    port: 80, periodMilliseconds: 10_000, timeoutMilliseconds: 2000, failureThreshold: 1, successThreshold: 1)

  @Test("how much earlier a check may be is the check's to say; periods and timeouts may be parts of a second")
  func jitter() throws {
    let one = try Self.name("one")
    for (percent, chance, next) in [(0, 1.0, 700), (50, 1.0, 550), (50, 0.5, 625), (10, 0.0, 700)]
      as [(UInt8, Double, Int)]
    {
      var schedule = ReadinessSchedule()
      let check = ReadinessCheck(
        port: 80, periodMilliseconds: 300, timeoutMilliseconds: 250, jitterPercent: percent)
      schedule.add(one, check, verdict: .ready, now: .zero)
      #expect(schedule.tick(now: .milliseconds(400)) { chance } == [.dial(one)])
      #expect(schedule.next == .milliseconds(650))
      _ = schedule.finished(one, .success, now: .milliseconds(400)) { chance }
      #expect(schedule.next == .milliseconds(next))
    }
  }

  @Test("a new one at once; then once a period, up to a tenth earlier; told when its verdict changes")
  func period() throws {
    let one = try Self.name("one")
    var schedule = ReadinessSchedule()
    #expect(schedule.isEmpty && schedule.next == nil)
    schedule.add(one, self.check, verdict: .pending, now: .seconds(5))
    #expect(schedule.next == .seconds(5))
    #expect(schedule.tick(now: .seconds(4)) { 0 } == [])
    #expect(schedule.tick(now: .seconds(5)) { 0 } == [.dial(one)])
    #expect(schedule.dialling == 1 && schedule.next == .seconds(7))
    #expect(schedule.tick(now: .seconds(6)) { 0 } == [])
    #expect(schedule.finished(one, .success, now: .seconds(6)) { 0 } == [.tell(one)])
    #expect(schedule[one]?.verdict == .ready && schedule.dialling == 0)
    #expect(schedule.next == .seconds(16))
    #expect(schedule.tick(now: .seconds(16)) { 0 } == [.dial(one)])
    #expect(schedule.finished(one, .success, now: .seconds(16)) { 1 } == [])
    #expect(schedule.next == .seconds(25))
    // An outcome that nobody waits for.
    #expect(schedule.finished(one, .failure("x"), now: .seconds(17)) { 0 } == [])
    #expect(schedule[one]?.isReady == true)
  }

  @Test("one that does not answer in time is abandoned and has failed")
  func timeout() throws {
    let one = try Self.name("one")
    var schedule = ReadinessSchedule()
    schedule.add(one, self.check, verdict: .ready, now: .zero)
    #expect(schedule.tick(now: .zero) { 0 } == [.dial(one)])
    #expect(schedule.tick(now: .seconds(2)) { 0 } == [.abandon(one), .tell(one)])
    #expect(schedule[one]?.verdict == .failing && schedule[one]?.failure == "timeout")
    #expect(schedule.dialling == 0 && schedule.next == .seconds(12))
  }

  @Test("one that never was ready is asked each second, one that was each period")
  func starting() throws {
    let one = try Self.name("one")
    var schedule = ReadinessSchedule()
    schedule.add(one, self.check, verdict: .pending, now: .zero)
    for second in 0..<3 {
      #expect(schedule.tick(now: .seconds(second)) { 0 } == [.dial(one)])
      _ = schedule.finished(one, .failure("x"), now: .seconds(second)) { 0 }
      #expect(schedule.next == .seconds(second + 1))
    }
    #expect(schedule.tick(now: .seconds(3)) { 0 } == [.dial(one)])
    _ = schedule.finished(one, .success, now: .seconds(3)) { 0 }
    #expect(schedule.tick(now: .seconds(13)) { 0 } == [.dial(one)])
    _ = schedule.finished(one, .failure("x"), now: .seconds(13)) { 0 }
    #expect(schedule[one]?.verdict == .failing && schedule.next == .seconds(23))
  }

  @Test("no more than some at a time; who waits longest goes first")
  func concurrency() throws {
    let names = try ["a", "b", "c", "d"].map { try Self.name($0) }
    var schedule = ReadinessSchedule(concurrency: 2)
    for (index, name) in names.enumerated() {
      schedule.add(name, self.check, verdict: .ready, now: .seconds(3 - index))
    }
    #expect(schedule.tick(now: .seconds(3)) { 0 } == [.dial(names[3]), .dial(names[2])])
    #expect(schedule.dialling == 2)
    // Full: the deadlines are what comes next.
    #expect(schedule.next == .seconds(5))
    #expect(schedule.tick(now: .seconds(4)) { 0 } == [])
    _ = schedule.finished(names[3], .success, now: .seconds(4)) { 0 }
    #expect(schedule.next == .seconds(2))
    #expect(schedule.tick(now: .seconds(4)) { 0 } == [.dial(names[1])])
    #expect(schedule.dialling == 2)
  }

  @Test("one that goes is abandoned; one that comes again begins anew; a changed check keeps the verdict")
  func membership() throws {
    let one = try Self.name("one")
    var schedule = ReadinessSchedule()
    schedule.add(one, self.check, verdict: .ready, now: .zero)
    var other = self.check
    other.failureThreshold = 5
    schedule.add(one, other, verdict: .pending, now: .zero)
    #expect(schedule[one]?.verdict == .ready)
    #expect(schedule.tick(now: .zero) { 0 } == [.dial(one)])
    #expect(schedule.finished(one, .failure("x"), now: .zero) { 0 } == [])
    #expect(schedule[one]?.verdict == .ready)
    #expect(schedule.remove(one) == [])
    schedule.add(one, other, verdict: .pending, now: .seconds(1))
    #expect(schedule[one]?.verdict == .pending)
    #expect(schedule.tick(now: .seconds(1)) { 0 } == [.dial(one)])
    #expect(schedule.remove(one) == [.abandon(one)])
    #expect(schedule.isEmpty && schedule.dialling == 0)
    #expect(schedule.finished(one, .success, now: .seconds(1)) { 0 } == [])
  }

  @Test("a chance that is none stays within the bounds", arguments: [-1.0, 2.0, .infinity])
  func chance(value: Double) throws {
    let one = try Self.name("one")
    var schedule = ReadinessSchedule()
    schedule.add(one, self.check, verdict: .ready, now: .zero)
    _ = schedule.tick(now: .zero) { value }
    _ = schedule.finished(one, .success, now: .zero) { value }
    let next = try #require(schedule.next)
    #expect((Duration.seconds(9)...Duration.seconds(10)).contains(next))
  }
}
