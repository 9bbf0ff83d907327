/// What a client says of a request's way is kept once, in form and within bounds; the rest is removed (rows HN-05, HN-06).
struct HTTPKeptPassage {
  static let names: HTTPFieldSet = [.traceparent, .xRequestID, .xForwardedFor, .xForwardedProto, .xForwardedHost]
  private static let forwardedForBytes = 1024

  private(set) var requestID = false
  private(set) var trace = false
  private(set) var proto = false
  private(set) var host = false
  /// There is an `X-Forwarded-For` that stays.
  private(set) var chain = false
  private var hops = 0

  mutating func see(_ name: HTTPFieldName, _ value: Range<Int>, _ input: Span<UInt8>, removed: inout HTTPFieldSet) {
    switch name {
    case .traceparent:
      if self.trace || !Self.isTraceparent(input, value) { removed.insert(.traceparent) }
      self.trace = true
    case .xRequestID:
      if self.requestID || !(1...128).contains(value.count) { removed.insert(.xRequestID) }
      self.requestID = true
    case .xForwardedFor: self.hops += value.count
    case .xForwardedProto: self.proto = true
    case .xForwardedHost: self.host = true
    default: break
    }
  }

  mutating func end(removed: inout HTTPFieldSet) {
    if self.hops > Self.forwardedForBytes { removed.insert(.xForwardedFor) }
    self.chain = self.hops > 0 && !removed.contains(.xForwardedFor)
    self.proto = self.proto && !removed.contains(.xForwardedProto)
    self.host = self.host && !removed.contains(.xForwardedHost)
    self.trace = self.trace && !removed.contains(.traceparent)
    self.requestID = self.requestID && !removed.contains(.xRequestID)
  }

  /// `00-<32 hex>-<16 hex>-<2 hex>` of W3C Trace Context, in lower case, ids not zero.
  private static func isTraceparent(_ input: Span<UInt8>, _ range: Range<Int>) -> Bool {
    guard range.count == 55 else { return false }
    var traceIsZero = true
    var spanIsZero = true
    for offset in 0..<55 {
      let byte = input[range.lowerBound + offset]
      switch offset {
      case 2, 35, 52: guard byte == 0x2d else { return false }
      default:
        guard HTTPBytes.hexDigit(byte) != nil, !HTTPBytes.isUpper(byte) else { return false }
        if byte != 0x30, (3..<35).contains(offset) { traceIsZero = false }
        if byte != 0x30, (36..<52).contains(offset) { spanIsZero = false }
      }
    }
    return !traceIsZero && !spanIsZero && !input.matches(range.lowerBound..<range.lowerBound + 2, "ff")
  }
}
