/// Which proxy serves, which one is to take its place, and which ones finish what they have. Processes are their numbers,
/// times are milliseconds of a monotonic clock; what to do comes back as actions.
///
/// ```
///            replace         prepared              ready                  accepting
///  (steady) ────────► asked ──────────► preparing ───────► takingOver ───────────► (steady), the old one drains
///     ▲                 │                   │                  │  ended, 10 s over
///     │  not prepared   │  ended, 10 s over,│                  ▼
///     └─────────────────┴ refuses a revision┘◄─── ended ──── ending: given up, the old one serves on
/// ```
/// In `takingOver` both accept. Nobody is told to stop accepting before another one does.
struct ProxyGenerations: Equatable {
  /// From its start until it accepts: a new proxy that needs longer is given up.
  static let readyMilliseconds: Int64 = 10_000
  /// A proxy that serves says hello within this time, else another one is tried.
  static let linkMilliseconds: Int64 = 10_000
  static let linkAgainMilliseconds: Int64 = 60_000
  /// One that is told to drain says that it does within this time, else it gets a signal, and a time later no mercy if it
  /// still has listeners: connections that the kernel gives it would wait for good.
  static let confirmMilliseconds: Int64 = 5_000
  /// After its deadline a draining proxy ends by itself within this time.
  static let graceMilliseconds: Int64 = 10_000

  enum Action: Equatable {
    /// Start the one that serves; say `started` or `notStarted`.
    case start
    /// Start one beside; say `prepared` or `notPrepared`.
    case prepare
    /// It is to accept: hand it the listeners, say `accepting`.
    case promote(Int32)
    /// Hand over the listeners again, to whoever serves: it looks whether connections wait there.
    case handOverAgain
    case drain(Int32)
    case terminate(Int32)
    case killIfListening(Int32)
    case kill(Int32)
    case replaced(by: Int32)
    case gaveUp(reason: String)
  }

  enum Upgrade: Equatable {
    case none
    /// It is being started.
    case asked
    case preparing(Int32, deadline: Int64)
    case takingOver(Int32, deadline: Int64)
    /// It was given up and may have listeners until it is gone.
    case ending(Int32)
  }

  struct Drain: Equatable {
    var told: Int64
    var isConfirmed = false
    /// Without an answer: 1 signalled, 2 looked at.
    var reminders = 0
    /// Killed then.
    var ends: Int64
  }

  /// Who was found when the agent started.
  struct Found: Equatable {
    var serving: Int32?
    var older: [Int32] = []
    var newer: [Int32] = []
  }

  /// How long what is open may go on in a proxy that was replaced.
  let drainMilliseconds: Int64
  private(set) var serving: Int32?
  private(set) var upgrade = Upgrade.none
  private(set) var draining: [Int32: Drain] = [:]
  private(set) var restart = RestartMachine()
  private(set) var replaced = 0
  private(set) var givenUp = 0
  private var linkDeadline: Int64?
  /// One that speaks another protocol than the agent.
  private var foreign: Int32?

  init(drainMilliseconds: Int64) { self.drainMilliseconds = drainMilliseconds }

  // MARK: the one that serves

  mutating func start(at now: Int64, found: Found) -> [Action] {
    self.serving = found.serving
    // A candidate of an earlier agent has never had a listener.
    var actions = found.newer.map { Action.kill($0) }
    for process in found.older { actions += self.drain(process, at: now) }
    if found.serving != nil { self.linkDeadline = now + Self.linkMilliseconds }
    return actions + Self.actions(self.restart.start(at: now, adopted: found.serving != nil))
  }

  mutating func started(_ process: Int32, at now: Int64) {
    self.serving = process
    self.linkDeadline = now + Self.linkMilliseconds
  }

  mutating func notStarted(at now: Int64) -> [Action] { Self.actions(self.restart.ended(at: now)) }

  /// It has both sockets.
  mutating func linked(_ process: Int32) {
    if process == self.serving { self.linkDeadline = nil }
  }

  /// It said hello in another protocol: it will never be told anything, and not take over. Without a snapshot no other one
  /// could be either; `snapshotCame` says when there is one.
  mutating func speaksAnother(_ process: Int32, _ reason: String, hasSnapshot: Bool, at now: Int64) -> [Action] {
    if case .preparing(process, _) = self.upgrade { return self.giveUp(reason) }
    guard process == self.serving else { return [] }
    self.foreign = process
    // If the other one is given up.
    self.linkDeadline = now + Self.linkAgainMilliseconds
    return hasSnapshot ? self.snapshotCame() : []
  }

  mutating func snapshotCame() -> [Action] {
    guard let foreign = self.foreign, foreign == self.serving else { return [] }
    return self.replace() ?? []
  }

  /// It has every listener.
  mutating func accepting(_ process: Int32, at now: Int64) -> [Action] {
    if process == self.serving { self.restart.served(at: now) }
    guard case .takingOver(process, _) = self.upgrade else { return [] }
    let old = self.serving
    self.upgrade = .none
    self.serving = process
    self.linkDeadline = nil
    self.restart.replaced(at: now)
    self.replaced += 1
    return (old.map { self.drain($0, at: now) } ?? []) + [.replaced(by: process)]
  }

  // MARK: the one to come

  /// Nil: one is on its way already.
  mutating func replace() -> [Action]? {
    guard self.upgrade == .none else { return nil }
    self.upgrade = .asked
    return [.prepare]
  }

  mutating func prepared(_ process: Int32, at now: Int64) -> [Action] {
    let deadline = now + Self.readyMilliseconds
    guard self.serving != nil else {
      self.upgrade = .takingOver(process, deadline: deadline)
      return [.promote(process)]
    }
    self.upgrade = .preparing(process, deadline: deadline)
    return []
  }

