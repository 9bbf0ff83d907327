import MeshHTTP
import MeshRouting

/// The body of a request of a rule with `retry`.
extension HTTP2Exchange {
  /// What the attempt before was given is in the draft: whatever of it had not gone is nobody's any more, and the client may
  /// send as much.
  func rewind() {
    guard self.dispatch.retry != nil, self.dispatch.mayRetry else { return }
    self.repeated = 0
    self.endIsSent = false
    self.giveBack(self.held - self.pending.count)
  }

  /// What of the body went to an earlier attempt. Its end follows with what has come since.
  func sayAgain(to leg: HTTP2Leg) {
    guard let draft = self.dispatch.retry, !draft.body.isEmpty else { return }
    self.repeated = draft.body.count - leg.send(draft.body.span)
  }
}
