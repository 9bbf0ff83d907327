import MeshBase
import MeshSnapshot

extension Martlet_Entries_V1_ReadinessCheck {
  init(_ check: ReadinessCheck) {
    self.init()
    self.tcpPort = UInt32(check.port)
    // As every version before wrote them, as long as they can be written so.
    if check.periodMilliseconds.isMultiple(of: 1000) {
      self.periodSeconds = check.periodMilliseconds / 1000
    } else {
      self.periodMilliseconds = check.periodMilliseconds
    }
    if check.timeoutMilliseconds.isMultiple(of: 1000) {
      self.timeoutSeconds = check.timeoutMilliseconds / 1000
    } else {
      self.timeoutMilliseconds = check.timeoutMilliseconds
    }
    self.failureThreshold = check.failureThreshold
    self.successThreshold = check.successThreshold
    if check.jitterPercent != ReadinessCheck.usualJitter { self.jitterPercent = UInt32(check.jitterPercent) }
    switch check.probe {
    case .tcp: break
    case .http(let probe): self.http = [Martlet_Entries_V1_HTTPProbe(probe)]
    case .grpc(let service):
      var message = Martlet_Entries_V1_GRPCProbe()
      message.service = service
      self.grpc = [message]
    }
  }
}

extension ReadinessCheck {
  init(_ message: Martlet_Entries_V1_ReadinessCheck, _ field: FieldPath) throws(MeshError) {
    // A check of another kind, of which this version would know nothing, is no check of this one.
    try field.known(message)
    self.init(
      port: try field["tcp_port"].port(message.tcpPort), probe: try Probe(message, field),
      periodMilliseconds: try field.time(
        "period", seconds: message.periodSeconds, milliseconds: message.periodMilliseconds, in: Self.periods),
      timeoutMilliseconds: try field.time(
        "timeout", seconds: message.timeoutSeconds, milliseconds: message.timeoutMilliseconds, in: Self.timeouts),
      failureThreshold: try field["failure_threshold"].number(message.failureThreshold, in: Self.thresholds),
      successThreshold: try field["success_threshold"].number(message.successThreshold, in: Self.thresholds))
    if message.hasJitterPercent {
      self.jitterPercent = try field["jitter_percent"].number(message.jitterPercent, in: Self.jitters)
    }
  }
}

extension ReadinessCheck.Probe {
  fileprivate init(_ message: Martlet_Entries_V1_ReadinessCheck, _ field: FieldPath) throws(MeshError) {
    guard message.http.count + message.grpc.count <= 1 else { throw field.error("more than one kind of check") }
    if let http = message.http.first {
      self = .http(try ReadinessCheck.HTTPProbe(http, field["http"][0]))
    } else if let grpc = message.grpc.first {
      let field = field["grpc"][0]
      try field.known(grpc)
      self = .grpc(service: grpc.service.isEmpty ? "" : try field["service"].text(grpc.service, limit: 253))
    } else {
      self = .tcp
    }
  }
}

extension Martlet_Entries_V1_HTTPProbe {
  fileprivate init(_ probe: ReadinessCheck.HTTPProbe) {
    self.init()
    self.path = probe.path
    self.host = probe.host ?? ""
    self.headers = probe.headers.map { Martlet_Entries_V1_HeaderField($0) }
    self.expected = probe.expected.map { range in
      var message = Martlet_Entries_V1_StatusRange()
      message.first = UInt32(range.lowerBound)
      message.last = UInt32(range.upperBound)
      return message
    }
  }
}

extension ReadinessCheck.HTTPProbe {
  fileprivate init(_ message: Martlet_Entries_V1_HTTPProbe, _ field: FieldPath) throws(MeshError) {
    try field.known(message)
    self.init(
      path: try field["path"].path(message.path), headers: try HeaderField.list(message.headers, field["headers"]),
      expected: try field["expected"].list(message.expected) { range, field throws(MeshError) in
        try field.known(range)
        let first: UInt16 = try field["first"].number(range.first, in: Self.statuses)
        return first...(try field["last"].number(range.last, in: first...Self.statuses.upperBound))
      })
    guard HTTPText.isTarget(self.path) else { throw field["path"].error("no path of a request") }
    guard !self.expected.isEmpty else { throw field["expected"].error("missing") }
    if let header = self.headers.first(where: { HeaderEdit.untouchable.contains($0.name) }) {
      throw field["headers"].error("\(header.name) is the check's own")
    }
    if !message.host.isEmpty {
      guard HTTPText.isHost(message.host) else { throw field["host"].error("no name of a host") }
      self.host = message.host
    }
  }
}

extension FieldPath {
  fileprivate func time(
    _ name: String, seconds: UInt32, milliseconds: UInt32, in range: ClosedRange<UInt32>
  ) throws(MeshError) -> UInt32 {
    if milliseconds != 0 {
      guard seconds == 0 else { throw self["\(name)_seconds"].error("beside \(name)_milliseconds") }
      return try self["\(name)_milliseconds"].number(milliseconds, in: range)
    }
    let (product, overflow) = seconds.multipliedReportingOverflow(by: 1000)
    guard !overflow, range.contains(product) else {
      throw self["\(name)_seconds"].error(
        "\(seconds) is not from \(max(range.lowerBound / 1000, 1)) to \(range.upperBound / 1000)")
    }
    return product
  }
}
