import MeshBase
import MeshSnapshot
import MeshSync
import MeshTestSupport
import Testing

func policy(_ name: String, version: UInt64) throws -> VersionedEntry {
  let name = try #require(ResourceName(name))
  return VersionedEntry(
    .policy(PolicyEntry(name: name, action: .allow, rules: [])), version: ContentVersion(value: version))
}

@Suite("The agent's end of a session")
struct ClientSessionTests {
  private func response(
    _ kind: EntryKind, _ nonce: String, at revision: UInt64 = 1, epoch: UInt64 = 1, partial: Bool = false,
    _ upserts: [VersionedEntry] = [], failures: [Rejection] = [], removed: [String] = []
  ) -> SessionResponse {
    SessionResponse(
      kind: kind, nonce: nonce, version: SystemVersion(epoch: epoch, revision: revision), isPartial: partial,
      upserts: upserts, failures: failures, removals: removed)
  }

  /// Connects, and hears an empty first round but for the policies given.
  private func catchUp(_ session: inout ClientSession, policies: [VersionedEntry] = []) {
    var random = SplitMix64(seed: 1)
    _ = session.connected()
    for kind in EntryKind.allCases {
      _ = session.received(self.response(kind, "c\(kind)", kind == .policy ? policies : []))
      _ = session.applied(rejections: [], using: &random)
    }
  }

  @Test("subscribes every kind, names the node once, and says what it holds")
  func subscribes() {
    var session = ClientSession(
      node: "host-a", held: [EntryKey(.policy, "a/p"): ContentVersion(value: 4)])
    #expect(session.phase == .disconnected)
    guard case .send(let requests) = session.connected() else {
      Issue.record("no requests")
      return
    }
    #expect(requests.map(\.kind) == EntryKind.allCases)
    #expect(requests.map(\.node) == ["host-a", nil, nil, nil, nil])
    #expect(requests.allSatisfy { $0.subscribe == ["*"] && $0.nonce.isEmpty && $0.refusal == nil })
    #expect(requests[1].initialVersions == ["a/p": ContentVersion(value: 4)])
    #expect(session.phase == .catchingUp)
  }

