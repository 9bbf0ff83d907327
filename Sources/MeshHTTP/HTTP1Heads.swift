/// A request as everybody after this sees it: policy and routes match on it, and what goes upstream is written from it. The places
/// are in the bytes that the head was parsed from.
package struct HTTP1RequestHead: Sendable {
  package let method: Range<Int>
  package let isHead: Bool
  /// Path and query; begins with `/`, or is `*`.
  package let target: Range<Int>
  /// Of the absolute form or of `Host`, which agree where both are. Nil: a request of HTTP/1.0 without.
  package let authority: Range<Int>?
  package let minorVersion: UInt8
  package let framing: HTTP1Framing
  /// The client would send another request.
  package let keepsAlive: Bool
  package let expectsContinue: Bool
  /// Asks for a WebSocket in proper form. Other upgrades are not passed on.
  package let upgrades: Bool
  let nominated: HTTPFieldSet
  let nominatedOthers: [Range<Int>]

  init(_ head: borrowing HTTP1HeadParser, _ input: Span<UInt8>, limits: HTTP1Limits) throws(HTTP1Fault) {
    self.method = 0..<head.methodEnd
    self.isHead = input.matches(self.method, "head")
    guard !input.matches(self.method, "connect") else { throw .connect }
    // RFC 9113 section 11.6. An upstream that speaks both may take it for HTTP/2's preface.
    guard !input.matches(self.method, "pri") else { throw .method }
    let rules = try HTTP1FieldRules(head, input, limits: limits)
    self.minorVersion = head.minorVersion
    self.framing = rules.isChunked ? .chunked : rules.contentLength.map { .length($0) } ?? .none
    self.keepsAlive = !rules.closes && (head.minorVersion == 1 || rules.keepsAlive)
    self.nominated = rules.nominated.subtracting(.protected)
    self.nominatedOthers = rules.nominatedOthers

    let (authority, target) = try Self.split(input, head.target, isOptions: input.matches(self.method, "options"))
    self.target = target
    var host: Range<Int>?
    var expects = false
    var version13 = false
    var isWebSocket = false
    for field in head.fields {
      switch field.name {
      case .host:
        guard host == nil else { throw .hostRepeated }
        guard HTTPAuthority.isValid(input, field.valueRange) else { throw .host }
        host = field.valueRange
      case .expect:
        guard head.minorVersion == 1 else { continue }
        guard input.matches(field.valueRange, "100-continue") else { throw .expectation }
        expects = true
      case .upgrade: isWebSocket = input.matches(field.valueRange, "websocket")
      case .secWebSocketVersion: version13 = input.matches(field.valueRange, "13")
      default: break
      }
    }
    if host == nil, head.minorVersion == 1 { throw .hostMissing }
    if let authority, let host, !input.matches(authority, host) { throw .hostMismatch }
    self.authority = host ?? authority
    let hasBody = self.framing != .none && self.framing != .length(0)
    self.expectsContinue = expects && hasBody
    let upgrades =
      isWebSocket && version13 && rules.asksUpgrade && head.minorVersion == 1
      && head.present.contains(.secWebSocketKey) && input.matches(self.method, "get")
    if isWebSocket, rules.asksUpgrade, hasBody { throw .upgradeWithBody }
    self.upgrades = upgrades
  }

  /// The authority of an absolute form, and the target without it.
  private static func split(
    _ input: Span<UInt8>, _ target: Range<Int>, isOptions: Bool
  ) throws(HTTP1Fault) -> (Range<Int>?, Range<Int>) {
    if input[target.lowerBound] == HTTPBytes.slash { return (nil, target) }
    if target.count == 1, input[target.lowerBound] == 0x2a, isOptions { return (nil, target) }
    guard input.starts(target, with: "http://") else { throw .target }
    let start = target.lowerBound + 7
    var at = start
    while at < target.upperBound, input[at] != HTTPBytes.slash { at += 1 }
    guard at < target.upperBound, HTTPAuthority.isValid(input, start..<at) else { throw .target }
    return (start..<at, at..<target.upperBound)
  }
}

/// A response, interim or final.
package struct HTTP1ResponseHead: Sendable {
  package let status: UInt16
  package let reason: Range<Int>
  package let minorVersion: UInt8
  package let framing: HTTP1Framing
  /// As told, which for HEAD and 304 is not the body's.
  package let contentLength: UInt64?
  /// The upstream would take another request.
  package let keepsAlive: Bool
  let nominated: HTTPFieldSet
  let nominatedOthers: [Range<Int>]

  package var isInterim: Bool { self.status < 200 }

  init(
    _ head: borrowing HTTP1HeadParser, _ input: Span<UInt8>, answersHead: Bool, limits: HTTP1Limits
  ) throws(HTTP1Fault) {
    let rules = try HTTP1FieldRules(head, input, limits: limits)
    self.status = head.status
    self.reason = head.reason
    self.minorVersion = head.minorVersion
    self.nominated = rules.nominated.subtracting(.protected)
    self.nominatedOthers = rules.nominatedOthers
    let isBodyless = head.status < 200 || head.status == 204
    self.contentLength = isBodyless ? nil : rules.contentLength
    // What must not have a length and has one comes from a server that may send the body as well.
    let isDoubtful = isBodyless && (rules.isChunked || (rules.contentLength ?? 0) > 0)
    self.keepsAlive = !rules.closes && !isDoubtful && (head.minorVersion == 1 || rules.keepsAlive)
    if isBodyless || head.status == 304 || answersHead {
      self.framing = .none
    } else if rules.isChunked {
      self.framing = .chunked
    } else {
      self.framing = rules.contentLength.map { .length($0) } ?? .untilClose
    }
  }
}

/// `host[:port]` as `Host` has it (RFC 9110 section 7.2), without user information.
enum HTTPAuthority {
  static func isValid(_ input: Span<UInt8>, _ range: Range<Int>) -> Bool {
    guard !range.isEmpty, range.count <= 261 else { return false }
    var at = range.lowerBound
    if input[at] == 0x5b {
      at += 1
      let start = at
      while at < range.upperBound,
        HTTPBytes.hexDigit(input[at]) != nil || input[at] == HTTPBytes.colon || input[at] == 0x2e
      {
        at += 1
      }
      guard at < range.upperBound, input[at] == 0x5d, at - start >= 2 else { return false }
      at += 1
    } else {
      while at < range.upperBound, Self.isHostByte(input[at]) { at += 1 }
      guard at > range.lowerBound else { return false }
    }
    guard at < range.upperBound else { return true }
    guard input[at] == HTTPBytes.colon else { return false }
    let digits = at + 1..<range.upperBound
    guard (1...5).contains(digits.count) else { return false }
    var port = 0
    for index in digits {
      guard HTTPBytes.isDigit(input[index]) else { return false }
      port = port * 10 + Int(input[index] - 0x30)
    }
    return (1...65535).contains(port)
  }

  private static func isHostByte(_ byte: UInt8) -> Bool {
    HTTPBytes.isAlphanumeric(byte) || byte == 0x2d || byte == 0x2e || byte == HTTPBytes.underscore
  }
}
