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
    var authority: MeshError?
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

  /// Why nothing can be signed; nil: it can. True if that is news.
  @discardableResult
  func tookAuthority(_ problem: MeshError?) -> Bool {
    self.facts.withLock { facts in
      defer { facts.authority = problem }
      return facts.authority?.description != problem?.description
    }
  }

  /// What the resources say; nil before there was a complete result.
  var snapshot: Snapshot? { self.facts.withLock { $0.snapshot } }

  /// A workload with this identity is placed on `node`.
  func isPlaced(_ identity: SPIFFEID, on node: String) -> Bool {
    self.snapshot?.workloads.values.contains { $0.value.node == node && $0.value.identity == identity } ?? false
  }

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
    if let problem = facts.authority {
      checks.append(HealthCheck("authority", .fail, problem.description, next: problem.next))
    }
    return checks
  }

  /// Agents are served what the resources say.
  var isPublished: Bool { self.snapshot != nil }
}
