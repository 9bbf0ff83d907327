import MeshHTTP
import MeshRouting

/// The body of a request of a rule with `retry`.
extension HTTPConnection {
  func rewind() {
    // Whoever took no more of the body is gone.
    self.dropsBody = false
  }

  /// `input` begins with the trailers.
  func keepEnd(_ input: Span<UInt8>, of draft: HTTPRetryDraft) {
    if self.dispatch.block != nil {
      draft.trailers = HTTPBridge.trailers(self.server.trailers, input)
    } else if self.dispatch.framing == .chunked {
      HTTP1Writer.lastChunk(self.server.trailers, input, to: &draft.body)
    }
  }

  /// What of the body went to an earlier attempt.
  func sayAgain(to leg: HTTP2Leg) {
    guard let draft = self.dispatch.retry, !leg.isWhole else { return }
    _ = leg.send(draft.body.span)
    if self.requestHasEnded { leg.end(draft.trailers) }
  }
}
