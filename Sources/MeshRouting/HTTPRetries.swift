package import MeshSnapshot

/// Whether a request that failed is sent once more, and when (GEP-1731): the rule's `retry` and what is left of it for one
/// request. Nothing is known here of bytes: who cannot say the request again drops this.
///
/// What is safe is RFC 9110 section 9.2.2: a request that did not begin, or that is idempotent, may be repeated; of any other only
/// the user knows, who says so by the code: 502 stands for a connection that was lost and for what is no answer, 504 for an
/// attempt that took too long, as the proxy itself would answer, and every code for an answer that bears it.
package struct HTTPRetries: Equatable, Sendable {
  /// What became of an attempt.
  package enum Failure: Equatable, Sendable {
    /// No endpoint took the connection, or it said that it did nothing of the request (RFC 9113 section 8.7).
    case untouched
    /// The connection, or the stream, ended before an answer began.
    case lost
    /// `timeouts.backendRequest` passed.
    case timedOut
    /// What came is no answer.
    case nonsense
    case answered(UInt16)
  }

  package enum Decision: Equatable, Sendable {
    /// Nobody asked for it to be tried again.
    case stands
    /// It would be, had it not been as often as it may.
    case exhausted
    /// It would be, were there not so many others (`UpstreamRecord.affordsRetry`).
    case unaffordable
    /// Milliseconds until the next attempt.
    case again(after: UInt64)
  }

  /// The wait doubles with every attempt, up to so many times the rule's.
  private static let mostBackoffs: UInt64 = 10

  private let rule: HTTPRetry
  private let isIdempotent: Bool
  private let repeatsAll: Bool
  private let seed: UInt64
  /// Attempts after the first.
  package private(set) var count: UInt32 = 0

  /// - repeatsAll: the user says that all requests are as if they were idempotent (`RetrySettings`).
  /// - seed: of the jitter.
  package init(_ rule: HTTPRetry, isIdempotent: Bool, repeatsAll: Bool = false, seed: UInt64) {
    self.rule = rule
    self.repeatsAll = repeatsAll
    self.isIdempotent = isIdempotent
    self.seed = seed
  }

  /// - affords: asked last, because who says yes has counted it: the budget and the limit of retries.
  package mutating func decide(_ failure: Failure, affords: () -> Bool = { true }) -> Decision {
    guard self.asks(failure) else { return .stands }
    guard self.count < self.rule.attempts else { return .exhausted }
    guard affords() else { return .unaffordable }
    self.count += 1
    return .again(after: self.wait)
  }

  private func asks(_ failure: Failure) -> Bool {
    switch failure {
    case .untouched: true
    case .lost: self.isIdempotent || self.repeatsAll || self.rule.codes.contains(502)
    case .timedOut: self.isIdempotent || self.rule.codes.contains(504)
    case .nonsense: self.rule.codes.contains(502)
    case .answered(let status): self.rule.codes.contains(status)
    }
  }

  /// Never less than the rule says, and up to a quarter more, so that requests that failed together do not come together.
  private var wait: UInt64 {
    let base = UInt64(self.rule.backoffMilliseconds)
    let doublings = UInt64(min(self.count - 1, 4))
    let wait = min(base << doublings, base * Self.mostBackoffs)
    // The high bits of a product are the mixed ones.
    let mixed = (self.seed ^ UInt64(self.count)) &* 0x9e37_79b9_7f4a_7c15
    return wait + (mixed >> 32) % (wait / 4 + 1)
  }
}
