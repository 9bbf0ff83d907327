import MeshBase
import MeshRouting
import MeshSnapshot
import MeshTelemetry
import Testing

@testable import MeshNet

@Suite struct HTTPExchangeTests {
  private func waiting(isReplayable: Bool, isReused: Bool) -> HTTPExchange {
    var exchange = HTTPExchange()
    exchange.begin(isReplayable: isReplayable, now: 100)
    exchange.sent(isReused: isReused)
    #expect(exchange.phase == .waiting)
    return exchange
  }

  @Test("a connection that had served before and dies unheard is tried once more, on a fresh one, and no second time")
  func replay() {
    var exchange = self.waiting(isReplayable: true, isReused: true)
    #expect(exchange.keepsRequest && exchange.mayReuse)
    #expect(exchange.upstreamFailed(now: 200) == .replay)
    #expect(exchange.phase == .dialling && !exchange.mayReuse && !exchange.keepsRequest)
    exchange.sent(isReused: false)
    #expect(exchange.upstreamFailed(now: 300) == .answer(.upstreamClosed))
    #expect(exchange.phase == .idle)
  }

  @Test("nothing is said twice that may not be, that a fresh connection took, or of which a byte was answered")
  func noReplay() {
    var unsafe = self.waiting(isReplayable: false, isReused: true)
    #expect(unsafe.mustBeSure && !unsafe.keepsRequest)
    #expect(unsafe.upstreamFailed(now: 200) == .answer(.upstreamClosed))
    var fresh = self.waiting(isReplayable: true, isReused: false)
    #expect(fresh.upstreamFailed(now: 200) == .answer(.upstreamClosed))
    var heard = self.waiting(isReplayable: true, isReused: true)
    heard.heard()
    #expect(heard.upstreamFailed(now: 200) == .answer(.upstreamClosed))
    var nonsense = self.waiting(isReplayable: true, isReused: true)
    #expect(nonsense.upstreamFailed(fault: "status_line", now: 200) == .answer(.badAnswer("status_line")))
  }

  @Test("an answer that has begun and cannot be ended is cut")
  func cut() {
    var exchange = self.waiting(isReplayable: true, isReused: true)
    exchange.answerBegan()
    #expect(exchange.phase == .answering)
    #expect(exchange.upstreamFailed(now: 200) == .cut)
    #expect(exchange.phase == .idle)
    #expect(exchange.upstreamFailed(now: 200) == .none)
  }

  @Test("timeouts: of the request to its end, of an attempt until the answer begins; 0 is none")
  func timeouts() {
    var exchange = HTTPExchange()
    exchange.begin(isReplayable: false, requestTimeout: 1000, backendTimeout: 300, now: 100)
    #expect(exchange.deadline == 400)
    #expect(exchange.expired(now: 399) == .none)
    exchange.sent(isReused: false)
    var other = exchange
    #expect(exchange.expired(now: 400) == .answer(.backendTimeout))
    #expect(exchange.phase == .idle)
    other.answerBegan()
    #expect(other.deadline == 1100)
    #expect(other.expired(now: 1099) == .none)
    #expect(other.expired(now: 1100) == .cut)
    exchange.begin(isReplayable: false, requestTimeout: 50, backendTimeout: 300, now: 100)
    #expect(exchange.expired(now: 150) == .answer(.requestTimeout))
    exchange.begin(isReplayable: false, requestTimeout: 0, backendTimeout: 0, now: 100)
    #expect(exchange.deadline == nil)
    #expect(exchange.expired(now: .max) == .none)
  }

  @Test("a replay has the attempt's time anew, and not the request's")
  func replayDeadline() {
    var exchange = HTTPExchange()
    exchange.begin(isReplayable: true, requestTimeout: 1000, backendTimeout: 300, now: 100)
    exchange.sent(isReused: true)
    #expect(exchange.upstreamFailed(now: 350) == .replay)
    #expect(exchange.attemptDeadline == 650 && exchange.requestDeadline == 1100)
  }
}

@Suite struct HTTPExchangeRetryTests {
  private func begun(
    _ codes: [UInt16] = [503], attempts: UInt32 = 1, isIdempotent: Bool = true, requestTimeout: UInt32? = nil,
    backendTimeout: UInt32? = nil, isSent: Bool = true
  ) -> HTTPExchange {
    var exchange = HTTPExchange()
    let rule = HTTPRetry(codes: codes, attempts: attempts, backoffMilliseconds: 1)
    exchange.begin(
      isReplayable: isIdempotent, requestTimeout: requestTimeout, backendTimeout: backendTimeout,
      retries: HTTPRetries(rule, isIdempotent: isIdempotent, seed: 0), now: 100)
    if isSent { exchange.sent(isReused: false) }
    return exchange
  }

