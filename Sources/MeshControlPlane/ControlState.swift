import MeshBase
import MeshCompiler
import MeshSnapshot
import MeshSync
import MeshTelemetry
import Synchronization

/// What the control plane says of itself. Written by `Publisher`, read by `ControlReports`.
package final class ControlState: Sendable {
  private struct Facts {
    var resources: Int?
    var errors: [String] = []
    var snapshot: Snapshot?
    var routes: [RouteStatus] = []
  }

  private let facts = Mutex(Facts())

  package init() {}

  func took(_ result: CompileResult) {
    self.facts.withLock { facts in
      facts.resources = result.resourceCount
      facts.errors = result.errors.map(\.description)
      facts.snapshot = result.snapshot
      facts.routes = result.routes
    }
  }

  /// What the resources say; nil before there was a complete result.
  var snapshot: Snapshot? { self.facts.withLock { $0.snapshot } }

  /// Every route, or policy, of the kind, with its conditions.
  func routes(_ kind: ResourceKind) -> [RouteReport] {
    self.facts.withLock { $0.routes }.filter { $0.key.kind == kind }.map { RouteReport($0) }
  }

  /// - Parameters:
  ///   - problem: why agents cannot reach the socket.
  ///   - refused: peers that were turned away there.
  func checks(problem: MeshError?, refused: UInt64) -> [HealthCheck] {
    let facts = self.facts.withLock { $0 }
    var checks = [
      HealthCheck(
        "agents", problem == nil ? .ok : .fail,
        problem?.description ?? "the socket is there" + (refused > 0 ? ", \(refused) strangers refused" : ""),
        next: problem?.next)
    ]
    if let count = facts.resources {
      let first = facts.errors.first.map { "; \($0)" } ?? ""
      checks.append(
        HealthCheck(
          "resources", facts.errors.isEmpty ? .ok : .warn,
          "\(count) in force, \(facts.errors.count) errors" + first,
          next: facts.errors.isEmpty ? nil : "martlet dryrun -f DIR lists them all"))
    } else {
      checks.append(
        HealthCheck(
          "resources", .warn, "nothing is published yet", next: "the log says what could not be read"))
    }
    return checks
  }

  /// Agents are served what the resources say.
  var isPublished: Bool { self.snapshot != nil }
}
