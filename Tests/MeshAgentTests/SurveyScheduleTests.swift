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
    #expect(!schedule.wantsCount(now: 7000) && schedule.wantsCount(now: 8000))
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
