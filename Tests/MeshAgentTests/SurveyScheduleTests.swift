import MeshLinux
import Testing

@testable import MeshAgent

@Suite("SurveySchedule")
struct SurveyScheduleTests {
  private typealias InUse = ListenerSurvey.InUse

  @Test("sockets are counted every four seconds, and a turn that comes a moment early counts them")
  func counts() {
    var schedule = SurveySchedule(now: 0, spread: 0)
    #expect(schedule.wantsCount(now: 0) == true)
    #expect(!schedule.wantsCount(now: 2000) && schedule.wantsCount(now: 3900))
    #expect(!schedule.wantsCount(now: 6500) && schedule.wantsCount(now: 8000))
  }

  @Test("listeners are listed when the number of sockets is another, in either family")
  func changes() {
    var schedule = SurveySchedule(now: 0, spread: 0)
    #expect(schedule.counted(InUse(all: 9, v4: 2, v6: 2), now: 0) == true)
    #expect(schedule.counted(InUse(all: 9, v4: 2, v6: 2), now: 4000) == false)
    #expect(schedule.counted(InUse(all: 9, v4: 3, v6: 2), now: 8000) == true)
    #expect(schedule.counted(InUse(all: 9, v4: 3, v6: 1), now: 12_000) == true)
    #expect(schedule.counted(InUse(all: 9, v4: 3, v6: 1), now: 16_000) == false)
  }

  @Test("where sockets cannot be counted, listeners are listed each time")
  func uncounted() {
    var schedule = SurveySchedule(now: 0, spread: 0)
    for now in stride(from: Int64(0), to: 20_000, by: 4000) { #expect(schedule.counted(nil, now: now) == true) }
  }

  @Test("however the number stays, listeners are listed within two minutes, and not all namespaces at once")
  func slowly() {
    var moments: Set<Int64> = []
    for spread in UInt64(0)..<120 {
      var schedule = SurveySchedule(now: 0, spread: spread)
      #expect(schedule.counted(InUse(all: 9, v4: 1, v6: 1), now: 0) == true)
      var now: Int64 = 0
      repeat { now += 1000 } while !schedule.counted(InUse(all: 9, v4: 1, v6: 1), now: now) && now < 150_000
      #expect((59_000...120_000).contains(now))
      moments.insert(now)
      let first = now
      repeat { now += 1000 } while !schedule.counted(InUse(all: 9, v4: 1, v6: 1), now: now) && now < 300_000
      #expect((119_000...120_000).contains(now - first))
    }
    #expect(moments.count == 60)
  }

  @Test("what is forgotten is listed anew")
  func forgotten() {
    var schedule = SurveySchedule(now: 0, spread: 7)
    #expect(schedule.wantsCount(now: 0) && schedule.counted(InUse(all: 9, v4: 1, v6: 0), now: 0))
    schedule.forget(now: 100)
    #expect(schedule.wantsCount(now: 100) && schedule.counted(InUse(all: 9, v4: 1, v6: 0), now: 100))
  }

  @Test(
    "while the host has as many TCP sockets as at the last count, every fourth count is made, of both families, and no list late"
  )
  func atRest() {
    var schedule = SurveySchedule(now: 0, spread: 0)
    let count = InUse(all: 9, v4: 1, v6: 2)
    var made: [(Int64, isBoth: Bool)] = []
    for turn in Int64(0)..<13 {
      let now = turn * 4000
      if schedule.isAtRest(mark: 50, now: now) { continue }
      made.append((now, schedule.takeBasis() == nil))
      _ = schedule.counted(count, now: now)
    }
    #expect(made.map(\.0) == [0, 16_000, 32_000, 48_000])
    let both = made.count { $0.isBoth }
    #expect(both == made.count)
    let another = schedule.isAtRest(mark: 51, now: 52_000)
    let same = schedule.isAtRest(mark: 51, now: 56_000)
    #expect(!another && same)
    let list = schedule.isAtRest(mark: 51, now: 60_000)
    #expect(!list, "a list is due after a minute, with this spread")
    schedule.forget(now: 61_000)
    let forgotten = schedule.isAtRest(mark: 51, now: 61_000)
    #expect(!forgotten)
    let unknown = [schedule.isAtRest(mark: nil, now: 62_000), schedule.isAtRest(mark: nil, now: 66_000)]
    #expect(unknown == [false, false])
  }

  @Test("both families are counted every fourth time, also after the last count was forgotten")
  func basis() {
    var schedule = SurveySchedule(now: 0, spread: 0)
    let count = InUse(all: 9, v4: 1, v6: 2)
    for turn in 0..<9 {
      let basis = schedule.takeBasis()
      #expect(basis == (turn % 4 == 0 ? nil : count))
      _ = schedule.counted(count, now: Int64(turn) * 4000)
    }
    schedule.forget(now: 36_000)
    let bases = [schedule.takeBasis(), schedule.takeBasis()]
    #expect(bases == [nil, nil])
  }
}
