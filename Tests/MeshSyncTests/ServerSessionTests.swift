import MeshBase
import MeshSnapshot
import MeshSync
import Testing

/// A catalogue of names with numbers as versions.
func catalogue(
  _ revision: UInt64, epoch: UInt64 = 1, base: UInt64? = nil, changed: [EntryKey] = [], size: Int = 100,
  withheld: Set<EntryKey> = [], _ names: [EntryKind: [String: UInt64]]
) -> Catalogue {
  var items: [EntryKind: [String: Catalogue.Item]] = [:]
  for (kind, versions) in names {
    for (name, version) in versions {
      items[kind, default: [:]][name] = Catalogue.Item(
        version: ContentVersion(value: version), size: size, isWithheld: withheld.contains(EntryKey(kind, name)))
    }
  }
  return Catalogue(
    version: SystemVersion(epoch: epoch, revision: revision), items: items,
    base: base.map { SystemVersion(epoch: epoch, revision: $0) }, changed: changed)
}

/// Subscribes every kind; the actions of each request.
@discardableResult
func subscribe(
  _ session: inout ServerSession, held: [EntryKind: [String: UInt64]] = [:]
) -> [ServerAction] {
  var actions: [ServerAction] = []
  for kind in EntryKind.allCases {
    actions.append(
      session.received(
        SessionRequest(
          node: kind == .config ? "host-a" : nil, kind: kind, subscribe: ["*"],
          initialVersions: (held[kind] ?? [:]).mapValues { ContentVersion(value: $0) })))
  }
  return actions
}

func plan(
  _ kind: EntryKind, _ nonce: Int, _ revision: UInt64, partial: Bool = false, _ upserts: [String] = [],
  removed: [String] = []
) -> ResponsePlan {
  ResponsePlan(
    kind: kind, nonce: "\(nonce)", version: SystemVersion(epoch: 1, revision: revision), isPartial: partial,
    upserts: upserts, removals: removed)
}

func ack(_ session: inout ServerSession, _ kind: EntryKind, _ nonce: Int, rejected: [String]? = nil) -> ServerAction {
  session.received(
    SessionRequest(
      kind: kind, nonce: "\(nonce)",
      refusal: rejected.map { names in
        Refusal(message: "no", rejections: names.map { Rejection(name: $0, reason: "bad") })
      }))
}

func sent(_ actions: [ServerAction]) -> [ResponsePlan] {
  actions.flatMap { action -> [ResponsePlan] in
    guard case .send(let plans) = action else { return [] }
    return plans
  }
}

/// Acknowledges whatever comes until nothing does; returns the plans in order.
@discardableResult
func settle(_ session: inout ServerSession, _ first: ServerAction) -> [ResponsePlan] {
  var queue: [ResponsePlan] = []
  var seen: [ResponsePlan] = []
  func take(_ action: ServerAction) { if case .send(let plans) = action { queue += plans } }
  take(first)
  while !queue.isEmpty {
    let next = queue.removeFirst()
    seen.append(next)
    take(session.received(SessionRequest(kind: next.kind, nonce: next.nonce)))
  }
  return seen
}

@Suite("The control plane's end of a session")
struct ServerSessionTests {
  private let world: [EntryKind: [String: UInt64]] = [
    .config: ["mesh": 1], .policy: ["a/p": 2], .workload: ["a/w": 3], .endpoints: ["a/s": 4], .service: ["a/s": 5],
  ]

  @Test("F-07: says nothing before there is a complete catalogue")
  func silent() {
    var session = ServerSession()
    #expect(subscribe(&session, held: self.world).allSatisfy { $0 == .none })
    #expect(session.isSettled == false)
    let action = session.catalogueChanged(catalogue(1, self.world))
    // Everything is held already: one empty response a kind.
    #expect(action == .send([plan(.config, 1, 1), plan(.policy, 2, 1)]))
  }

