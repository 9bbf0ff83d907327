package import MeshBase
package import MeshSnapshot

/// A response to apply.
package struct SessionBatch: Sendable, Equatable {
  package var kind: EntryKind
  package var delta: Delta
  package var version: SystemVersion
  /// With this batch the agent knows everything that the control plane had to say on this stream: its snapshot is whole.
  package var isComplete: Bool

  package init(kind: EntryKind, delta: Delta, version: SystemVersion, isComplete: Bool) {
    self.kind = kind
    self.delta = delta
    self.version = version
    self.isComplete = isComplete
  }
}

/// What a session tells its driver to do.
package enum ClientAction: Sendable, Equatable {
  /// Send these, in this order.
  case send([SessionRequest])
  /// Send this after a while: a nack is held back if one follows another.
  case sendLater(SessionRequest, after: Duration)
  /// Apply the batch, then say `applied`.
  case apply(SessionBatch)
  /// The peer does not keep to the protocol, or is not to be followed: end the stream and try again.
  case close(MeshError)
  /// Connect after this time.
  case reconnect(after: Duration)
}

/// The agent's end: what it holds, across streams, and how it answers.
package struct ClientSession: ~Copyable {
  package enum Phase: Sendable, Equatable {
    case disconnected
    /// Waiting for the first round of every kind to end.
    case catchingUp
    case complete
  }

  private struct Pending {
    var kind: EntryKind
    var nonce: String
    var delta: Delta
    var version: SystemVersion
    var failures: [Rejection]
  }

  private let node: String
  package private(set) var phase: Phase = .disconnected
  /// What the agent holds, by kind and name.
  package private(set) var held: [EntryKind: [String: ContentVersion]]
  /// The newest state of a control plane that was followed. Older ones are refused.
  package private(set) var version: SystemVersion?
  private var heardToTheEnd: Set<EntryKind> = []
  private var pending: Pending?
  private var nackPace: [EntryKind: Backoff] = [:]
  private var reconnectPace: Backoff

  /// - Parameters:
  ///   - node: the agent's name.
  ///   - held: versions of the snapshot that the agent begins with, as `Snapshot.versions` gives them.
  ///   - version: the control plane's state that this snapshot came from.
  package init(
    node: String, held: [EntryKey: ContentVersion] = [:], version: SystemVersion? = nil, backoff: Backoff = Backoff()
  ) {
    self.node = node
    self.held = [:]
    self.version = version
    self.reconnectPace = backoff
    for (key, version) in held { self.held[key.kind, default: [:]][key.name] = version }
  }

  // MARK: events

  /// A stream is open. The answer subscribes every kind and says what is held already.
  package mutating func connected() -> ClientAction {
    self.phase = .catchingUp
    self.heardToTheEnd = []
    self.pending = nil
    return .send(
      EntryKind.allCases.map { kind in
        SessionRequest(
          node: kind == .config ? self.node : nil, kind: kind, subscribe: [SessionRequest.wildcard],
          initialVersions: self.held[kind] ?? [:])
      })
  }

  package mutating func received(_ response: SessionResponse) -> ClientAction {
    guard self.phase != .disconnected, self.pending == nil else {
      return .close(MeshError(.internal, "delta session", "a response while another one is applied"))
    }
    guard !response.nonce.isEmpty else {
      return .close(MeshError(.invalid, "delta session", "a response without a nonce"))
    }
    if let version = self.version, response.version < version {
      return .close(
        MeshError(
          .conflict, "delta session",
          "the control plane is at \(response.version), this node has followed one at \(version)",
          next: "start the control plane with its own state directory, or remove the node's snapshot"))
    }
    self.version = response.version
    if !response.isPartial { self.heardToTheEnd.insert(response.kind) }
    let isComplete = self.heardToTheEnd.count == EntryKind.allCases.count
    if isComplete { self.phase = .complete }

    var (delta, failures) = Self.sound(response)
    if !response.removals.isEmpty {
      if isComplete {
        delta.removals = Set(response.removals).sorted().map { EntryKey(response.kind, $0) }
      } else {
        failures += response.removals.map {
          Rejection(name: $0, reason: "removed before the control plane has said all that it has")
        }
      }
    }
    self.pending = Pending(
      kind: response.kind, nonce: response.nonce, delta: delta, version: response.version, failures: failures)
    return .apply(
      SessionBatch(kind: response.kind, delta: delta, version: response.version, isComplete: isComplete))
  }

  /// The batch is applied but for these names.
  package mutating func applied(
    rejections: [Rejection], using random: inout some RandomNumberGenerator
  ) -> ClientAction {
    guard let batch = self.pending else {
      return .close(MeshError(.internal, "delta session", "something was applied that was not asked for"))
    }
    self.pending = nil
    let all = batch.failures + rejections
    let refused = Set(rejections.map(\.name))
    for entry in batch.delta.upserts where !refused.contains(entry.value.key.name) {
      self.held[batch.kind, default: [:]][entry.value.key.name] = entry.version
    }
    for key in batch.delta.removals where !refused.contains(key.name) { self.held[batch.kind]?[key.name] = nil }
    if self.phase == .complete { self.reconnectPace.reset() }

    var request = SessionRequest(kind: batch.kind, nonce: batch.nonce)
    guard !all.isEmpty else {
      self.nackPace[batch.kind] = nil
      return .send([request])
    }
    request.refusal = Refusal(message: Self.summary(all), rejections: all)
    // The first nack goes at once; those that follow it wait longer and longer, and hold their lane with them, so that
    // a control plane that sends one bad response after another costs nothing.
    guard var pace = self.nackPace[batch.kind] else {
      self.nackPace[batch.kind] = Backoff()
      return .send([request])
    }
    let delay = pace.next(using: &random)
    self.nackPace[batch.kind] = pace
    return .sendLater(request, after: delay)
  }

  /// The stream ended, or could not be opened.
  package mutating func disconnected(using random: inout some RandomNumberGenerator) -> ClientAction {
    self.phase = .disconnected
    self.pending = nil
    return .reconnect(after: self.reconnectPace.next(using: &random))
  }

  // MARK: checks

  /// The entries that can be applied, in the order of their names, and the rest with reasons.
  private static func sound(_ response: SessionResponse) -> (Delta, [Rejection]) {
    var failures = response.failures
    // Keys are text: made once for each entry, not for each comparison.
    let keys = response.upserts.map { $0.value.key }
    var count: [String: Int] = [:]
    for key in keys { count[key.name, default: 0] += 1 }
    for name in response.removals { count[name, default: 0] += 1 }
    var sound: [Int] = []
    for (index, key) in keys.enumerated() {
      if key.kind != response.kind {
        failures.append(Rejection(name: key.name, reason: "a \(key.kind) among entries of kind \(response.kind)"))
      } else if let count = count[key.name], count > 1 {
        failures.append(Rejection(name: key.name, reason: "the name occurs \(count) times in one response"))
      } else {
        sound.append(index)
      }
    }
    sound.sort { keys[$0] < keys[$1] }
    return (Delta(upserts: sound.map { response.upserts[$0] }), failures)
  }

  private static func summary(_ rejections: [Rejection]) -> String {
    let shown = rejections.prefix(3).map { "\($0.name): \($0.reason)" }.joined(separator: "; ")
    return rejections.count > 3 ? "\(shown); and \(rejections.count - 3) more" : shown
  }
}