  @Test("acknowledges with the nonce and nothing else")
  func acks() throws {
    var random = SplitMix64(seed: 1)
    var session = ClientSession(node: "host-a")
    _ = session.connected()
    let entry = try policy("a/p", version: 1)
    #expect(
      session.received(self.response(.policy, "n1", [entry]))
        == .apply(
          SessionBatch(
            kind: .policy, delta: Delta(upserts: [entry]), version: SystemVersion(epoch: 1, revision: 1),
            isComplete: false)))
    #expect(session.held[.policy] == nil)
    #expect(session.applied(rejections: [], using: &random) == .send([SessionRequest(kind: .policy, nonce: "n1")]))
    #expect(session.held[.policy] == ["a/p": ContentVersion(value: 1)])
  }

  @Test("XD-02: applies the good part of a response, rejects the rest, and does not count it as held")
  func partlyBad() throws {
    var random = SplitMix64(seed: 1)
    var session = ClientSession(node: "host-a")
    _ = session.connected()
    let good = try policy("a/good", version: 1)
    let refused = try policy("a/refused", version: 2)
    let broken = Rejection(name: "a/broken", reason: "no field")
    #expect(
      session.received(self.response(.policy, "n1", [refused, good], failures: [broken]))
        == .apply(
          SessionBatch(
            kind: .policy, delta: Delta(upserts: [good, refused]), version: SystemVersion(epoch: 1, revision: 1),
            isComplete: false)))
    let full = Rejection(name: "a/refused", reason: "map full")
    let action = session.applied(rejections: [full], using: &random)
    #expect(
      action
        == .send([
          SessionRequest(
            kind: .policy, nonce: "n1",
            refusal: Refusal(
              message: "a/broken: no field; a/refused: map full", rejections: [broken, full]))
        ]))
    #expect(session.held[.policy] == ["a/good": ContentVersion(value: 1)])
  }

  @Test("XD-14: a name that occurs twice, or under two kinds, is rejected with its name")
  func duplicates() throws {
    var session = ClientSession(node: "host-a")
    _ = session.connected()
    let twice = [try policy("a/p", version: 1), try policy("a/p", version: 2), try policy("a/q", version: 3)]
    guard case .apply(let batch) = session.received(self.response(.policy, "n1", twice)) else {
      Issue.record("nothing to apply")
      return
    }
    #expect(batch.delta.upserts.map { $0.value.key.name } == ["a/q"])
    var random = SplitMix64(seed: 1)
    guard case .send(let requests) = session.applied(rejections: [], using: &random) else {
      Issue.record("no answer")
      return
    }
    #expect(requests.first?.refusal?.rejections.map(\.name) == ["a/p", "a/p"])
    guard case .apply(let wrongKind) = session.received(self.response(.service, "n2", [try policy("a/p", version: 1)]))
    else {
      Issue.record("nothing to apply")
      return
    }
    #expect(wrongKind.delta.isEmpty)
  }

  @Test("XD-06: is complete when every kind was heard to its end, not before")
  func completeness() {
    var random = SplitMix64(seed: 1)
    var session = ClientSession(node: "host-a")
    _ = session.connected()
    for kind in EntryKind.allCases.dropLast() {
      _ = session.received(self.response(kind, "n\(kind)"))
      _ = session.applied(rejections: [], using: &random)
      #expect(session.phase == .catchingUp)
    }
    _ = session.received(self.response(.service, "p", partial: true))
    _ = session.applied(rejections: [], using: &random)
    #expect(session.phase == .catchingUp)
    guard case .apply(let batch) = session.received(self.response(.service, "l")) else {
      Issue.record("nothing to apply")
      return
    }
    #expect(batch.isComplete)
    #expect(session.phase == .complete)
  }

  @Test("F-07: takes no removal before the control plane has said everything, and rejects it by name")
  func earlyRemoval() throws {
    var random = SplitMix64(seed: 1)
    var session = ClientSession(node: "host-a", held: [EntryKey(.policy, "a/p"): ContentVersion(value: 4)])
    _ = session.connected()
    guard case .apply(let batch) = session.received(self.response(.policy, "n", removed: ["a/p"])) else {
      Issue.record("nothing to apply")
      return
    }
    #expect(batch.delta.isEmpty)
    guard case .send(let requests) = session.applied(rejections: [], using: &random) else {
      Issue.record("no answer")
      return
    }
    #expect(requests.first?.refusal?.rejections.map(\.name) == ["a/p"])
    #expect(session.held[.policy] == ["a/p": ContentVersion(value: 4)])
    _ = session.disconnected(using: &random)
    self.catchUp(&session)
    guard case .apply(let late) = session.received(self.response(.policy, "m", removed: ["a/p"])) else {
      Issue.record("nothing to apply")
      return
    }
    #expect(late.delta.removals == [EntryKey(.policy, "a/p")])
    _ = session.applied(rejections: [], using: &random)
    #expect(session.held[.policy] == [:])
  }

  @Test("XD-04: an older revision or epoch than was followed is refused, on this stream and on later ones")
  func fence() {
    var random = SplitMix64(seed: 1)
    var session = ClientSession(node: "host-a", version: SystemVersion(epoch: 3, revision: 9))
    _ = session.connected()
    for (epoch, revision) in [(3, 8), (2, 100)] as [(UInt64, UInt64)] {
      guard case .close(let error) = session.received(self.response(.policy, "n", at: revision, epoch: epoch)) else {
        Issue.record("was followed")
        return
      }
      #expect(error.code == .conflict)
      _ = session.disconnected(using: &random)
      _ = session.connected()
    }
    #expect(session.version == SystemVersion(epoch: 3, revision: 9))
    guard case .apply = session.received(self.response(.policy, "n", at: 1, epoch: 4)) else {
      Issue.record("a newer epoch was not followed")
      return
    }
    #expect(session.version == SystemVersion(epoch: 4, revision: 1))
  }

  @Test("XD-01: nacks that follow each other wait longer and longer, to 15 s; an ack ends that")
  func nackPace() throws {
    var random = SplitMix64(seed: 1)
    var session = ClientSession(node: "host-a")
    _ = session.connected()
    let bad = [Rejection(name: "a/p", reason: "bad")]
    var delays: [Duration] = []
    for round in 0..<20 {
      _ = session.received(self.response(.policy, "n\(round)", failures: bad))
      switch session.applied(rejections: [], using: &random) {
      case .send: delays.append(.zero)
      case .sendLater(_, let delay): delays.append(delay)
      default: Issue.record("no answer")
      }
    }
    #expect(delays[0] == .zero)
    for (index, delay) in delays.enumerated().dropFirst() {
      let ceiling = min(Duration.seconds(15), .milliseconds(10) * (1 << (index - 1)))
      #expect(delay >= ceiling / 2 && delay <= ceiling)
    }
    // Other kinds are not held up.
    _ = session.received(self.response(.service, "s", failures: bad))
    guard case .send = session.applied(rejections: [], using: &random) else {
      Issue.record("the service's nack waited")
      return
    }
    _ = session.received(self.response(.policy, "good"))
    _ = session.applied(rejections: [], using: &random)
    _ = session.received(self.response(.policy, "bad", failures: bad))
    guard case .send = session.applied(rejections: [], using: &random) else {
      Issue.record("the first nack after an ack waited")
      return
    }
  }

  @Test("XD-08: reconnects after 10 ms, doubled to 15 s, spread over the upper half; a complete stream starts over")
  func reconnectPace() {
    var random = SplitMix64(seed: 5)
    var session = ClientSession(node: "host-a")
    for attempt in 0..<16 {
      guard case .reconnect(let delay) = session.disconnected(using: &random) else {
        Issue.record("gave up")
        return
      }
      let ceiling = min(Duration.seconds(15), .milliseconds(10) * (1 << attempt))
      #expect(delay >= ceiling / 2 && delay <= ceiling)
    }
    self.catchUp(&session)
    guard case .reconnect(let delay) = session.disconnected(using: &random) else {
      Issue.record("gave up")
      return
    }
    #expect(delay <= .milliseconds(10))
    #expect(session.phase == .disconnected)
  }

  @Test("a response without nonce, out of turn, or after the end is a protocol error, not a trap")
  func protocolErrors() {
    var random = SplitMix64(seed: 1)
    var session = ClientSession(node: "host-a")
    for _ in 0..<2 {
      guard case .close = session.received(self.response(.policy, "n")) else {
        Issue.record("taken without a stream")
        return
      }
    }
    guard case .close = session.applied(rejections: [], using: &random) else {
      Issue.record("applied nothing")
      return
    }
    _ = session.connected()
    guard case .close = session.received(self.response(.policy, "")) else {
      Issue.record("taken without nonce")
      return
    }
  }

  @Test("versions are read strictly")
  func systemVersion() {
    #expect(SystemVersion("3.4") == SystemVersion(epoch: 3, revision: 4))
    for text in ["", "3", "3.", ".4", "3.4.5", "+3.4", "03.4", "3.4 ", "99999999999999999999.1", "3.-4"] {
      #expect(SystemVersion(text) == nil)
    }
    let partial = SessionResponse.parse(systemVersion: "3.4+")
    #expect(partial?.isPartial == true)
    #expect(partial?.version == SystemVersion(epoch: 3, revision: 4))
    #expect(SessionResponse.parse(systemVersion: "3.4++") == nil)
    #expect(SystemVersion(epoch: 2, revision: 9) < SystemVersion(epoch: 3, revision: 1))
  }
}
