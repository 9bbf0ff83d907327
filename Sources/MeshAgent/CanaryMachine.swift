/// What the agent believes of one workload's redirection, by evidence alone.
///
///     waiting ──answered──► proven ──a look finds something──► doubted ──clean again──► waiting
///        ▲                    │                                   │
///        └──silent 3 times────┘                                   └──for 4.5 s──► quarantined ──clean and answered──► proven
///
/// Two kinds of evidence come in. A *look* asks the kernel: does the connect hook see a call, are the programs where they
/// should be. It is cheap and decides about doubt. A *dial* goes through everything to the node proxy and back; only its
/// answer makes `proven`. A proxy that is silent takes the proof away, but raises no doubt: nothing passes it unsteered.
///
/// Time is milliseconds of any steady clock.
struct CanaryMachine: Sendable, Equatable {
  /// Why calls of a workload may not be governed.
  enum Doubt: String, Sendable, Hashable, CaseIterable {
    /// The connect hook did not answer.
    case unsteered
    /// Somebody else than the own node proxy answered.
    case strangeAnswer = "strange_answer"
    /// A program is detached and cannot be put back.
    case detached
    /// The programs do not run for the cgroup in which its processes are.
    case ineffective
    /// No veth leads to it any more: its source addresses cannot be checked.
    case edgeLost = "edge_lost"
  }

  enum Phase: Sendable, Equatable {
    case waiting
    case proven
    case doubted(Doubt, since: Int64)
    case quarantined(Doubt)
  }

  enum Action: Sendable, Equatable {
    case none
    /// Say it, and look at what can be mended, now.
    case doubt(Doubt)
    /// Mend again.
    case repair
    case quarantine(Doubt)
    /// Calls are governed again; the proof is to come.
    case repaired(Doubt)
    case proved
    /// The quarantine ends.
    case release
    /// The proof is gone: the proxy does not answer.
    case unproven
  }

  /// A doubt has to be older before it ends in quarantine: with a look every two seconds before, it is found and acted
  /// on within ten.
  static let patience: Int64 = 4500
  static let mostSilences = 3
  static let lookInterval: Int64 = 2000
  /// While something is wrong.
  static let doubtInterval: Int64 = 500
  /// A turn that comes a moment too early does the work, and does not leave it to the next one.
  static let slack: Int64 = 250

  /// Up to so many workloads share two dials a second, more of them one.
  static let fewWorkloads = 20

  /// Between two dials of one workload that is proven.
  static func dialInterval(workloads: Int) -> Int64 {
    max(Self.lookInterval, Int64(workloads) * (workloads <= Self.fewWorkloads ? 500 : 1000))
  }

  /// What of a proven workload a look asks the connect hook for.
  enum Part: Sendable, Equatable {
    /// Both families: something is wrong on this node, or it is the first of the turn.
    case all
    /// The families take turns: each is asked in every other look.
    case oneFamily
    /// One family in every other look. Of a namespace that asks for its row, which both families share; the hooks, which all
    /// namespaces share, the first of the turn is asked for.
    case everyOther

    init(workloads: Int, isAnyUnsteered: Bool) {
      self = isAnyUnsteered ? .all : workloads <= CanaryMachine.fewWorkloads ? .oneFamily : .everyOther
    }

    func asks(v4: Bool, hasV6: Bool, look: UInt8) -> Bool {
      switch self {
      case .all: true
      case .oneFamily: !hasV6 || v4 == (look & 1 == 0)
      case .everyOther: look & 1 == 0 && (!hasV6 || v4 == (look & 2 == 0))
      }
    }
  }

  private(set) var phase: Phase = .waiting
  /// The last look found nothing.
  private(set) var isClean = false
  private(set) var silences = 0
  private var nextLook: Int64
  private var nextDial: Int64
  /// False: the workload declared `failureMode: Open`, and is never put into quarantine.
  var mayQuarantine: Bool

  init(now: Int64, mayQuarantine: Bool = true) {
    self.nextLook = now
    self.nextDial = now
    self.mayQuarantine = mayQuarantine
  }

  /// It counts as enrolled.
  var isProven: Bool { self.phase == .proven }

  /// Nothing is to be waited for.
  var isAtRest: Bool { self.isProven && self.silences == 0 }

  var isQuarantined: Bool {
    if case .quarantined = self.phase { true } else { false }
  }

  var doubt: Doubt? {
    switch self.phase {
    case .waiting, .proven: nil
    case .doubted(let doubt, _), .quarantined(let doubt): doubt
    }
  }

  func wantsLook(now: Int64) -> Bool { now >= self.nextLook }

  /// Something was found at another workload that may be everybody's.
  mutating func lookSoon(now: Int64) { self.nextLook = min(self.nextLook, now) }

  /// Nobody is asked before the hook has been seen to work.
  func wantsDial(now: Int64) -> Bool { self.isClean && now >= self.nextDial }

  /// One look is done. `doubt`: the worst that it found, nil if all was well.
  mutating func looked(_ doubt: Doubt?, now: Int64) -> Action {
    self.isClean = doubt == nil
    self.nextLook =
      now + (doubt == nil && !self.isQuarantined ? Self.lookInterval - Self.slack : Self.doubtInterval)
    switch (self.phase, doubt) {
    case (.waiting, nil), (.proven, nil), (.quarantined, nil): return .none
    case (.doubted(let old, _), nil):
      self.phase = .waiting
      self.nextDial = now
      return .repaired(old)
    case (.waiting, let doubt?), (.proven, let doubt?):
      self.phase = .doubted(doubt, since: now)
      self.silences = 0
      return .doubt(doubt)
    case (.doubted(_, let since), let doubt?):
      guard self.mayQuarantine, now - since >= Self.patience else {
        self.phase = .doubted(doubt, since: since)
        return .repair
      }
      self.phase = .quarantined(doubt)
      return .quarantine(doubt)
    case (.quarantined, let doubt?):
      self.phase = .quarantined(doubt)
      return .repair
    }
  }

  /// A dial began. `interval`: until the next one of a workload that is proven.
  mutating func dialled(now: Int64, interval: Int64) {
    let isUrgent = self.phase != .proven || self.silences > 0
    self.nextDial = now + (isUrgent ? min(interval, Self.lookInterval) : interval)
  }

  /// The own node proxy answered, with the namespace and the socket that asked.
  mutating func answered() -> Action {
    self.silences = 0
    switch self.phase {
    case .proven, .doubted: return .none
    case .waiting:
      self.phase = .proven
      return .proved
    case .quarantined:
      guard self.isClean else { return .none }
      self.phase = .proven
      return .release
    }
  }

  /// Nobody answered.
  mutating func silent() -> Action {
    self.silences = min(self.silences + 1, Self.mostSilences)
    guard self.phase == .proven, self.silences == Self.mostSilences else { return .none }
    self.phase = .waiting
    return .unproven
  }
}
