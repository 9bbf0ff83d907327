import MeshBase
import Testing

@testable import MeshDNS

/// Questions that come before it is said who is to be asked.
@Suite struct HeldQuestionTests {
  private func untold(_ limits: ResolverLimits = ResolverLimits()) -> Resolver {
    var resolver = Resolver(limits: limits)
    _ = resolver.machine.withdraw(namespace: 1)
    return resolver
  }

  @Test("A question waits until it is said who is to be asked, and goes on in its order and with its own deadline")
  func released() throws {
    var resolver = self.untold()
    let begin = resolver.now
    #expect(resolver.received(queryBytes("a.example", id: 1)).isEmpty)
    #expect(resolver.received(queryBytes("b.example", id: 2), from: Resolver.client(7, .tcp)).isEmpty)
    #expect(resolver.machine.waiting == 2)
    #expect(resolver.machine.nextDeadline == begin + 2_000)
    // Names of the mesh need nobody.
    #expect(answers(resolver.received(queryBytes("web.default"))).count == 1)
    resolver.now += 1_500
    let asks = resolver.use([Resolver.first], for: 1).compactMap { firstAsk([$0]) }
    #expect(asks.map(\.transport) == [.udp, .tcp])
    #expect(asks.map(\.upstream) == [Resolver.first, Resolver.first])
    #expect(try code(resolver.replied(try replyBytes(to: asks[0].bytes), to: asks[0].attempt)) == 0)
    #expect(resolver.machine.waiting == 1 && resolver.machine.counters.forwarded == 2)
    // The client's five seconds count from when it asked.
    resolver.now = begin + 4_499
    #expect(answers(resolver.machine.expire(now: resolver.now, using: &resolver.random)).isEmpty)
    #expect(try code(resolver.expire(at: begin + 4_500)) == 2)
  }

  @Test("When it turns out that nobody is to be asked, what waits is refused")
  func nobody() throws {
    var resolver = self.untold()
    #expect(resolver.received(queryBytes("a.example")).isEmpty)
    #expect(try code(resolver.use([], for: 1)) == 5)
    #expect(resolver.machine.waiting == 0 && resolver.machine.counters.refused == 1)
  }

  @Test("SERVFAIL after two seconds, each when its own are over, and nothing is left")
  func never() throws {
    var resolver = self.untold()
    #expect(resolver.received(queryBytes("a.example", id: 1)).isEmpty)
    resolver.now += 500
    #expect(resolver.received(queryBytes("b.example", id: 2), from: Resolver.client(2)).isEmpty)
    // Once more from the same client is one question.
    #expect(resolver.received(queryBytes("b.example", id: 2), from: Resolver.client(2)).isEmpty)
    #expect(resolver.machine.waiting == 2)
    #expect(resolver.expire(at: resolver.now + 1_499).isEmpty)
    #expect(answers(resolver.expire(at: resolver.now + 1)).map(\.client) == [Resolver.client()])
    let last = resolver.expire(at: resolver.now + 500)
    #expect(try code(last) == 2)
    #expect(answers(last).map(\.client) == [Resolver.client(2)])
    #expect(resolver.machine.waiting == 0 && resolver.machine.nextDeadline == nil)
    #expect(resolver.machine.counters.exhausted == 2)
    #expect(resolver.use([Resolver.first], for: 1).isEmpty)
  }

  @Test("DN-04: what is held is bounded for each namespace and for all; the rest is told so")
  func bounded() throws {
    var resolver = self.untold(ResolverLimits(questions: 3, questionsPerNamespace: 2))
    for namespace in UInt64(1)...2 {
      for number in UInt16(0)..<3 {
        let actions = resolver.received(
          queryBytes("n\(number).example"), from: Resolver.client(number, namespace: namespace))
        #expect(actions.isEmpty == (number < (namespace == 1 ? 2 : 1)))
      }
    }
    #expect(resolver.machine.waiting == 3 && resolver.machine.counters.overloaded == 3)
  }

  @Test("A client that hangs up, and a namespace that goes, are waited for no more")
  func gone() throws {
    var resolver = self.untold()
    #expect(resolver.received(queryBytes("a.example"), from: Resolver.client(1, .tcp)).isEmpty)
    #expect(resolver.received(queryBytes("b.example"), from: Resolver.client(2, namespace: 2)).isEmpty)
    #expect(resolver.machine.disconnected(Resolver.client(1, .tcp)).isEmpty)
    #expect(resolver.machine.waiting == 1)
    #expect(resolver.machine.withdraw(namespace: 2).isEmpty)
    #expect(resolver.machine.waiting == 0)
    #expect(resolver.use([Resolver.first], for: 1).isEmpty && resolver.use([Resolver.first], for: 2).isEmpty)
  }
}
