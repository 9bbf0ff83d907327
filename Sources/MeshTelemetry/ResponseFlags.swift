/// Why a request was not simply answered by its upstream: Envoy's words (access log, `RESPONSE_FLAGS`), so that what reads
/// Istio's metrics and logs reads these.
package struct ResponseFlags: OptionSet, Hashable, Sendable {
  package let rawValue: UInt16

  package init(rawValue: UInt16) { self.rawValue = rawValue }

  /// No rule matches.
  package static let noRoute = ResponseFlags(rawValue: 1 << 0)
  /// The rule leads to a backend that does not exist or is not granted.
  package static let noCluster = ResponseFlags(rawValue: 1 << 1)
  /// No endpoint is ready.
  package static let noHealthyUpstream = ResponseFlags(rawValue: 1 << 2)
  /// No endpoint took the connection.
  package static let upstreamConnectionFailure = ResponseFlags(rawValue: 1 << 3)
  /// The upstream ended the connection before its answer was whole.
  package static let upstreamConnectionTermination = ResponseFlags(rawValue: 1 << 4)
  /// It reset the stream.
  package static let upstreamRemoteReset = ResponseFlags(rawValue: 1 << 5)
  /// It did not answer in time.
  package static let upstreamRequestTimeout = ResponseFlags(rawValue: 1 << 6)
  /// What it sent is no answer.
  package static let upstreamProtocolError = ResponseFlags(rawValue: 1 << 7)
  /// A limit of connections, requests or waiting sockets was reached.
  package static let upstreamOverflow = ResponseFlags(rawValue: 1 << 8)
  /// The last of its tries failed as well.
  package static let upstreamRetryLimitExceeded = ResponseFlags(rawValue: 1 << 9)
  /// The client went before the answer was whole.
  package static let downstreamConnectionTermination = ResponseFlags(rawValue: 1 << 10)
  /// What the client sent is no request.
  package static let downstreamProtocolError = ResponseFlags(rawValue: 1 << 11)
  /// The whole request took longer than it may (`timeouts.request`).
  package static let durationTimeout = ResponseFlags(rawValue: 1 << 12)
  /// Nothing moved for longer than may be.
  package static let streamIdleTimeout = ResponseFlags(rawValue: 1 << 13)

  /// It was held up on purpose.
  package static let delayInjected = ResponseFlags(rawValue: 1 << 14)
  /// It was answered on purpose.
  package static let faultInjected = ResponseFlags(rawValue: 1 << 15)

  private static let letters = [
    "NR", "NC", "UH", "UF", "UC", "UR", "UT", "UPE", "UO", "URX", "DC", "DPE", "DT", "SI", "DI", "FI",
  ]

  /// Bits that this version has a word for.
  package static let known = ResponseFlags(rawValue: UInt16(truncatingIfNeeded: (1 << Self.letters.count) - 1))

  /// `UF,URX`; `-` for none.
  package var text: String {
    guard !self.isEmpty else { return "-" }
    let words = Self.letters.enumerated().filter { self.rawValue >> UInt16($0.offset) & 1 == 1 }.map(\.element)
    return words.isEmpty ? "unknown" : words.joined(separator: ",")
  }
}
