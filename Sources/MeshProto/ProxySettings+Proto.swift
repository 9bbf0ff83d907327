import MeshBase
import MeshSnapshot

extension Martlet_Entries_V1_ProxySettings {
  init(_ settings: ProxySettings) {
    self.init()
    self.accessLog =
      settings.accessLog.map { log in
        var message = Martlet_Entries_V1_AccessLog()
        message.format =
          switch log.format {
          case .json: .json
          case .combined: .combined
          }
        message.sampled = UInt32(log.sampled)
        message.errorsFrom = UInt32(log.errorsFrom ?? 0)
        message.slowMilliseconds = log.slowMilliseconds ?? 0
        return [message]
      } ?? []
    self.fields = settings.fields.map { field in
      var message = Martlet_Entries_V1_ForwardingField()
      message.name = field.name
      message.mode = field.mode
      return message
    }
    let limits = settings.limits
    self.headBytes = limits.headBytes ?? 0
    self.fieldCount = limits.fieldCount ?? 0
    self.headMilliseconds = limits.headMilliseconds ?? 0
    self.stallMilliseconds = limits.stallMilliseconds ?? 0
    self.idleMilliseconds = limits.idleMilliseconds ?? 0
    self.upstreamIdleMilliseconds = limits.upstreamIdleMilliseconds ?? 0
  }
}

extension ProxySettings {
  init(_ message: Martlet_Entries_V1_ProxySettings, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init()
    guard message.accessLog.count <= 1 else { throw field["access_log"].error("more than one") }
    for part in message.accessLog {
      self.accessLog = try AccessLogSettings(part, field["access_log"][0])
    }
    for (index, part) in message.fields.enumerated() {
      let path = field["fields"][index]
      try path.known(part)
      guard let value = try? ForwardingField(part.name, part.mode) else {
        throw path.error("no field, or no mode of it")
      }
      guard self.fields.last.map({ $0.name < value.name }) ?? true else { throw path.error("not in order") }
      self.fields.append(value)
    }
    self.limits.headBytes = try field["head_bytes"].within(HTTPLimitSettings.headBytesRange, message.headBytes)
    self.limits.fieldCount = try field["field_count"].within(HTTPLimitSettings.fieldCountRange, message.fieldCount)
    let times = HTTPLimitSettings.millisecondsRange
    self.limits.headMilliseconds = try field["head_milliseconds"].within(times, message.headMilliseconds)
    self.limits.stallMilliseconds = try field["stall_milliseconds"].within(times, message.stallMilliseconds)
    self.limits.idleMilliseconds = try field["idle_milliseconds"].within(times, message.idleMilliseconds)
    self.limits.upstreamIdleMilliseconds = try field["upstream_idle_milliseconds"].within(
      times, message.upstreamIdleMilliseconds)
  }
}

extension AccessLogSettings {
  fileprivate init(_ message: Martlet_Entries_V1_AccessLog, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    let format: Format
    switch message.format {
    case .json: format = .json
    case .combined: format = .combined
    case .unspecified: throw field["format"].error("missing")
    case .UNRECOGNIZED(let value): throw field["format"].error("\(value) is unknown to this version")
    }
    guard let sampled = UInt16(exactly: message.sampled), sampled <= 10_000 else {
      throw field["sampled"].error("\(message.sampled) of ten thousand")
    }
    self.init(format: format, sampled: sampled)
    self.errorsFrom = try field["errors_from"].within(100...599, message.errorsFrom).map { UInt16(clamping: $0) }
    self.slowMilliseconds = try field["slow_milliseconds"].within(1...86_400_000, message.slowMilliseconds)
  }
}

extension FieldPath {
  /// Nil: 0, which stands for nothing.
  fileprivate func within(_ range: ClosedRange<UInt32>, _ value: UInt32) throws(MeshError) -> UInt32? {
    value == 0 ? nil : try self.number(value, in: range)
  }
}
