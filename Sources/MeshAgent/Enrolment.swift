import MeshBase
import MeshLinux

/// Which workloads have to be enrolled and which let go, from what the snapshot wants, what the host has and what is
/// enrolled now. Pure; `Agent` carries it out.
enum Enrolment {
  enum Action: Equatable {
    case withdraw(ResourceName, Reason)
    case enrol(ResourceName, path: String, FileID)
    /// Another workload owns the namespace.
    case refuse(ResourceName, path: String, owner: ResourceName)
  }

  enum Reason: String, Sendable {
    /// The snapshot has it no longer, or no longer on this node.
    case removed
    /// Its namespace is gone.
    case vanished
    /// Another namespace stands at its path.
    case replaced
  }

  /// Withdrawals come first, so that a namespace that changes hands is free before it is taken. Ordered by name, so that
  /// of two workloads that claim one namespace the same one gets it on every run; an owner keeps what it has.
  static func actions(
    wanted: [ResourceName: String], enrolled: [ResourceName: FileID], present: (String) -> FileID?
  ) -> [Action] {
    var withdrawals: [Action] = []
    var owners: [FileID: ResourceName] = [:]
    var candidates: [(ResourceName, String, FileID)] = []
    for (name, namespace) in enrolled where wanted[name] == nil {
      _ = namespace
      withdrawals.append(.withdraw(name, .removed))
    }
    for (name, path) in wanted {
      let now = present(path)
      if let held = enrolled[name] {
        if now == held {
          owners[held] = name
          continue
        }
        withdrawals.append(.withdraw(name, now == nil ? .vanished : .replaced))
      }
      if let now { candidates.append((name, path, now)) }
    }
    var actions = withdrawals.sorted { Self.name(of: $0) < Self.name(of: $1) }
    for (name, path, namespace) in candidates.sorted(by: { $0.0 < $1.0 }) {
      if let owner = owners[namespace] {
        actions.append(.refuse(name, path: path, owner: owner))
      } else {
        owners[namespace] = name
        actions.append(.enrol(name, path: path, namespace))
      }
    }
    return actions
  }

  private static func name(of action: Action) -> ResourceName {
    switch action {
    case .withdraw(let name, _), .enrol(let name, _, _), .refuse(let name, _, _): name
    }
  }
}
