package import FoundationEssentials

/// Keeps one certificate fresh: asks for the next one before half of its life is over, again and again if that fails, and raises
/// alarms while it is late.
///
/// Two clocks. What is due when is counted on the monotonic one, from the moment the certificate came, so that a wall clock that
/// jumps neither ends a certificate early nor lets one grow old (`hostile-inputs` XD-12). The wall clock is asked once a certificate, for what
/// is left of it. The old certificate is used until the new one is there, and until its end: renewal never takes one away.
package struct RenewalMachine: Sendable {
  package struct Configuration: Sendable {
    /// Part of the life after which the next certificate is asked for, without and with all of the jitter: so that there is time for
    /// an answer, and for some tries, before half of it is over and somebody is told.
    package var renewal: ClosedRange<Double> = 0.4...0.48
    /// Seconds until the second try; each further one waits twice as long as the one before.
    package var firstRetry: Double = 1
    package var longestRetry: Double = 300

    package static let defaults = Configuration()
  }

  /// How much of its life a certificate has left when somebody is told, if its renewal fails so long.
  package enum Alarm: Double, Sendable, CaseIterable, Comparable {
    case half = 0.5
    case quarter = 0.25
    case tenth = 0.1

    package static func < (a: Alarm, b: Alarm) -> Bool { a.rawValue > b.rawValue }
  }

  package enum Action: Equatable, Sendable {
    /// Ask the authority; `succeeded` or `failed` says how it went.
    case request
    /// The certificate is late.
    case alarm(Alarm)
    /// It has ended: nobody accepts it any more.
    case expired
  }

  package enum Phase: Equatable, Sendable {
    /// Nothing was asked for yet.
    case idle
    case requesting(attempt: Int)
    /// Until then, in seconds of the monotonic clock.
    case waiting(until: Double, attempt: Int)
  }

  /// The certificate that is used, in seconds of the monotonic clock.
  private struct Held: Sendable {
    var ends: Double
    var life: Double
    var told: Alarm?
    var isExpired = false
  }

  private let configuration: Configuration
  package private(set) var phase = Phase.idle
  private var held: Held?

  package init(_ configuration: Configuration = .defaults) { self.configuration = configuration }

  /// There is a certificate that somebody would accept.
  package var hasCertificate: Bool { self.held.map { !$0.isExpired } ?? false }

  /// Somebody wants the certificate now. `.request` unless one is asked for or held.
  package mutating func wanted() -> Action? {
    guard self.phase == .idle else { return nil }
    self.phase = .requesting(attempt: 1)
    return .request
  }

  /// A new certificate is there: from the authority, or from the disk at the start.
  ///
  /// - Parameters:
  ///   - now: monotonic seconds.
  ///   - wall: the same moment on the wall clock.
  ///   - jitter: 0 to 1, drawn anew each time.
  package mutating func succeeded(notBefore: Date, notAfter: Date, now: Double, wall: Date, jitter: Double) {
    let life = max(notAfter.timeIntervalSince(notBefore), 1)
    // A clock that is behind would give a certificate more time than it has in all.
    let left = min(notAfter.timeIntervalSince(wall), life)
    self.held = Held(ends: now + left, life: life)
    let range = self.configuration.renewal
    let part = range.lowerBound + (range.upperBound - range.lowerBound) * min(max(jitter, 0), 1)
    self.phase = .waiting(until: now + max(left - life * (1 - part), 0), attempt: 0)
  }

  /// The authority refused or did not answer.
  package mutating func failed(now: Double, jitter: Double) {
    guard case .requesting(let attempt) = self.phase else { return }
    let doubled = self.configuration.firstRetry * Double(1 << min(attempt - 1, 20))
    let wait = min(doubled, self.configuration.longestRetry) * (0.5 + min(max(jitter, 0), 1) / 2)
    self.phase = .waiting(until: now + wait, attempt: attempt)
  }

  /// The next request is due at `time` at the latest: the control plane is there again, or another root signs now.
  package mutating func hurry(to time: Double) {
    guard case .waiting(let until, let attempt) = self.phase, time < until else { return }
    self.phase = .waiting(until: time, attempt: attempt)
  }

  /// Time has passed. What is to be done, the most urgent first; each alarm once a certificate.
  package mutating func tick(now: Double) -> [Action] {
    var actions: [Action] = []
    if var held = self.held, !held.isExpired {
      if now >= held.ends {
        held.isExpired = true
        actions.append(.expired)
      } else if let due = Alarm.allCases.last(where: { held.ends - now <= held.life * $0.rawValue }),
        held.told.map({ $0 < due }) ?? true
      {
        held.told = due
        actions.append(.alarm(due))
      }
      self.held = held
    }
    if case .waiting(let until, let attempt) = self.phase, now >= until {
      self.phase = .requesting(attempt: attempt + 1)
      actions.append(.request)
    }
    return actions
  }

  /// When `tick` has something to do next, in monotonic seconds; nil while an answer is awaited and nothing else is due.
  package var next: Double? {
    var moments: [Double] = []
    if case .waiting(let until, _) = self.phase { moments.append(until) }
    if let held = self.held, !held.isExpired {
      moments.append(held.ends)
      for alarm in Alarm.allCases where held.told.map({ $0 < alarm }) ?? true {
        moments.append(held.ends - held.life * alarm.rawValue)
        break
      }
    }
    return moments.min()
  }
}