  mutating func notPrepared(_ reason: String, at now: Int64) -> [Action] {
    self.upgrade = .none
    self.givenUp += 1
    return [.gaveUp(reason: reason)] + (self.serving == nil ? Self.actions(self.restart.ended(at: now)) : [])
  }

  /// It has the snapshot.
  mutating func ready(_ process: Int32) -> [Action] {
    guard case .preparing(process, let deadline) = self.upgrade else { return [] }
    self.upgrade = .takingOver(process, deadline: deadline)
    return [.promote(process)]
  }

  mutating func refused(_ process: Int32, _ reason: String, at now: Int64) -> [Action] {
    guard case .preparing(process, _) = self.upgrade else { return [] }
    return self.giveUp(reason)
  }

  private mutating func giveUp(_ reason: String) -> [Action] {
    self.givenUp += 1
    switch self.upgrade {
    case .none, .asked, .ending: return []
    case .preparing(let process, _):
      self.upgrade = .none
      return [.kill(process), .gaveUp(reason: reason)]
    case .takingOver(let process, _):
      self.upgrade = .ending(process)
      return [.kill(process), .gaveUp(reason: reason)]
    }
  }

  // MARK: those that go

  private mutating func drain(_ process: Int32, at now: Int64) -> [Action] {
    self.draining[process] = Drain(told: now, ends: now + self.drainMilliseconds + Self.graceMilliseconds)
    return [.drain(process)]
  }

  /// It says that it accepts no more, asked or not.
  mutating func drains(_ process: Int32, at now: Int64) -> [Action] {
    if self.draining[process] != nil {
      self.draining[process]?.isConfirmed = true
      return []
    }
    guard process == self.serving else { return [] }
    self.serving = nil
    self.linkDeadline = nil
    self.draining[process] = Drain(
      told: now, isConfirmed: true, ends: now + self.drainMilliseconds + Self.graceMilliseconds)
    return self.withoutServing(at: now)
  }

  mutating func ended(_ process: Int32, _ how: String, at now: Int64) -> [Action] {
    if let drain = self.draining.removeValue(forKey: process) {
      // What the kernel woke it for and nobody took waits in the listener.
      return drain.isConfirmed ? [] : [.handOverAgain]
    }
    if process == self.serving {
      self.serving = nil
      self.linkDeadline = nil
      return self.withoutServing(at: now)
    }
    switch self.upgrade {
    case .preparing(process, _):
      self.givenUp += 1
      self.upgrade = .none
      return [.gaveUp(reason: "it ended before it was ready: \(how)")]
    case .takingOver(process, _):
      self.givenUp += 1
      self.upgrade = .none
      return [.gaveUp(reason: "it ended before it accepted: \(how)")] + self.back(at: now)
    case .ending(process):
      self.upgrade = .none
      return self.back(at: now)
    default: return []
    }
  }

  /// The one that served serves on; if it is gone as well, another one is started.
  private mutating func back(at now: Int64) -> [Action] {
    if let serving = self.serving { return [.promote(serving), .handOverAgain] }
    return Self.actions(self.restart.ended(at: now))
  }

  /// Nobody serves: the one to come does, or another one is started.
  private mutating func withoutServing(at now: Int64) -> [Action] {
    switch self.upgrade {
    case .none: return Self.actions(self.restart.ended(at: now))
    case .preparing(let process, let deadline):
      self.upgrade = .takingOver(process, deadline: deadline)
      return [.promote(process)]
    case .takingOver: return [.handOverAgain]
    case .asked, .ending: return []
    }
  }

  // MARK: time

  /// When `passed` is due at the latest. Nil: there is nothing to wait for.
  var nextDeadline: Int64? {
    var times: [Int64] = []
    if case .waiting(let until) = self.restart.phase { times.append(until) }
    switch self.upgrade {
    case .preparing(_, let deadline), .takingOver(_, let deadline): times.append(deadline)
    case .none, .asked, .ending: break
    }
    if let deadline = self.linkDeadline { times.append(deadline) }
    for drain in self.draining.values { times.append(Self.next(drain)) }
    return times.min()
  }

  private static func next(_ drain: Drain) -> Int64 {
    guard !drain.isConfirmed, drain.reminders < 2 else { return drain.ends }
    return min(drain.ends, drain.told + self.confirmMilliseconds * Int64(drain.reminders + 1))
  }

  mutating func passed(_ now: Int64) -> [Action] {
    var actions: [Action] = []
    if case .waiting(let until) = self.restart.phase, now >= until, self.upgrade == .none {
      actions += Self.actions(self.restart.waited(at: now))
    }
    switch self.upgrade {
    case .preparing(_, let deadline) where now >= deadline:
      actions += self.giveUp("it was not ready within \(Self.readyMilliseconds / 1000) s")
    case .takingOver(_, let deadline) where now >= deadline:
      actions += self.giveUp("it did not accept within \(Self.readyMilliseconds / 1000) s")
    default: break
    }
    if let deadline = self.linkDeadline, now >= deadline {
      self.linkDeadline = now + Self.linkAgainMilliseconds
      actions += self.replace() ?? []
    }
    for (process, drain) in self.draining.sorted(by: { $0.key < $1.key }) where now >= Self.next(drain) {
      if now >= drain.ends {
        self.draining[process]?.ends = now + Self.graceMilliseconds
        actions.append(.kill(process))
      } else {
        self.draining[process]?.reminders += 1
        actions.append(drain.reminders == 0 ? .terminate(process) : .killIfListening(process))
      }
    }
    return actions
  }

  private static func actions(_ action: RestartMachine.Action) -> [Action] {
    switch action {
    case .spawn: [.start]
    // `nextDeadline` has it.
    case .wait, .none: []
    }
  }
}
