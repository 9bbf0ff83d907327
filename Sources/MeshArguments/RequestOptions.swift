package import ArgumentParser
import MeshBase
package import MeshRouting
package import MeshTelemetry

/// What the proxy does with requests besides routing them. The agent has the same options, and hands them on.
package struct RequestOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Write what became of each request to this file, or to stdout. See docs/operations.md, Access log.",
      valueName: "path"))
  package var accessLog: String?

  @Option(help: ArgumentHelp("json, or combined: Apache's.", valueName: "format"))
  package var accessLogFormat = "json"

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

  package init() {}

  package mutating func validate() throws {
    if let accessLog, AccessLogConfiguration.Target(accessLog) == nil {
      throw ValidationError("--access-log \(accessLog) is no full path of a file, and not stdout")
    }
    guard AccessLogFormat(rawValue: self.accessLogFormat) != nil else {
      throw ValidationError("--access-log-format \(self.accessLogFormat) is not json or combined")
    }
    if let filter = self.accessLogFilter, AccessLogFilter(filter) == nil {
      throw ValidationError(
        "--access-log-filter \(filter) is not of sample=0 to 100, errors=100 to 599, slow=MILLISECONDS, each once")
    }
    guard self.accessLog != nil || self.accessLogFilter == nil else {
      throw ValidationError("--access-log-filter is given without --access-log")
    }
    do throws(MeshError) {
      _ = try HTTPForwarding(self.fields)
    } catch {
      throw ValidationError("--http-field \(error)")
    }
  }

  /// Nil: off.
  package var log: AccessLogConfiguration? {
    guard let target = self.accessLog.flatMap({ AccessLogConfiguration.Target($0) }) else { return nil }
    return AccessLogConfiguration(
      target, format: AccessLogFormat(rawValue: self.accessLogFormat) ?? .json,
      filter: self.accessLogFilter.flatMap { AccessLogFilter($0) } ?? .all)
  }

  package var forwarding: HTTPForwarding { (try? HTTPForwarding(self.fields)) ?? .defaults }

  /// The same again, for a proxy that is started.
  package var words: [String] {
    var words: [String] = []
    if let log {
      words += [
        "--access-log", log.target.description, "--access-log-format", log.format.rawValue, "--access-log-filter",
        log.filter.description,
      ]
    }
    return words + self.fields.flatMap { ["--http-field", $0] }
  }
}
