package import MeshSnapshot

extension RetrySettings {
  /// What holds for a request of a rule that has `own`.
  package func rule(over own: HTTPRetry?) -> HTTPRetry? { own ?? self.rule }

  /// How long an attempt may take, in milliseconds, by the rule's `timeouts.backendRequest` and the policy. Nil or 0: any time.
  package func attemptMilliseconds(_ backendRequest: UInt32?) -> UInt32? {
    [backendRequest, self.perTryMilliseconds].compactMap { $0 }.filter { $0 > 0 }.min()
  }
}
