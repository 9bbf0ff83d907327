import MeshHTTP
import MeshRouting

/// Another attempt at a request of a rule with `retry`.
extension HTTP2Exchange {
  /// The wait is over.
  func tryAgain() {
    guard let draft = self.retry else { return self.answerLocally(.upstreamClosed) }
    self.account.triedAgain()
    self.loop.counters.retries &+= 1
    self.rewindDraft()
    self.perform(
      self.attempts.again(
        in: self.loop.table?.share(of: draft.target, to: self.server.flow.original), of: self.loop.table,
        now: self.loop.now, using: &self.loop.random))
  }

  /// Before it is passed on.
  func keepBody(_ input: Span<UInt8>, of draft: HTTPRetryDraft) {
    let isChunked = self.requestBlock == nil && self.framing == .chunked
    guard !self.exchange.mayRetry || !draft.keep(input, chunked: isChunked) else { return }
    self.retry = nil
    self.exchange.lostBody()
  }

  /// What the attempt before was given is in the draft: whatever of it had not gone is nobody's any more, and the client may
  /// send as much.
  func rewindDraft() {
    guard self.retry != nil, self.exchange.mayRetry else { return }
    self.repeated = 0
    self.endIsSent = false
    self.giveBack(self.held - self.pending.count)
  }

  /// What of the body went to an earlier attempt. Its end follows with what has come since.
  func sayAgain(to leg: HTTP2Leg) {
    guard let draft = self.retry, !draft.body.isEmpty else { return }
    self.repeated = draft.body.count - leg.send(draft.body.span)
  }
}
