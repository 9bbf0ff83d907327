import MeshBase
import MeshSnapshot

// What a check of a workload does: `readiness` of a Workload in Kubernetes' words, `healthCheck` of a TrafficPolicy in ours.

extension ResourceDecoder {
  /// `healthCheck`: its port is the Service's, so 0 here.
  static func healthCheck(_ field: Field) -> ReadinessCheck? {
    guard var fields = field.fields() else { return nil }
    let errors = field.sink.errors
    var found: [ReadinessCheck.Probe] = []
    if let tcp = fields.optional("tcp")?.fields() {
      tcp.finish()
      found.append(.tcp)
    }
    if var http = fields.optional("http")?.fields() {
      var probe = ReadinessCheck.HTTPProbe()
      if let path = http.optional("path").flatMap({ Self.probePath($0) }) { probe.path = path }
      probe.host = http.optional("host").flatMap { Self.probeHost($0) }
      if let expected = http.optional("expectedStatuses") { probe.expected = Self.statuses(expected) }
      http.finish()
      found.append(.http(probe))
    }
    if var grpc = fields.optional("grpc")?.fields() {
      let service = grpc.optional("service").flatMap { Self.probeService($0) } ?? ""
      grpc.finish()
      found.append(.grpc(service: service))
    }
    var check = ReadinessCheck(port: 0)
    if let time = fields.time("interval", ReadinessCheck.periods) { check.periodMilliseconds = time }
    if let time = fields.time("timeout", ReadinessCheck.timeouts) { check.timeoutMilliseconds = time }
    if let count = fields.count("unhealthyThreshold", ReadinessCheck.thresholds) { check.failureThreshold = count }
    if let count = fields.count("healthyThreshold", ReadinessCheck.thresholds) { check.successThreshold = count }
    if let percent = fields.count("jitterPercent", ReadinessCheck.jitters) { check.jitterPercent = percent }
    fields.finish()
    guard field.sink.errors == errors else { return nil }
    guard found.count == 1 else {
      field.fail("a check is one thing", next: "write one of tcp: {}, http: {} and grpc: {}")
      return nil
    }
    check.probe = found[0]
    return check
  }

  /// `tcp`, `httpGet` and `grpc` of a Workload's readiness: what is done, and the field of its port. Exactly one of them.
  static func probe(_ fields: inout Fields) -> (ReadinessCheck.Probe, port: UInt16)? {
    var found: [(ReadinessCheck.Probe, UInt16?)] = []
    func port(_ fields: inout Fields) -> UInt16? {
      guard let field = fields.required("port"), let port = field.port() else { return nil }
      if MeshPort.all.contains(port) {
        field.fail("port \(port) belongs to the mesh itself", next: "name a port that the workload serves")
      }
      return port
    }
    let owner = fields.owner
    let errors = owner.sink.errors
    if var tcp = fields.optional("tcp")?.fields() {
      found.append((.tcp, port(&tcp)))
      tcp.finish()
    }
    if var http = fields.optional("httpGet")?.fields() {
      let number = port(&http)
      found.append((.http(Self.httpGet(&http)), number))
      http.finish()
    }
    if var grpc = fields.optional("grpc")?.fields() {
      let number = port(&grpc)
      found.append((.grpc(service: grpc.optional("service").flatMap { Self.probeService($0) } ?? ""), number))
      grpc.finish()
    }
    guard owner.sink.errors == errors else { return nil }
    guard found.count == 1, let port = found[0].1 else {
      owner.fail(
        found.isEmpty ? "nothing says what is checked" : "a check is one thing",
        next: "write one of tcp: {port: …}, httpGet: {port: …} and grpc: {port: …}")
      return nil
    }
    return (found[0].0, port)
  }

  /// As of Kubernetes' probes, but for redirects, which are a success and not followed.
  private static func httpGet(_ fields: inout Fields) -> ReadinessCheck.HTTPProbe {
    var result = ReadinessCheck.HTTPProbe()
    if let path = fields.optional("path").flatMap({ Self.probePath($0) }) { result.path = path }
    fields.accept("scheme", only: ["HTTP"], because: "the check has no TLS")
    fields.refuse(
      ["host"], because: "the workload itself is called", next: "write header Host at httpHeaders for a name")
    for field in Self.items(fields.optional("httpHeaders"), ReadinessCheck.HTTPProbe.mostHeaders) {
      guard var item = field.fields() else { continue }
      let nameField = item.required("name")
      let name = nameField.flatMap { RequestRouteDecoder.token($0) }?.lowercased()
      let valueField = item.required("value")
      item.finish()
      guard let nameField, let name, let valueField else { continue }
      if name == "host" {
        if result.host != nil { nameField.fail("Host stands twice", next: "remove one of them") }
        result.host = Self.probeHost(valueField)
      } else if HeaderEdit.untouchable.contains(name) {
        nameField.fail("\(name) is the check's own", next: "remove it")
      } else if let value = RequestRouteDecoder.text(valueField, limit: 4096, isTrimmed: true) {
        result.headers.append(HeaderField(name: name, value: value))
      }
    }
    return result
  }

  private static func probePath(_ field: Field) -> String? {
    guard let text = field.text() else { return nil }
    guard HTTPText.isTarget(text), text.utf8.count <= 1024 else {
      field.fail("\(quotedForMessage(text)) is no path of a request", next: "write one like /healthz")
      return nil
    }
    return text
  }

  private static func probeHost(_ field: Field) -> String? {
    guard let text = field.text() else { return nil }
    guard HTTPText.isHost(text) else {
      field.fail("\(quotedForMessage(text)) is no value of Host", next: "write one like web.example.org")
      return nil
    }
    return text
  }

  private static func probeService(_ field: Field) -> String? {
    guard let text = field.text() else { return nil }
    guard text.utf8.count <= 253, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
      field.fail(
        "\(quotedForMessage(text)) is no name of a service", next: "write one like shop.v1.Cart, or \"\" for the server"
      )
      return nil
    }
    return text
  }

  /// `200`, `"200-299"`.
  private static func statuses(_ field: Field) -> [ClosedRange<UInt16>] {
    guard let list = field.list() else { return [] }
    Self.limit(list, ReadinessCheck.HTTPProbe.mostStatuses)
    return list.compactMap { field in
      switch field.textOrNumber("a status or a range like \"200-299\"") {
      case nil: return nil
      case .number(let number):
        if let status = UInt16(exactly: number), ReadinessCheck.HTTPProbe.statuses.contains(status) {
          return status...status
        }
      case .text(let text):
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).compactMap {
          Int64(strictDecimal: $0).flatMap { UInt16(exactly: $0) }
        }
        if ends.count == 2, ends[0] <= ends[1], ends.allSatisfy(ReadinessCheck.HTTPProbe.statuses.contains),
          text.split(separator: "-", omittingEmptySubsequences: false).count == 2
        {
          return ends[0]...ends[1]
        }
      }
      field.fail("no status of HTTP", next: "write 100 to 599, or a range like \"200-299\"")
      return nil
    }
  }
}
