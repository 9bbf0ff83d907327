import MeshBase
import MeshDatapath
import MeshLinux

/// One workload's canary: the sockets inside its namespace, what was dialled with them, and what is believed.
///
/// Confined to the agent.
final class CanaryWatch {
  /// Of the enrolment that it belongs to.
  let id: FileID
  let namespaceCookie: UInt64
  var machine: CanaryMachine
  /// A veth led to the workload once, and none does now.
  private(set) var isEdgeLost = false
  private var hadEdge = false
  /// What the last dial came to, if it was somebody else's answer.
  var wasStrange = false
  /// The programs do not run for a cgroup of it, as of the last survey.
  var isIneffective = false
  private var schedule: SurveySchedule
  private var surveyor: ListenerSurvey?
  /// Listeners that were seen to be the unit's, by cookie: what a socket is does not change.
  private var owned: Set<UInt64> = []
  private let namespace: NetworkNamespace
  private let v4: CanarySocket
  private let v6: CanarySocket?
  /// The one that waits for an answer, and until when.
  private var pending: (isV4: Bool, deadline: Int64)?
  private var dialsV4Next = true
  /// Counts looks, from another number in each namespace.
  private var looks: UInt8

  /// An answer takes a fraction of a millisecond; a proxy that starts anew takes a second.
  private static let answerTime: Int64 = 2000

  /// - Throws: what keeps sockets from being made.
  init(_ workload: EnrolledWorkload, now: Int64) throws(MeshError) {
    self.id = workload.id
    self.namespaceCookie = workload.namespace.cookie
    self.machine = CanaryMachine(now: now)
    self.schedule = SurveySchedule(now: now, spread: workload.namespace.cookie)
    self.looks = UInt8(truncatingIfNeeded: workload.namespace.cookie)
    self.namespace = workload.namespace
    self.v4 = try CanarySocket(in: workload.namespace, isV4: true)
    do throws(MeshError) {
      self.v6 = try CanarySocket(in: workload.namespace, isV4: false)
    } catch {
      // Nothing there can call over IPv6 either.
      guard error.code == .unsupported else { throw error }
      self.v6 = nil
    }
  }

  /// What is known of the workload now. Called whenever it may have changed.
  func note(_ workload: EnrolledWorkload, mayQuarantine: Bool) {
    let hasEdge = !workload.local.interfaces.isEmpty
    self.hadEdge = self.hadEdge || hasEdge
    self.isEdgeLost = self.hadEdge && !hasEdge
    self.machine.mayQuarantine = mayQuarantine
  }

  /// Whether the listeners are to be listed: at every look while there is an alarm, because who holds a socket can change
  /// without the socket, or while the programs do not run for one.
  /// - Parameter mark: of the whole host's sockets, nil: not known.
  func wantsSurvey(isAlarmed: Bool, mark: UInt64?, now: Int64) -> Bool {
    if self.isIneffective { return true }
    // What an alarm refuses is let in as soon as its reason has gone.
    guard self.schedule.wantsCount(now: now) || isAlarmed else { return false }
    if !isAlarmed, self.schedule.isAtRest(mark: mark, now: now) { return false }
    if self.surveyor == nil { self.surveyor = try? ListenerSurvey(of: self.namespace) }
    return self.schedule.counted(
      isAlarmed ? nil : self.surveyor?.inUse(since: self.schedule.takeBasis()), now: now)
  }

  func listeners(now: Int64) throws(MeshError) -> [SocketRecord] {
    let surveyor: ListenerSurvey
    if let made = self.surveyor { surveyor = made } else { surveyor = try ListenerSurvey(of: self.namespace) }
    self.surveyor = nil
    do throws(MeshError) {
      let listeners = try surveyor.listeners()
      self.surveyor = surveyor
      return listeners
    } catch {
      self.schedule.forget(now: now)
      throw error
    }
  }

  /// What is right for its listeners may be something else now.
  func surveySoon(now: Int64) { self.schedule.forget(now: now) }

  /// A listener belongs to the unit if it was made in its cgroup, or below, or if a process there holds it.
  func owns(_ listener: SocketRecord, cgroup: Cgroup) -> Bool {
    if self.owned.contains(listener.cookie) { return true }
    guard cgroup.contains(id: listener.cgroup) == true || cgroup.holdsSocket(inode: listener.inode) else {
      return false
    }
    self.owned.insert(listener.cookie)
    return true
  }

  var hasBothFamilies: Bool { self.v6 != nil }

  var isDialling: Bool { self.pending != nil }

  /// Whether the connect hook sees what is called; nil: the kernel could not say now, or is not asked in this look.
  func pulse(_ part: CanaryMachine.Part) -> Bool? {
    self.looks &+= 1
    var isSteered: Bool? = nil
    for isV4 in [true, false] where self.pending?.isV4 != isV4 && self.pulses(isV4, part) {
      switch isV4 ? self.v4.pulse() : (self.v6?.pulse() ?? .unknown) {
      case .steered: isSteered = isSteered ?? true
      case .failed: return false
      case .dialling, .unknown: break
      }
    }
    return isSteered
  }

  private func pulses(_ isV4: Bool, _ part: CanaryMachine.Part) -> Bool {
    guard self.machine.isProven else { return true }
    return part.asks(v4: isV4, hasV6: self.v6 != nil, look: self.looks)
  }

  enum Outcome: Equatable {
    case nothing
    case answered
    case silent
    case strange
  }

  /// The families take turns.
  func dial(now: Int64) -> Outcome {
    let isV4 = self.dialsV4Next || self.v6 == nil
    self.dialsV4Next = !isV4
    switch isV4 ? self.v4.dial() : (self.v6?.dial() ?? .unknown) {
    case .dialling:
      self.pending = (isV4, now + Self.answerTime)
      return .nothing
    case .failed: return .silent
    case .steered, .unknown: return .nothing
    }
  }

  func read(now: Int64) -> Outcome {
    guard let pending = self.pending else { return .nothing }
    let reading = pending.isV4 ? self.v4.read() : (self.v6?.read() ?? .ended)
    let cookie = pending.isV4 ? self.v4.cookie : (self.v6?.cookie ?? 0)
    switch reading {
    case .nothing:
      guard now >= pending.deadline else { return .nothing }
      if pending.isV4 { self.v4.reset() } else { self.v6?.reset() }
      self.pending = nil
      return .silent
    case .answer(let answer):
      self.pending = nil
      return answer == CanaryAnswer(namespaceCookie: self.namespaceCookie, socketCookie: cookie) ? .answered : .strange
    case .strange:
      self.pending = nil
      return .strange
    case .ended:
      self.pending = nil
      return .silent
    }
  }
}