  @Test("an answer with a listed code rests, is tried again in its time, and the last one passes")
  func answers() {
    var exchange = self.begun()
    #expect(exchange.keepsRequest && exchange.mayRetry)
    #expect(exchange.answers(503, now: 200) == .rest)
    #expect(exchange.phase == .resting && exchange.deadline == 201)
    #expect(exchange.upstreamFailed(now: 200) == .none && exchange.expired(now: 200) == .none)
    #expect(exchange.expired(now: 201) == .retry)
    #expect(exchange.phase == .dialling && !exchange.isExhausted)
    exchange.sent(isReused: false)
    #expect(exchange.answers(503, now: 300) == .none)
    #expect(exchange.isExhausted && exchange.phase == .waiting)
    exchange.answerBegan()
    #expect(exchange.phase == .answering && !exchange.mayRetry)
    var fine = self.begun()
    #expect(fine.answers(200, now: 200) == .none && !fine.isExhausted)
  }

  @Test("a connection that failed is tried again; the last failure is told, and that it was the last")
  func failures() {
    var exchange = self.begun(isSent: false)
    #expect(exchange.unreachable(.upstreamFailed, now: 200) == .rest)
    #expect(exchange.expired(now: 300) == .retry)
    var expected = HTTPLocalAnswer(.upstreamFailed)
    expected.flags.insert(.upstreamRetryLimitExceeded)
    #expect(expected.flags.text == "UF,URX")
    #expect(exchange.unreachable(.upstreamFailed, now: 400) == .answer(expected))
    #expect(exchange.phase == .idle)
    var none = self.begun(isSent: false)
    #expect(none.unreachable(.noEndpoint, now: 200) == .answer(HTTPLocalAnswer(RoutingRefusal.noEndpoint)))
    for isReset in [false, true] {
      var lost = self.begun()
      #expect(lost.upstreamFailed(isReset: isReset, now: 200) == .rest)
    }
    var nonsense = self.begun()
    #expect(nonsense.upstreamFailed(fault: "status_line", now: 200) == .answer(.badAnswer("status_line")))
    var refused = self.begun()
    #expect(refused.upstreamRefused(isWhole: false, now: 200) == .rest)
  }

  @Test(
    "a second time because of a connection that had served before is one of the rule's attempts; lost to the last is 503"
  )
  func reused() {
    var lost = HTTPLocalAnswer(503, "upstream_closed", .upstreamConnectionTermination)
    lost.flags.insert(.upstreamRetryLimitExceeded)
    for attempts: UInt32 in [0, 1] {
      var exchange = self.begun(attempts: attempts, isSent: false)
      exchange.sent(isReused: true)
      #expect(exchange.upstreamFailed(now: 200) == .replay && !exchange.mayReuse, "\(attempts)")
      exchange.sent(isReused: false)
      #expect(exchange.upstreamFailed(now: 300) == .answer(lost), "\(attempts)")
    }
  }

  @Test("what may not be said twice is not, and what cannot be is not")
  func once() {
    var unsafe = self.begun(isIdempotent: false)
    #expect(unsafe.upstreamFailed(now: 200) == .answer(.upstreamClosed))
    var gone = self.begun()
    gone.lostBody()
    #expect(!gone.mayRetry && gone.answers(503, now: 200) == .none && !gone.isExhausted)
    #expect(gone.upstreamFailed(now: 200) == .answer(.upstreamClosed))
    var answering = self.begun()
    answering.answerBegan()
    #expect(answering.upstreamFailed(now: 200) == .cut)
  }

  @Test("an attempt has its own time, and none while nothing is attempted; the request's holds over all")
  func timeouts() {
    var exchange = self.begun(attempts: 2, requestTimeout: 1000, backendTimeout: 300)
    #expect(exchange.expired(now: 400) == .rest)
    #expect(exchange.attemptDeadline == nil && exchange.deadline == 401)
    #expect(exchange.expired(now: 500) == .retry)
    #expect(exchange.attemptDeadline == 800)
    exchange.sent(isReused: false)
    #expect(exchange.expired(now: 800) == .rest)
    #expect(exchange.requestDeadline == 1100)
    #expect(exchange.expired(now: 1100) == .answer(.requestTimeout))
    #expect(exchange.phase == .idle)
  }

  @Test("held up on purpose: nothing is tried before, and the request's own time goes on")
  func delay() {
    var exchange = HTTPExchange()
    exchange.begin(isReplayable: true, requestTimeout: 1000, backendTimeout: 300, delay: 500, now: 100)
    #expect(exchange.phase == .resting && exchange.deadline == 600 && exchange.attemptDeadline == nil)
    #expect(exchange.expired(now: 599) == .none)
    #expect(exchange.upstreamFailed(now: 300) == .none)
    var late = exchange
    #expect(exchange.expired(now: 600) == .start)
    #expect(exchange.phase == .dialling && exchange.attemptDeadline == 900)
    #expect(late.expired(now: 1100) == .answer(.requestTimeout))
  }

