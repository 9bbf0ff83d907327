package import MeshBase

/// Which requests are written to the access log: decided on numbers, before anything of a record is made.
package struct AccessLogFilter: Hashable, Sendable {
  /// Of ten thousand requests that are no errors.
  package var sampled: UInt16
  /// An answer of this status or above, or with a response flag, is always written. Nil: errors are sampled as all others are.
  package var errorsFrom: UInt16?
  /// Requests that took at least this long are always written.
  package var slowMicroseconds: UInt64?

  package static let all = AccessLogFilter(sampled: 10_000)
  package static let none = AccessLogFilter(sampled: 0)

  package init(sampled: UInt16, errorsFrom: UInt16? = nil, slowMicroseconds: UInt64? = nil) {
    self.sampled = min(sampled, 10_000)
    self.errorsFrom = errorsFrom
    self.slowMicroseconds = slowMicroseconds
  }

  package func takes(_ outcome: RequestOutcome, using random: inout some RandomNumberGenerator) -> Bool {
    if let errorsFrom, !outcome.series.flags.isEmpty || outcome.series.status >= errorsFrom || self.isGRPCError(outcome)
    {
      return true
    }
    if let slowMicroseconds, outcome.microseconds >= slowMicroseconds { return true }
    switch self.sampled {
    case 0: return false
    case 10_000: return true
    default: return UInt16.random(in: 0..<10_000, using: &random) < self.sampled
    }
  }

  private func isGRPCError(_ outcome: RequestOutcome) -> Bool { outcome.series.grpcStatus.map { $0 != 0 } ?? false }
}

/// A line of the access log. Texts are as they came, so they may hold anything: the formats escape.
package struct AccessRecord: Sendable {
  package var time: Timestamp
  package var outcome: RequestOutcome
  package var source: ResourceName?
  package var service: ResourceName?
  package var destination: ResourceName?
  package var sourceAddress: IPAddress?
  package var upstreamAddress: SocketEndpoint?
  /// More than one where a rule asked for it.
  package var attempts: Int
  package var method: String
  /// With the query, before any rewrite.
  package var path: String
  package var authority: String
  /// `HTTP/1.1`, `HTTP/2`.
  package var version: String
  package var userAgent: String?
  package var referer: String?
  package var requestID: String?
  package var traceparent: String?
  /// SPIFFE identities of both workloads.
  package var sourceIdentity: String?
  package var destinationIdentity: String?
  /// `HTTPRoute shop/web rule 0`.
  package var route: String?
  /// Why the proxy answered by itself, in words.
  package var reason: String?

  package init(
    time: Timestamp, outcome: RequestOutcome, source: ResourceName? = nil, service: ResourceName? = nil,
    destination: ResourceName? = nil, sourceAddress: IPAddress? = nil, upstreamAddress: SocketEndpoint? = nil,
    attempts: Int = 1,
    method: String, path: String, authority: String, version: String, userAgent: String? = nil, referer: String? = nil,
    requestID: String? = nil, traceparent: String? = nil, sourceIdentity: String? = nil,
    destinationIdentity: String? = nil, route: String? = nil, reason: String? = nil
  ) {
    self.time = time
    self.outcome = outcome
    self.source = source
    self.service = service
    self.destination = destination
    self.sourceAddress = sourceAddress
    self.upstreamAddress = upstreamAddress
    self.attempts = attempts
    self.method = method
    self.path = path
    self.authority = authority
    self.version = version
    self.userAgent = userAgent
    self.referer = referer
    self.requestID = requestID
    self.traceparent = traceparent
    self.sourceIdentity = sourceIdentity
    self.destinationIdentity = destinationIdentity
    self.route = route
    self.reason = reason
  }
}

package enum AccessLogFormat: String, Hashable, Sendable, CaseIterable {
  case json
  /// Apache's combined format.
  case combined

  /// One line, without its end; whatever a client sent, it is one.
  package func line(_ record: AccessRecord) -> String {
    switch self {
    case .json: Self.json(record)
    case .combined: Self.combined(record)
    }
  }

  /// Names are those of Istio's default log.
  private static func json(_ record: AccessRecord) -> String {
    let (outcome, series) = (record.outcome, record.outcome.series)
    var out = "{\"start_time\":\"\(record.time)\""
    func text(_ name: String, _ value: String?) {
      guard let value else { return }
      out += ",\"\(name)\":\""
      self.escape(value, into: &out, apache: false)
      out += "\""
    }
    func number(_ name: String, _ value: some BinaryInteger) { out += ",\"\(name)\":\(value)" }
    text("method", record.method)
    text("path", record.path)
    text("protocol", record.version)
    number("response_code", series.status)
    if let status = series.grpcStatus { number("grpc_status", status) }
    text("response_flags", series.flags.text)
    text("response_code_details", record.reason)
    number("bytes_received", outcome.requestBytes)
    number("bytes_sent", outcome.responseBytes)
    number("duration", outcome.microseconds / 1000)
    number("duration_us", outcome.microseconds)
    text("authority", record.authority)
    text("user_agent", record.userAgent)
    text("referer", record.referer)
    text("request_id", record.requestID)
    text("traceparent", record.traceparent)
    text("route_name", record.route)
    text("source_workload", record.source?.description)
    text("source_principal", record.sourceIdentity)
    text("service", record.service?.description)
    text("destination_workload", record.destination?.description)
    text("destination_principal", record.destinationIdentity)
    text("downstream_remote_address", record.sourceAddress?.description)
    text("upstream_host", record.upstreamAddress?.description)
    if record.attempts > 1 { number("upstream_request_attempt_count", record.attempts) }
    return out + "}"
  }

  /// `%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-Agent}i"`; the user is the workload.
  private static func combined(_ record: AccessRecord) -> String {
    let (outcome, series) = (record.outcome, record.outcome.series)
    var out = "\(record.sourceAddress?.description ?? "-") - \(record.source?.description ?? "-") "
    out += "[\(record.time.apache)] \""
    for (index, part) in [record.method, record.path, record.version].enumerated() {
      if index > 0 { out += " " }
      self.escape(part, into: &out, apache: true)
    }
    out += "\" \(series.status) \(outcome.responseBytes == 0 ? "-" : String(outcome.responseBytes))"
    for header in [record.referer, record.userAgent] {
      out += " \""
      self.escape(header ?? "-", into: &out, apache: true)
      out += "\""
    }
    return out
  }

  private static let hex = Array("0123456789abcdef")

  /// Quotes, backslashes, and everything that could end a line or speak to a terminal: control characters, also those above
  /// U+007F, and the separators that some readers take for a line's end.
  private static func escape(_ text: String, into out: inout String, apache: Bool) {
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\u{0}"..."\u{1f}", "\u{7f}"..."\u{9f}", "\u{2028}", "\u{2029}":
        let value = Int(scalar.value)
        if apache {
          for byte in String(scalar).utf8 { out += "\\x\(self.hex[Int(byte >> 4)])\(self.hex[Int(byte & 15)])" }
        } else {
          out += "\\u"
          for shift in [12, 8, 4, 0] { out.append(self.hex[value >> shift & 15]) }
        }
      default: out.unicodeScalars.append(scalar)
      }
    }
  }
}
