package import ArgumentParser
import MeshBase
package import MeshSnapshot
package import MeshTelemetry

/// What the proxy does with requests besides routing them. The agent has the same options, and hands them on.
package struct RequestOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Write what became of each request to this file, or to stdout. See docs/operations.md, Access log.",
      valueName: "path"))
  package var accessLog: String?

  @Option(help: ArgumentHelp("json (default), or combined: Apache's.", valueName: "format"))
  package var accessLogFormat: String?

  @Option(
    help: ArgumentHelp(
      "Which requests are written: sample=PERCENT,errors=STATUS,slow=MILLISECONDS (default: all).", valueName: "filter")
  )
  package var accessLogFilter: String?

  @Option(
    name: .customLong("http-field"),
    help: ArgumentHelp(
      "What is done with a field that tells a request's way, as via=mesh; several times. See docs/operations.md.",
      valueName: "field=mode"))
  package var fields: [String] = []

  @Option(
    help: ArgumentHelp(
      "Where this host is: near endpoints go first, where a TrafficPolicy says so. As spec.locality of Workloads.",
      valueName: "region/zone/subzone"))
  package var locality: String?

  package init() {}

  package mutating func validate() throws {
    if let locality, Locality(locality)?.region.isEmpty ?? true {
      throw ValidationError("--locality \(locality) is not REGION, REGION/ZONE or REGION/ZONE/SUBZONE")
    }
    if let accessLog, AccessLogConfiguration.Target(accessLog) == nil {
      throw ValidationError("--access-log \(accessLog) is no full path of a file, and not stdout")
    }
    if let format = self.accessLogFormat, AccessLogFormat(rawValue: format) == nil {
      throw ValidationError("--access-log-format \(format) is not json or combined")
    }
    if let filter = self.accessLogFilter, AccessLogFilter(filter) == nil {
      throw ValidationError(
        "--access-log-filter \(filter) is not of sample=0 to 100, errors=100 to 599, slow=MILLISECONDS, each once")
    }
    for (option, value) in [
      ("--access-log-filter", self.accessLogFilter), ("--access-log-format", self.accessLogFormat),
    ] {
      guard self.accessLog != nil || value == nil else {
        throw ValidationError("\(option) is given without --access-log")
      }
    }
    do throws(MeshError) {
      _ = try ForwardingField.list(self.fields)
    } catch {
      throw ValidationError("--http-field \(error)")
    }
  }

  /// Nil: the mesh says whether there is one.
  package var log: AccessLogOptions? {
    guard let target = self.accessLog.flatMap({ AccessLogConfiguration.Target($0) }) else { return nil }
    return AccessLogOptions(
      target, format: self.accessLogFormat.flatMap { AccessLogFormat(rawValue: $0) },
      filter: self.accessLogFilter.flatMap { AccessLogFilter($0) })
  }

  package var forwarding: [ForwardingField] { (try? ForwardingField.list(self.fields)) ?? [] }

  /// Of this host.
  package var place: Locality { self.locality.flatMap { Locality($0) } ?? .nowhere }

  /// The same again, for a proxy that is started.
  package var words: [String] {
    var words: [String] = []
    if let log {
      words += ["--access-log", log.target.description]
      if let format = log.format { words += ["--access-log-format", format.rawValue] }
      if let filter = log.filter { words += ["--access-log-filter", filter.description] }
    }
    if let locality { words += ["--locality", locality] }
    return words + self.fields.flatMap { ["--http-field", $0] }
  }
}