  @Test("a repetition that is not afforded leaves the answer as it is; nobody is asked where none is wanted")
  func unaffordable() {
    var asked = 0
    func affords() -> Bool {
      asked += 1
      return false
    }
    let rule = HTTPRetry(codes: [503], attempts: 2, backoffMilliseconds: 10)
    var exchange = HTTPExchange()
    exchange.begin(isReplayable: true, retries: HTTPRetries(rule, isIdempotent: true, seed: 1), now: 100)
    exchange.sent(isReused: false)
    #expect(exchange.answers(500, now: 200, affords: affords) == .none && asked == 0)
    #expect(exchange.answers(503, now: 200, affords: affords) == .none && asked == 1)
    #expect(!exchange.isExhausted && exchange.phase == .waiting)
    #expect(exchange.upstreamFailed(now: 300, affords: affords) == .answer(.upstreamClosed) && asked == 2)
  }
}

@Suite struct UpstreamPoolTests {
  private func key(_ port: UInt16, workload: UInt32 = 1) -> UpstreamPool.Key {
    .init(workload: workload, namespaceCookie: 9, target: .init(.loopbackV4, port))
  }

  private func put(_ pool: inout UpstreamPool, _ member: Int, _ port: UInt16, until: Int = 0, fits: Bool = true) {
    let isKept = pool.put(UInt64(member), self.key(port), until: UInt64(until))
    #expect(isKept == fits)
  }

  @Test("the one that served last serves next, for its own workload and endpoint only")
  func order() {
    var pool = UpstreamPool()
    self.put(&pool, 1, 80)
    self.put(&pool, 2, 80, until: 5)
    self.put(&pool, 3, 81, until: 6)
    let taken = [
      pool.take(self.key(80, workload: 2)), pool.take(self.key(80)), pool.take(self.key(80)), pool.take(self.key(80)),
    ]
    #expect(taken == [nil, 2, 1, nil])
    #expect(pool.count == 1)
  }

  @Test("the old ones go, and those that ended by themselves")
  func ends() {
    var pool = UpstreamPool()
    for member in 0..<6 { self.put(&pool, member, 80, until: member * 10) }
    pool.remove(3, self.key(80))
    pool.remove(99, self.key(80))
    let old = pool.takeOld(now: 20)
    #expect(old.sorted() == [0, 1, 2] && pool.count == 2)
    let last = pool.take(self.key(80))
    #expect(last == 5)
    let rest = pool.takeOld(now: 1000)
    #expect(rest == [4] && pool.count == 0)
  }

  @Test("those of targets that are no more go, whatever time they had")
  func orphans() {
    var pool = UpstreamPool()
    for member in 0..<6 { self.put(&pool, member, member < 4 ? 80 : 81, until: 1000) }
    let gone = pool.takeOrphans { $0.port == 80 }
    #expect(gone.sorted() == [4, 5] && pool.count == 4)
    let rest = pool.takeOrphans { _ in false }
    #expect(rest.count == 4 && pool.count == 0)
  }

  @Test("terms: what a policy says, else the proxy; the lifetime ends all patience")
  func terms() {
    let terms = UpstreamTerms(idle: 60)
    #expect(terms.end(of: 100) == .max && terms.patience(since: 200, began: 100) == 260)
    let own = UpstreamTerms(PoolSettings(idleMilliseconds: 5, lifetimeMilliseconds: 50), idle: 60)
    #expect(own.patience(since: 120, began: 100) == 125 && own.patience(since: 149, began: 100) == 150)
    #expect(UpstreamTerms(idle: .max).patience(since: 5, began: 1) == .max)
  }

  @Test("there are never more than so many, of an endpoint and of all")
  func bounds() {
    var pool = UpstreamPool()
    for member in 0..<UpstreamPool.mostOfKey { self.put(&pool, member, 80) }
    self.put(&pool, 1000, 80, fits: false)
    var port: UInt16 = 81
    while pool.count < UpstreamPool.most {
      self.put(&pool, Int(port), port)
      port += 1
    }
    self.put(&pool, 1001, 79, fits: false)
  }
}

@Suite struct DeadlineQueueTests {
  @Test("deadlines come in their order, whatever the order they were set in, and not before their time")
  func order() {
    var queue = DeadlineQueue()
    var state: UInt64 = 7
    var times: [UInt64] = []
    for member in 0..<500 {
      state = state &* 6_364_136_223_846_793_005 &+ 1
      times.append(state >> 50)
      queue.add(state >> 50, UInt64(member))
    }
    times.sort()
    #expect(queue.next == times[0])
    let early = queue.take(now: times[0] - 1)
    #expect(early == nil)
    var taken: [UInt64] = []
    while let entry = queue.take(now: .max) { taken.append(entry.time) }
    #expect(taken == times)
    #expect(queue.next == nil && queue.count == 0)
  }
}
