import MeshBase
import MeshSnapshot
import MeshTelemetry

// MeshConfig: accessLog, forwarding, http.

extension ResourceDecoder {
  static func proxySettings(_ spec: inout Fields) -> ProxySettings {
    var result = ProxySettings()
    if var log = spec.optional("accessLog")?.fields() {
      result.accessLog = Self.accessLog(&log)
      log.finish()
    }
    if var fields = spec.optional("forwarding")?.fields() {
      for name in ForwardingField.names.sorted() {
        guard let field = fields.optional(name), let mode = field.text() else { continue }
        do throws(MeshError) {
          result.fields.append(try ForwardingField(name, mode))
        } catch {
          field.fail("\(quotedForMessage(mode)) \(error.message)", next: error.next)
        }
      }
      fields.finish()
    }
    if var limits = spec.optional("http")?.fields() {
      result.limits = Self.limits(&limits)
      limits.finish()
    }
    return result
  }

  /// Nil: off.
  private static func accessLog(_ log: inout Fields) -> AccessLogSettings? {
    let isOn = log.required("enabled")?.flag() ?? false
    var result = AccessLogSettings()
    if let field = log.optional("format"), let text = field.text() {
      switch AccessLogFormat(rawValue: text) {
      case .json: result.format = .json
      case .combined: result.format = .combined
      case nil: field.fail("\(quotedForMessage(text)) is no format", next: "write json, or combined: Apache's")
      }
    }
    if let field = log.optional("filter"), let text = field.text() {
      if let filter = AccessLogFilter(text) {
        result.sampled = filter.sampled
        result.errorsFrom = filter.errorsFrom
        result.slowMilliseconds = filter.slowMicroseconds.map { UInt32(clamping: $0 / 1000) }
      } else {
        field.fail(
          "\(quotedForMessage(text)) is no filter",
          next: "write some of sample=0 to 100, errors=100 to 599, slow=MILLISECONDS, each once, separated by commas")
      }
    }
    return isOn ? result : nil
  }

  private static func limits(_ fields: inout Fields) -> HTTPLimitSettings {
    var result = HTTPLimitSettings()
    func number(_ name: String, _ range: ClosedRange<UInt32>) -> UInt32? {
      fields.optional(name)?.number(Int64(range.lowerBound)...Int64(range.upperBound)).flatMap { UInt32(exactly: $0) }
    }
    result.headBytes = number("headerBytes", HTTPLimitSettings.headBytesRange)
    result.fieldCount = number("headerFields", HTTPLimitSettings.fieldCountRange)
    result.headMilliseconds = fields.optional("headerTimeout").flatMap { Self.duration($0) }
    result.stallMilliseconds = fields.optional("stallTimeout").flatMap { Self.duration($0) }
    result.idleMilliseconds = fields.optional("idleTimeout").flatMap { Self.duration($0) }
    result.upstreamIdleMilliseconds = fields.optional("upstreamIdleTimeout").flatMap { Self.duration($0) }
    return result
  }
}
