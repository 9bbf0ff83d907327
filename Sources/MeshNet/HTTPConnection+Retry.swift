import MeshHTTP
import MeshRouting

/// Another attempt at a request of a rule with `retry`.
extension HTTPConnection {
  /// The wait is over.
  func tryAgain() {
    guard let draft = self.retry else { return self.answerLocally(.upstreamClosed) }
    self.account.triedAgain()
    self.loop.counters.retries &+= 1
    // Whoever took no more of the body is gone.
    self.dropsBody = false
    self.perform(
      self.attempts.again(
        in: self.loop.table?.share(of: draft.target, to: self.flow.original), of: self.loop.table, now: self.loop.now,
        using: &self.loop.random))
  }

  /// Before it is passed on.
  func keepBody(_ input: Span<UInt8>, of draft: HTTPRetryDraft) {
    let isChunked = self.requestBlock == nil && self.server.request?.framing == .chunked
    guard !self.exchange.mayRetry || !draft.keep(input, chunked: isChunked) else { return }
    self.retry = nil
    self.exchange.lostBody()
  }

  /// `input` begins with the trailers.
  func keepEnd(_ input: Span<UInt8>, of draft: HTTPRetryDraft) {
    if self.requestBlock != nil {
      draft.trailers = HTTPBridge.trailers(self.server.trailers, input)
    } else if self.server.request?.framing == .chunked {
      HTTP1Writer.lastChunk(self.server.trailers, input, to: &draft.body)
    }
  }

  /// What of the body went to an earlier attempt.
  func sayAgain(to leg: HTTP2Leg) {
    guard let draft = self.retry, !leg.isWhole else { return }
    _ = leg.send(draft.body.span)
    if self.requestHasEnded { leg.end(draft.trailers) }
  }
}
