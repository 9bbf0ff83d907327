/// Names of fields that this code knows, as small numbers: sets of them are one word (`HTTPFieldSet`).
package enum HTTPFieldName: UInt8, Hashable, Sendable, CaseIterable {
  /// Any name that is not below.
  case other
  case accept, acceptEncoding, acceptLanguage, accessControlRequestHeaders, accessControlRequestMethod, age
  case authorization, baggage, cacheControl, connection, contentEncoding, contentLength, contentRange, contentType,
    cookie
  case date, etag, expect, forwarded, grpcTimeout, host, http2Settings, keepAlive, l5dClientID, lastModified, location
  case maxForwards, origin, proxyAuthenticate, proxyAuthorization, proxyConnection, referer, retryAfter
  case secWebSocketKey, secWebSocketVersion, server, setCookie, te, traceparent, tracestate, trailer, transferEncoding
  case upgrade, userAgent, via, xForwardedClientCert, xForwardedFor, xForwardedHost, xForwardedProto, xRequestID

  /// In lower case.
  package var text: String {
    switch self {
    case .other: ""
    case .accept: "accept"
    case .acceptEncoding: "accept-encoding"
    case .acceptLanguage: "accept-language"
    case .accessControlRequestHeaders: "access-control-request-headers"
    case .accessControlRequestMethod: "access-control-request-method"
    case .age: "age"
    case .authorization: "authorization"
    case .baggage: "baggage"
    case .cacheControl: "cache-control"
    case .connection: "connection"
    case .contentEncoding: "content-encoding"
    case .contentLength: "content-length"
    case .contentRange: "content-range"
    case .contentType: "content-type"
    case .cookie: "cookie"
    case .date: "date"
    case .etag: "etag"
    case .expect: "expect"
    case .forwarded: "forwarded"
    case .grpcTimeout: "grpc-timeout"
    case .host: "host"
    case .http2Settings: "http2-settings"
    case .keepAlive: "keep-alive"
    case .l5dClientID: "l5d-client-id"
    case .lastModified: "last-modified"
    case .location: "location"
    case .maxForwards: "max-forwards"
    case .origin: "origin"
    case .proxyAuthenticate: "proxy-authenticate"
    case .proxyAuthorization: "proxy-authorization"
    case .proxyConnection: "proxy-connection"
    case .referer: "referer"
    case .retryAfter: "retry-after"
    case .secWebSocketKey: "sec-websocket-key"
    case .secWebSocketVersion: "sec-websocket-version"
    case .server: "server"
    case .setCookie: "set-cookie"
    case .te: "te"
    case .traceparent: "traceparent"
    case .tracestate: "tracestate"
    case .trailer: "trailer"
    case .transferEncoding: "transfer-encoding"
    case .upgrade: "upgrade"
    case .userAgent: "user-agent"
    case .via: "via"
    case .xForwardedClientCert: "x-forwarded-client-cert"
    case .xForwardedFor: "x-forwarded-for"
    case .xForwardedHost: "x-forwarded-host"
    case .xForwardedProto: "x-forwarded-proto"
    case .xRequestID: "x-request-id"
    }
  }
}

/// A set of known names.
package struct HTTPFieldSet: Hashable, Sendable, ExpressibleByArrayLiteral {
  private(set) var bits: UInt64 = 0

  package init(arrayLiteral names: HTTPFieldName...) {
    for name in names { self.insert(name) }
  }

  private init(bits: UInt64) { self.bits = bits }

  @inline(__always)
  package func contains(_ name: HTTPFieldName) -> Bool { self.bits &>> UInt64(name.rawValue) & 1 != 0 }

  @inline(__always)
  package mutating func insert(_ name: HTTPFieldName) { self.bits |= 1 &<< UInt64(name.rawValue) }

  package func union(_ other: HTTPFieldSet) -> HTTPFieldSet { .init(bits: self.bits | other.bits) }

  package func subtracting(_ other: HTTPFieldSet) -> HTTPFieldSet { .init(bits: self.bits & ~other.bits) }

  package func isDisjoint(with other: HTTPFieldSet) -> Bool { self.bits & other.bits == 0 }

  /// Of one connection, never passed on (RFC 9110 section 7.6.1): framing is written anew.
  package static let hopByHop: HTTPFieldSet = [
    .connection, .proxyConnection, .keepAlive, .te, .trailer, .transferEncoding, .upgrade, .http2Settings,
    .proxyAuthenticate, .proxyAuthorization, .contentLength,
  ]

  /// `Connection` cannot have these taken away (row H1-32): what is behind relies on them.
  package static let protected: HTTPFieldSet = [
    .host, .contentLength, .transferEncoding, .contentType, .contentEncoding, .contentRange, .authorization, .cookie,
    .setCookie, .forwarded, .via, .xForwardedClientCert, .xForwardedFor, .xForwardedHost, .xForwardedProto, .xRequestID,
    .traceparent, .tracestate, .baggage, .origin, .cacheControl, .grpcTimeout, .l5dClientID, .expect, .date, .location,
  ]

  /// What a trailer cannot say (RFC 9110 section 6.5.1): framing, routing, authentication, how the content is read.
  package static let forbiddenInTrailers: HTTPFieldSet = Self.hopByHop.union(Self.protected).union([
    .accept, .acceptEncoding, .acceptLanguage, .age, .maxForwards, .retryAfter, .accessControlRequestHeaders,
    .accessControlRequestMethod, .secWebSocketKey, .secWebSocketVersion, .userAgent, .referer,
  ])
}

/// Finds a name by its length and its last eight bytes, then compares the rest.
struct HTTPFieldNames: Sendable {
  private struct Entry {
    var name: HTTPFieldName
    var tail: UInt64
    var bytes: [UInt8]
  }

  static let shared = HTTPFieldNames()

  private let entries: [Entry]
  /// Where the names of a length begin in `entries`.
  private let starts: [Int]

  private init() {
    let names = HTTPFieldName.allCases.filter { $0 != .other }.sorted { $0.text.utf8.count < $1.text.utf8.count }
    self.entries = names.map { name in
      let bytes = [UInt8](name.text.utf8)
      return Entry(name: name, tail: bytes.reduce(0) { $0 << 8 | UInt64($1) }, bytes: bytes)
    }
    let longest = self.entries.last?.bytes.count ?? 0
    self.starts = (0...longest + 1).map { length in names.count { $0.text.utf8.count < length } }
  }

  /// `tail`: the bytes of the name, each with the bit 0x20, shifted in from the right. The bit makes small letters of capitals, and
  /// of no other byte of a token one that a name in the table has.
  @inline(__always)
  func find(_ input: Span<UInt8>, _ range: Range<Int>, tail: UInt64) -> HTTPFieldName {
    let length = range.count
    guard length + 1 < self.starts.count else { return .other }
    for index in self.starts[length]..<self.starts[length + 1] where self.entries[index].tail == tail {
      if length <= 8 || input.matches(range, self.entries[index].bytes) { return self.entries[index].name }
    }
    return .other
  }

  func find(_ input: Span<UInt8>, _ range: Range<Int>) -> HTTPFieldName {
    var tail: UInt64 = 0
    for index in range { tail = tail << 8 | UInt64(input[index] | 0x20) }
    return self.find(input, range, tail: tail)
  }
}