  @Test("brings what is referred to first, and each kind after the answer to those that it needs")
  func order() {
    var session = ServerSession()
    subscribe(&session)
    #expect(
      session.catalogueChanged(catalogue(1, self.world))
        == .send([plan(.config, 1, 1, ["mesh"]), plan(.policy, 2, 1, ["a/p"])]))
    #expect(ack(&session, .config, 1) == .none)
    #expect(ack(&session, .policy, 2) == .send([plan(.workload, 3, 1, ["a/w"])]))
    #expect(ack(&session, .workload, 3) == .send([plan(.endpoints, 4, 1, ["a/s"])]))
    #expect(ack(&session, .endpoints, 4) == .send([plan(.service, 5, 1, ["a/s"])]))
    #expect(session.isSettled == false)
    #expect(ack(&session, .service, 5) == .none)
    #expect(session.isSettled == true)
    #expect(session.held(.service) == ["a/s": ContentVersion(value: 5)])
  }

  @Test("XD-05: removes what refers first, and after every upsert")
  func removals() {
    var session = ServerSession()
    subscribe(&session)
    settle(&session, session.catalogueChanged(catalogue(1, self.world)))
    // The policy is replaced: the workload names another one now.
    let next: [EntryKind: [String: UInt64]] = [
      .config: ["mesh": 1], .policy: ["a/q": 6], .workload: ["a/w": 7], .endpoints: [:], .service: [:],
    ]
    let plans = settle(&session, session.catalogueChanged(catalogue(2, next)))
    #expect(
      plans.map { "\($0.kind) +\($0.upserts) -\($0.removals)" } == [
        "policy +[\"a/q\"] -[]", "service +[] -[\"a/s\"]", "workload +[\"a/w\"] -[]", "endpoints +[] -[\"a/s\"]",
        "policy +[] -[\"a/p\"]",
      ])
    let position = { (kind: EntryKind, isRemoval: Bool) in
      plans.firstIndex { $0.kind == kind && (isRemoval ? !$0.removals.isEmpty : !$0.upserts.isEmpty) } ?? -1
    }
    #expect(position(.policy, false) < position(.workload, false))
    #expect(position(.workload, false) < position(.policy, true))
    #expect(position(.service, true) < position(.endpoints, true))
    #expect(session.held(.policy) == ["a/q": ContentVersion(value: 6)])
    #expect(session.isSettled == true)
  }

  @Test("XD-09: a reconnect resends nothing that did not change, and removes what vanished meanwhile")
  func reconnect() {
    var session = ServerSession()
    _ = session.catalogueChanged(catalogue(9, self.world))
    var held = self.world
    held[.workload] = ["a/w": 3, "a/gone": 8]
    held[.service] = ["a/s": 99]
    let actions = subscribe(&session, held: held)
    let plans = settle(&session, .send(sent(actions)))
    #expect(plans.flatMap(\.upserts) == ["a/s"])
    #expect(plans.flatMap(\.removals) == ["a/gone"])
    #expect(session.isSettled == true)
  }

  @Test("XD-04: an answer to another nonce than the one in flight means nothing")
  func staleNonce() {
    var session = ServerSession()
    subscribe(&session)
    _ = session.catalogueChanged(catalogue(1, self.world))
    #expect(ack(&session, .policy, 77) == .none)
    #expect(ack(&session, .policy, 1, rejected: ["a/p"]) == .none)
    #expect(session.held(.policy) == [:])
    #expect(session.rejected(.policy) == [:])
    #expect(ack(&session, .policy, 2) == .send([plan(.workload, 3, 1, ["a/w"])]))
    // Repeated: no effect.
    #expect(ack(&session, .policy, 2) == .none)
  }

  @Test("XD-02: one bad name among a thousand is not held, the others are")
  func oneBad() {
    var session = ServerSession()
    subscribe(&session)
    var policies: [String: UInt64] = [:]
    for index in 0..<1000 { policies["a/p\(index)"] = UInt64(index + 1) }
    #expect(
      session.catalogueChanged(catalogue(1, [.policy: policies]))
        == .send([plan(.config, 1, 1), plan(.policy, 2, 1, policies.keys.sorted())]))
    #expect(ack(&session, .policy, 2, rejected: ["a/p500"]) == .send([plan(.workload, 3, 1)]))
    #expect(session.held(.policy).count == 999)
    #expect(session.rejected(.policy) == ["a/p500": ContentVersion(value: 501)])
  }

  @Test("XD-01: what was rejected is sent again when its content changes, not before; the agent keeps its last good")
  func rejected() {
    var session = ServerSession()
    subscribe(&session)
    settle(&session, session.catalogueChanged(catalogue(1, self.world)))
    var next = self.world
    next[.policy] = ["a/p": 20]
    #expect(session.catalogueChanged(catalogue(2, next)) == .send([plan(.policy, 6, 2, ["a/p"])]))
    #expect(ack(&session, .policy, 6, rejected: ["a/p"]) == .none)
    #expect(session.held(.policy) == ["a/p": ContentVersion(value: 2)])
    #expect(session.isSettled == true)
    // Something else changes: the rejected name stays where it is.
    next[.config] = ["mesh": 11]
    #expect(session.catalogueChanged(catalogue(3, next)) == .send([plan(.config, 7, 3, ["mesh"])]))
    #expect(ack(&session, .config, 7) == .none)
    // It goes back to what the agent holds: nothing to send.
    next[.policy] = ["a/p": 2]
    #expect(session.catalogueChanged(catalogue(4, next)) == .none)
    // It is deleted: the agent holds the old content, which has to go.
    next[.policy] = [:]
    #expect(session.catalogueChanged(catalogue(5, next)) == .send([plan(.policy, 8, 5, removed: ["a/p"])]))
  }

  @Test("XD-01: an entry that is bad again and again does not hold up the kinds behind it")
  func suspects() {
    var session = ServerSession()
    subscribe(&session)
    settle(&session, session.catalogueChanged(catalogue(1, self.world)))
    var next = self.world
    next[.policy] = ["a/p": 20]
    _ = session.catalogueChanged(catalogue(2, next))
    #expect(ack(&session, .policy, 6, rejected: ["a/p"]) == .none)
    next[.policy] = ["a/p": 21]
    #expect(session.catalogueChanged(catalogue(3, next)) == .send([plan(.policy, 7, 3, ["a/p"])]))
    // The answer to 7 is held back by the agent; a workload and a service change meanwhile.
    next[.workload] = ["a/w": 30]
    #expect(session.catalogueChanged(catalogue(4, next)) == .send([plan(.workload, 8, 4, ["a/w"])]))
    // A policy that was never bad is another matter.
    next[.policy] = ["a/p": 21, "a/q": 1]
    next[.service] = ["a/s": 31]
    #expect(session.catalogueChanged(catalogue(5, next)) == .none)
    _ = ack(&session, .workload, 8)
    #expect(ack(&session, .policy, 7, rejected: ["a/p"]) == .send([plan(.policy, 9, 5, ["a/q"])]))
    #expect(ack(&session, .policy, 9) == .send([plan(.service, 10, 5, ["a/s"])]))
  }

  @Test("a nack without names, from another implementation, rejects the whole response")
  func namelessNack() {
    var session = ServerSession()
    subscribe(&session)
    _ = session.catalogueChanged(catalogue(1, self.world))
    #expect(ack(&session, .policy, 2, rejected: []) == .send([plan(.workload, 3, 1, ["a/w"])]))
    #expect(session.held(.policy) == [:])
    #expect(session.rejected(.policy).count == 1)
  }

  @Test("one response is in flight in a lane; what changes meanwhile goes in the next, newest first and once")
  func merging() {
    var session = ServerSession()
    subscribe(&session)
    _ = session.catalogueChanged(catalogue(1, self.world))
    var next = self.world
    for revision in 2...10 as ClosedRange<UInt64> {
      next[.policy] = ["a/p": revision * 100]
      #expect(
        session.catalogueChanged(catalogue(revision, base: revision - 1, changed: [EntryKey(.policy, "a/p")], next))
          == .none)
    }
    #expect(ack(&session, .policy, 2) == .send([plan(.policy, 3, 10, ["a/p"])]))
    #expect(session.held(.policy) == ["a/p": ContentVersion(value: 2)])
  }

  @Test("a change that names what changed has the effect of a full comparison, also if a revision was missed")
  func incremental() {
    var session = ServerSession()
    subscribe(&session)
    settle(&session, session.catalogueChanged(catalogue(1, self.world)))
    var next = self.world
    next[.service] = ["a/s": 50, "a/t": 51]
    let changed = [EntryKey(.service, "a/s"), EntryKey(.service, "a/t")]
    #expect(
      session.catalogueChanged(catalogue(2, base: 1, changed: changed, next))
        == .send([plan(.service, 6, 2, ["a/s", "a/t"])]))
    _ = ack(&session, .service, 6)
    next[.service] = ["a/t": 52]
    // Revision 3 was missed; its changes are not in the list of revision 4.
    #expect(
      session.catalogueChanged(catalogue(4, base: 3, changed: [], next))
        == .send([plan(.service, 7, 4, ["a/t"], removed: ["a/s"])]))
    #expect(session.catalogueChanged(catalogue(3, next)) == .none)
  }

  @Test("XD-03: a kind that is too large for one response comes in parts, and the kinds behind it wait for the last")
  func parts() {
    var configuration = ServerSession.Configuration()
    configuration.responseSize = 250
    var session = ServerSession(configuration: configuration)
    subscribe(&session)
    let names: [EntryKind: [String: UInt64]] = [
      .policy: ["a/1": 1, "a/2": 2, "a/3": 3, "a/4": 4, "a/5": 5], .workload: ["a/w": 6],
    ]
    #expect(
      session.catalogueChanged(catalogue(1, names))
        == .send([plan(.config, 1, 1), plan(.policy, 2, 1, partial: true, ["a/1", "a/2"])]))
    #expect(ack(&session, .policy, 2) == .send([plan(.policy, 3, 1, partial: true, ["a/3", "a/4"])]))
    #expect(ack(&session, .policy, 3) == .send([plan(.policy, 4, 1, ["a/5"])]))
    #expect(ack(&session, .policy, 4) == .send([plan(.workload, 5, 1, ["a/w"])]))
  }

  @Test("XD-03: what is too large to be sent is neither sent nor removed")
  func withheld() {
    var session = ServerSession()
    let key = EntryKey(.policy, "a/p")
    _ = session.catalogueChanged(catalogue(1, withheld: [key], self.world))
    let actions = subscribe(&session, held: [.policy: ["a/p": 1]])
    let plans = settle(&session, .send(sent(actions)))
    #expect(plans.allSatisfy { $0.kind != .policy || ($0.upserts.isEmpty && $0.removals.isEmpty) })
    #expect(session.held(.policy) == ["a/p": ContentVersion(value: 1)])
    #expect(session.isSettled == true)
  }

  @Test("a stream without node, with a changed node, or with names instead of the wildcard is closed")
  func protocolErrors() {
    var session = ServerSession()
    #expect(
      session.received(SessionRequest(kind: .config, subscribe: ["*"]))
        == .close(reason: "the first request does not name the node"))
    #expect(session.received(SessionRequest(node: "a", kind: .config, subscribe: ["*"])) == .none)
    #expect(
      session.received(SessionRequest(node: "b", kind: .policy, subscribe: ["*"]))
        == .close(reason: "the node changed within the stream"))
    #expect(
      session.received(SessionRequest(kind: .policy, subscribe: ["a/p"]))
        == .close(reason: "only the wildcard can be subscribed"))
    #expect(session.node == "a")
  }
}
