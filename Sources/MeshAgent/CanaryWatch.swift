import MeshBase
import MeshLinux

/// One workload's canary: the sockets inside its namespace, what was dialled with them, and what is believed.
///
/// Confined to the agent.
final class CanaryWatch {
  /// Of the enrolment that it belongs to.
  let id: FileID
  let namespaceCookie: UInt64
  var machine: CanaryMachine
  /// A veth led to the workload once.
  var hadEdge = false
  /// What the last dial came to, if it was somebody else's answer.
  var wasStrange = false
  private let v4: CanarySocket
  private let v6: CanarySocket?
  /// The one that waits for an answer, and until when.
  private var pending: (isV4: Bool, deadline: Int64)?
  private var dialsV4Next = true

  /// An answer takes a fraction of a millisecond; a proxy that starts anew takes a second.
  private static let answerTime: Int64 = 2000

  /// - Throws: what keeps sockets from being made.
  init(_ workload: EnrolledWorkload, now: Int64) throws(MeshError) {
    self.id = workload.id
    self.namespaceCookie = workload.namespace.cookie
    self.machine = CanaryMachine(now: now)
    self.v4 = try CanarySocket(in: workload.namespace, isV4: true)
    do throws(MeshError) {
      self.v6 = try CanarySocket(in: workload.namespace, isV4: false)
    } catch {
      // Nothing there can call over IPv6 either.
      guard error.code == .unsupported else { throw error }
      self.v6 = nil
    }
  }

  var isDialling: Bool { self.pending != nil }

  /// Whether the connect hooks of both families see what is called. Nil: the kernel could not say now.
  func pulse() -> Bool? {
    var isSteered: Bool? = nil
    for isV4 in [true, false] where self.pending?.isV4 != isV4 {
      switch isV4 ? self.v4.pulse() : (self.v6?.pulse() ?? .unknown) {
      case .steered: isSteered = isSteered ?? true
      case .failed: return false
      case .dialling, .unknown: break
      }
    }
    return isSteered
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
