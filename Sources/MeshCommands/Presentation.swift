package import MeshTelemetry
import Yams

/// A report that is a line of a table.
package protocol TableReport: Codable, Sendable {
  static var columns: [String] { get }
  var cells: [String] { get }
}

/// Turns answers into text.
enum Presentation {
  static func json(_ value: some Encodable) throws -> String {
    String(decoding: try ReportCoding.encode(value, pretty: true), as: UTF8.self) + "\n"
  }

  static func yaml(_ value: some Encodable) throws -> String {
    let encoder = YAMLEncoder()
    encoder.options = YAMLEncoder.Options(indent: 2, width: -1, allowUnicode: true, sortKeys: true)
    return try encoder.encode(value)
  }

  static func table<Report: TableReport>(_ reports: [Report]) -> String {
    TextTable(Report.columns, reports.map(\.cells)).text
  }

  /// In the wanted format; `table` makes the text for people.
  static func text<Value: Encodable>(
    _ value: Value, _ format: OutputFormat, table: (Value) -> String
  ) throws -> String {
    switch format {
    case .table: table(value)
    case .json: try self.json(value)
    case .yaml: try self.yaml(value)
    }
  }
}

private func list(_ items: [String]) -> String { items.isEmpty ? "-" : items.joined(separator: ",") }
private func word(_ flag: Bool) -> String { flag ? "yes" : "no" }

extension WorkloadReport: TableReport {
  package static var columns: [String] {
    ["NAME", "NODE", "ENROLLED", "ADDRESSES", "NETWORK", "IDENTITY", "POLICIES", "FAILURE", "PROBLEM"]
  }

  package var cells: [String] {
    [
      self.name, self.node, self.local ? word(self.enrolled) : "remote", list(self.addresses),
      list([self.network, self.segment ?? ""].filter { !$0.isEmpty }), self.identity,
      list(self.policies), self.failureMode, self.problem ?? "-",
    ]
  }
}

extension ServiceReport: TableReport {
  package static var columns: [String] { ["NAME", "ADDRESSES", "PORTS", "READY", "BACKENDS"] }

  package var cells: [String] {
    let ports = self.ports.map { port in "\(port.port)/\(port.appProtocol)/\(port.tier.rawValue)" }
    let backends = self.ports.flatMap { port in
      port.backends.map { "\(port.port)=\($0.service):\($0.port)*\($0.weight)" + ($0.valid ? "" : "(invalid)") }
    }
    return [
      self.name, list(self.addresses), list(ports), "\(self.readyEndpoints) of \(self.endpoints.count)",
      list(backends),
    ]
  }
}

extension RuleReport: TableReport {
  package static var columns: [String] {
    ["SERVICE", "PORT", "ROUTE", "RULE", "CLIENTS", "MATCHES", "FILTERS", "BACKENDS", "VERSION"]
  }

  package var cells: [String] {
    let backends = self.backends.map {
      "\($0.service):\($0.port)*\($0.weight)" + ($0.valid ? "(\($0.ready) ready)" : "(invalid)")
    }
    return [
      self.service, String(self.port), "\(self.kind) \(self.route)",
      self.ruleName.isEmpty ? String(self.rule) : "\(self.rule) \(self.ruleName)",
      self.clients.map { $0 + "/" } ?? "all", self.matches.joined(separator: " | "), list(self.filters), list(backends),
      self.version,
    ]
  }
}

extension EndpointReport: TableReport {
  package static var columns: [String] {
    [
      "SERVICE", "PORT", "ENDPOINT", "WORKLOAD", "STATE", "REASON", "WEIGHT", "LOCALITY", "OPEN", "LATENCY",
      "EJECTIONS",
    ]
  }

  package var cells: [String] {
    var state = self.state.rawValue
    if let seconds = self.secondsLeft { state += " \(seconds)s" }
    if let percent = self.percent { state += " \(percent)%" }
    return [
      self.service, String(self.port), self.target ?? "-", self.workload ?? "-", state, self.reason ?? "-",
      String(self.weight), self.locality ?? "-", String(self.open),
      self.latencyMicroseconds.map { Quantity.duration(microseconds: $0) } ?? "-",
      list(self.ejections.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }),
    ]
  }
}

extension PolicyReport: TableReport {
  package static var columns: [String] { ["NAME", "ACTION", "RULES", "VERSION", "WORKLOADS", "STATE"] }

  package var cells: [String] {
    [
      self.name, self.action, String(self.rules), self.version, list(self.workloads),
      self.missing ? "missing" : "present",
    ]
  }
}

extension CertificateReport: TableReport {
  package static var columns: [String] { ["IDENTITY", "SERIAL", "FROM", "UNTIL", "CHAIN", "PROBLEM"] }

  package var cells: [String] {
    [
      self.identity, self.serial ?? "-", self.notBefore?.description ?? "-", self.notAfter?.description ?? "-",
      self.chain.map { "\($0)" } ?? "-", self.problem ?? "-",
    ]
  }
}

extension ConnectionReport: TableReport {
  package static var columns: [String] {
    ["SOURCE", "FROM", "DESTINATION", "TO", "SERVICE", "TIER", "STATE", "AGE", "SENT", "RECEIVED", "POLICY"]
  }

  package var cells: [String] {
    [
      self.source.workload ?? "-", self.source.address ?? "-", self.destination.workload ?? "-",
      self.destination.address ?? "-", self.service ?? "-", self.tier.rawValue, self.state,
      Quantity.duration(microseconds: self.ageSeconds.multipliedReportingOverflow(by: 1_000_000).partialValue),
      Quantity.bytes(self.sentBytes), Quantity.bytes(self.receivedBytes), self.policy ?? "-",
    ]
  }
}

extension ProgramReport: TableReport {
  package static var columns: [String] { ["NAME", "ID", "RUNS", "NS/RUN", "VERIFIED", "LIMIT", "ATTACHED"] }

  package var cells: [String] {
    [
      self.name, String(self.id), String(self.runs), self.runs == 0 ? "-" : String(self.nanosecondsPerRun),
      String(self.verifiedInstructions), self.instructionLimit.map { String($0) } ?? "-", self.attached ?? "-",
    ]
  }
}

extension MapReport: TableReport {
  package static var columns: [String] { ["NAME", "TYPE", "ID", "ENTRIES", "CAPACITY", "FULL"] }

  package var cells: [String] {
    [self.name, self.type, String(self.id), String(self.entries), String(self.capacity), "\(self.percent)%"]
  }
}

extension HealthCheck: TableReport {
  package static var columns: [String] { ["STATE", "CHECK", "MESSAGE", "NEXT"] }
  package var cells: [String] { [self.state.rawValue, self.name, self.message, self.next ?? "-"] }
}
