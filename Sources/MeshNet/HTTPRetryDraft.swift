import MeshHTTP
import MeshRouting
import MeshSnapshot

/// What it takes to send a request again where a rule or a policy asks for it: its body, as far as it was passed on, as the
/// upstream's version of HTTP has it. Its head the exchange keeps anyway.
final class HTTPRetryDraft {
  /// Of a body, where no policy says it; what is longer is sent once.
  static let mostBody = 64 << 10

  private let rule: HTTPRetry
  private let repeatsAll: Bool
  private let mostBody: Int
  /// Nothing of it is to be told back to the client: it was, when it was passed on.
  var body: [UInt8] = []
  /// Of HTTP/2.
  var trailers: FieldBlock?

  init(_ rule: HTTPRetry, _ settings: RetrySettings?) {
    self.rule = rule
    self.repeatsAll = settings?.repeatsAll ?? false
    self.mostBody = settings.map { Int($0.bodyBytes) } ?? Self.mostBody
  }

  func retries(isIdempotent: Bool, seed: UInt64) -> HTTPRetries {
    HTTPRetries(self.rule, isIdempotent: isIdempotent, repeatsAll: self.repeatsAll, seed: seed)
  }

  /// False: it is too much.
  func keep(_ input: Span<UInt8>, chunked: Bool) -> Bool {
    guard self.body.count + input.count <= self.mostBody else { return false }
    if chunked { HTTP1Writer.chunkBegin(input.count, to: &self.body) }
    self.body.append(input)
    if chunked { HTTP1Writer.chunkEnd(to: &self.body) }
    return true
  }
}
