package import MeshSnapshot

/// Where the access log goes, how it looks, what is in it. Off is: none of these.
package struct AccessLogConfiguration: Sendable, Hashable {
  package enum Target: Sendable, Hashable {
    case standardOutput
    /// A full path.
    case file(String)
  }

  package var target: Target
  package var format: AccessLogFormat
  package var filter: AccessLogFilter

  package init(_ target: Target, format: AccessLogFormat = .json, filter: AccessLogFilter = .all) {
    self.target = target
    self.format = format
    self.filter = filter
  }
}

/// What a host's command line says of the access log; what it does not say is the mesh's to say.
package struct AccessLogOptions: Sendable, Hashable {
  package var target: AccessLogConfiguration.Target
  package var format: AccessLogFormat?
  package var filter: AccessLogFilter?

  package init(_ target: AccessLogConfiguration.Target, format: AccessLogFormat? = nil, filter: AccessLogFilter? = nil)
  {
    self.target = target
    self.format = format
    self.filter = filter
  }

  /// The log that holds. Nil: neither says that there is one. What the mesh alone switches on goes to standard output.
  package static func configuration(_ host: AccessLogOptions?, _ mesh: AccessLogSettings?) -> AccessLogConfiguration? {
    guard host != nil || mesh != nil else { return nil }
    return AccessLogConfiguration(
      host?.target ?? .standardOutput, format: host?.format ?? mesh.map { AccessLogFormat($0.format) } ?? .json,
      filter: host?.filter ?? mesh.map { AccessLogFilter($0) } ?? .all)
  }
}

extension AccessLogFormat {
  fileprivate init(_ format: AccessLogSettings.Format) {
    switch format {
    case .json: self = .json
    case .combined: self = .combined
    }
  }
}

extension AccessLogFilter {
  fileprivate init(_ settings: AccessLogSettings) {
    self.init(
      sampled: settings.sampled, errorsFrom: settings.errorsFrom,
      slowMicroseconds: settings.slowMilliseconds.map { UInt64($0) * 1000 })
  }
}

extension AccessLogConfiguration.Target: LosslessStringConvertible {
  /// `stdout`, or a full path.
  package init?(_ text: String) {
    if text == "stdout" {
      self = .standardOutput
    } else {
      guard text.hasPrefix("/"), !text.hasSuffix("/"), !text.utf8.contains(0) else { return nil }
      self = .file(text)
    }
  }

  package var description: String {
    switch self {
    case .standardOutput: "stdout"
    case .file(let path): path
    }
  }
}

extension AccessLogFilter: LosslessStringConvertible {
  /// `sample=2.5,errors=500,slow=1000`: percent of all, from which status on always, from how many milliseconds on always. Each at
  /// most once, at least one; without `sample` nothing is taken by chance, so that `errors=500` means errors and no more.
  package init?(_ text: String) {
    var filter = AccessLogFilter.none
    var seen: Set<Substring> = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      guard pair.count == 2, seen.insert(pair[0]).inserted else { return nil }
      switch pair[0] {
      case "sample":
        guard let share = Self.hundredths(pair[1]), share <= 10_000 else { return nil }
        filter.sampled = UInt16(share)
      case "errors":
        guard let status = Self.number(pair[1]), (100...599).contains(status) else { return nil }
        filter.errorsFrom = UInt16(status)
      case "slow":
        guard let milliseconds = Self.number(pair[1]), (1...86_400_000).contains(milliseconds) else { return nil }
        filter.slowMicroseconds = UInt64(milliseconds) * 1000
      default: return nil
      }
    }
    self = filter
  }

  package var description: String {
    var parts = [
      "sample=\(self.sampled / 100)"
        + (self.sampled % 100 == 0 ? "" : "." + String(100 + self.sampled % 100).dropFirst())
    ]
    if let errorsFrom { parts.append("errors=\(errorsFrom)") }
    if let slowMicroseconds { parts.append("slow=\(slowMicroseconds / 1000)") }
    return parts.joined(separator: ",")
  }

  /// Digits only, few enough not to overflow.
  private static func number(_ text: Substring) -> UInt32? {
    guard (1...8).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return UInt32(text)
  }

  /// `12`, `0.5`, `99.99`.
  private static func hundredths(_ text: Substring) -> UInt32? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard let whole = parts.first.flatMap({ Self.number($0) }), whole <= 100 else { return nil }
    guard parts.count == 2 else { return parts.count == 1 ? whole * 100 : nil }
    guard parts[1].utf8.count <= 2, let decimals = Self.number(parts[1]) else { return nil }
    return whole * 100 + (parts[1].utf8.count == 1 ? decimals * 10 : decimals)
  }
}
