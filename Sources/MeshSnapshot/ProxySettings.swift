package import MeshBase

/// What the proxies of the mesh do with requests besides routing them. Each host may say otherwise: its own options win.
package struct ProxySettings: Hashable, Sendable {
  package static let defaults = ProxySettings()

  /// Nil: nothing is written, unless the host says where to.
  package var accessLog: AccessLogSettings?
  /// What is done with fields that tell a request's way, each at most once, sorted by name.
  package var fields: [ForwardingField]
  package var limits: HTTPLimitSettings

  package init(
    accessLog: AccessLogSettings? = nil, fields: [ForwardingField] = [], limits: HTTPLimitSettings = .defaults
  ) {
    self.accessLog = accessLog
    self.fields = fields
    self.limits = limits
  }
}

/// Which requests are written, and how. Where to is the host's to say.
package struct AccessLogSettings: Hashable, Sendable {
  package enum Format: Hashable, Sendable, CaseIterable {
    case json
    /// Apache's.
    case combined
  }

  package var format: Format
  /// Of ten thousand requests.
  package var sampled: UInt16
  /// Answers of this status and above are always written.
  package var errorsFrom: UInt16?
  /// Requests that took at least so long are always written.
  package var slowMilliseconds: UInt32?

  package init(
    format: Format = .json, sampled: UInt16 = 10_000, errorsFrom: UInt16? = nil, slowMilliseconds: UInt32? = nil
  ) {
    self.format = format
    self.sampled = sampled
    self.errorsFrom = errorsFrom
    self.slowMilliseconds = slowMilliseconds
  }
}

/// What is done with a field that tells a request's way.
package struct ForwardingField: Hashable, Sendable {
  package let name: String
  /// One of `modes`; of `via` a name or `off`.
  package let mode: String

  /// Which fields there are, and what may be done with each; `via` apart.
  package static let modes: [String: [String]] = [
    "x-forwarded-for": ["append", "replace", "keep", "remove"],
    "x-forwarded-proto": ["add", "replace", "keep", "remove"],
    "x-forwarded-host": ["add", "replace", "keep", "remove"],
    "forwarded": ["replace", "remove"],
    "x-request-id": ["add", "replace", "keep", "remove"],
    "traceparent": ["add", "keep", "remove"],
  ]

  package static let names = ["via"] + Self.modes.keys.sorted()

  package init(_ name: String, _ mode: String) throws(MeshError) {
    let text = "\(name)=\(mode)"
    if name == "via" {
      guard Self.isViaName(mode) else {
        throw MeshError(
          .invalid, text, "is no name for Via", next: "give off, or letters, digits and - of at most 64 bytes")
      }
    } else {
      guard let modes = Self.modes[name] else {
        throw MeshError(
          .invalid, text, "names no field that the proxy writes",
          next: "one of \(Self.names.joined(separator: ", "))")
      }
      guard modes.contains(mode) else {
        throw MeshError(.invalid, text, "is no mode of \(name)", next: "one of \(modes.joined(separator: ", "))")
      }
    }
    self.name = name
    self.mode = mode
  }

  /// `x-forwarded-for=append`, `via=NAME`, each field at most once.
  package static func list(_ texts: [String]) throws(MeshError) -> [ForwardingField] {
    var result: [ForwardingField] = []
    for text in texts {
      let pair = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2 else {
        throw MeshError(.invalid, text, "is not FIELD=MODE", next: "as in x-forwarded-for=append")
      }
      guard !result.contains(where: { $0.name == pair[0] }) else {
        throw MeshError(.invalid, text, "says a field a second time")
      }
      result.append(try ForwardingField(String(pair[0]), String(pair[1])))
    }
    return result
  }

  /// A token (RFC 9110).
  private static func isViaName(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
      }
  }
}

/// What one peer of the proxy may do. Nil: as the proxy has it.
package struct HTTPLimitSettings: Hashable, Sendable {
  package static let defaults = HTTPLimitSettings()

  package static let headBytesRange: ClosedRange<UInt32> = 4096...65_536
  package static let fieldCountRange: ClosedRange<UInt32> = 16...1000
  package static let millisecondsRange: ClosedRange<UInt32> = 1...3_600_000

  /// Of a head, with its first line and all fields.
  package var headBytes: UInt32?
  package var fieldCount: UInt32?
  /// Until a head that has begun is whole, a ClientHello as well.
  package var headMilliseconds: UInt32?
  /// A peer that sends nothing of a body, or takes nothing of an answer.
  package var stallMilliseconds: UInt32?
  /// A client's connection between requests, and an answer that does not come.
  package var idleMilliseconds: UInt32?
  /// Of an upstream connection without a request.
  package var upstreamIdleMilliseconds: UInt32?

  package init() {}
}
