import MeshBase
import MeshHTTP
import MeshRouting
import MeshSnapshot

/// What the access log will say of a request and has to be copied while its head is there. Written only if there is a log.
///
/// Unchecked: it has one owner at a time, the request and then the log's thread, which gets it with the request's end.
final class AccessDraft: @unchecked Sendable {
  enum Text: Int, CaseIterable {
    case method, target, authority, userAgent, referer, requestID, traceparent
  }

  /// Of one text: what is longer is cut.
  static let longest = 4096

  private var bytes: [UInt8] = []
  private var places = [Range<Int>?](repeating: nil, count: Text.allCases.count)
  /// `HTTP/1.1` and the like.
  var version: StaticString = "HTTP/1.1"
  var origin: RouteOrigin?
  /// Why the proxy answered by itself.
  var reason: String?
  var upstream: SocketEndpoint?
  /// How often it was sent, or was to be.
  var attempts = 1

  /// Nil: there is none.
  subscript(text: Text) -> String? {
    self.places[text.rawValue].map { String(decoding: self.bytes[$0], as: UTF8.self) }
  }

  /// For the next request.
  func clear() {
    self.bytes.removeAll(keepingCapacity: true)
    for index in self.places.indices { self.places[index] = nil }
    (self.origin, self.reason, self.upstream, self.attempts) = (nil, nil, nil, 1)
  }

  /// The first of a name counts.
  func note(_ text: Text, _ input: Span<UInt8>, _ range: Range<Int>) {
    guard self.places[text.rawValue] == nil else { return }
    let start = self.bytes.count
    self.bytes.append(input.extracting(range.lowerBound..<min(range.upperBound, range.lowerBound + Self.longest)))
    self.places[text.rawValue] = start..<self.bytes.count
  }

  func note(_ text: Text, _ bytes: [UInt8]) {
    if !bytes.isEmpty { self.note(text, bytes.span, 0..<bytes.count) }
  }

  /// The head as the client sent it.
  func note(_ request: HTTPRequestPlaces, _ fields: [HTTPRequestHead.Field], in input: Span<UInt8>) {
    self.note(.method, input, request.method)
    self.note(.target, input, request.target)
    if let authority = request.authority { self.note(.authority, input, authority) }
    for field in fields {
      switch field.name.count {
      case 7: if input.matches(field.name, "referer") { self.note(.referer, input, field.value) }
      case 10: if input.matches(field.name, "user-agent") { self.note(.userAgent, input, field.value) }
      // The two as they are passed on; else the proxy's own are noted.
      case 11: if input.matches(field.name, "traceparent") { self.note(.traceparent, input, field.value) }
      case 12: if input.matches(field.name, "x-request-id") { self.note(.requestID, input, field.value) }
      default: break
      }
    }
  }
}
