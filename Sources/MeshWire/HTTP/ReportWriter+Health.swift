package import MeshTelemetry
import NIOHTTP1

extension ReportWriter {
  /// The answer of `/healthz` and `/readyz`, a line for each check: 200, or 503 if one fails.
  ///
  /// - Parameter isReady: nil for `/healthz`.
  package func send(_ checks: [HealthCheck], isReady: Bool? = nil) async throws {
    let well = isReady != false && !checks.contains { $0.state == .fail }
    var lines = checks.map { check in
      let mark = check.state == .ok ? "+" : check.state == .warn ? "!" : "-"
      return "[\(mark)] \(check.name): \(check.message)" + (check.next.map { "; \($0)" } ?? "")
    }
    if let isReady { lines.append(isReady ? "[+] ready" : "[-] not ready") }
    lines.append(well ? "ok" : "failed")
    try await self.send(well ? .ok : .serviceUnavailable, text: lines.joined(separator: "\n") + "\n")
  }
}
