import CMeshABI
import MeshBase
import MeshPolicy
import MeshSnapshot

/// The content of one generation, without its number: two equal ones need no flip.
struct AccessTables: Equatable, Sendable {
  struct Guard: Equatable, Sendable {
    var workload: UInt32
    /// 0: no policy applies.
    var group: UInt32
    var isMissing: Bool
  }

  struct Class: Equatable, Sendable {
    var workload: UInt32
    /// 4 or 6.
    var family: UInt32
    var sourceClass: UInt32
  }

  struct Row: Equatable, Sendable {
    var group: UInt32
    var sourceClass: UInt32
    var port: UInt16
    /// 0: none.
    var policy: UInt32
    var verdict: UInt8
    var reason: UInt8
  }

  var guards: [Guard] = []
  var classes: [Class] = []
  var networks: [NetworkRow] = []
  var rows: [Row] = []
  /// Names that have an identifier because of this content.
  var groupNames: Set<String> = []
  var policyNames: Set<String> = []
  /// Groups that need more rows than there may be: they have one, which refuses.
  var oversizedGroups: Set<String> = []
  var problems: [String] = []

  static func == (a: Self, b: Self) -> Bool {
    a.guards == b.guards && a.classes == b.classes && a.networks == b.networks && a.rows == b.rows
  }

  var count: Int { self.guards.count + self.classes.count + self.networks.count + self.rows.count }

  /// Sources in the kernel of this node are its enrolled workloads, and addresses; so only they get classes, and a group's
  /// rows are as many as its rules tell *them* apart, however many identities the policies name.
  init(of resolved: ResolvedSnapshot, limit: Int, identifiers: inout Identifiers, now: Duration) {
    let locals = resolved.locals.keys.sorted().compactMap { resolved.snapshot.workloads[$0]?.value }
    // Groups: distinct sets of policies. One that lacks a policy is no group: its workload is refused or, if it fails open,
    // passes.
    var groups: [String: [Versioned<PolicyEntry>]] = [:]
    var guards: [(workload: WorkloadEntry, group: String?, isMissing: Bool)] = []
    for workload in locals {
      let policies = workload.policies.compactMap { resolved.snapshot.policies[$0] }
      let isMissing = policies.count != workload.policies.count
      guard !isMissing, !policies.isEmpty else {
        guards.append((workload, nil, isMissing))
        continue
      }
      let name = workload.policyGroup
      groups[name] = policies
      guards.append((workload, name, false))
    }
    let relevant = Dictionary(
      groups.values.joined().map { ($0.value.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    // Sorted, so that equal content has equal class numbers.
    var classes = SourceClasses(index: SourceIndex(relevant.sorted { $0.key < $1.key }.map(\.value)))
    for workload in locals {
      let number = identifiers.take(.workload, workload.name.description, now: now)
      for family in [UInt32(4), 6] {
        let addresses = workload.addresses.filter { $0.isV4 == (family == 4) }
        // Without an address of the family there is nothing to connect from: no row, which refuses.
        guard !addresses.isEmpty else { continue }
        self.classes.append(
          Class(
            workload: number, family: family,
            sourceClass: classes.number(identity: workload.identity, addresses: addresses)))
      }
    }
    self.networks = classes.networkRows()
    for (name, policies) in groups.sorted(by: { $0.key < $1.key }) {
      let group = identifiers.take(.group, name, now: now)
      self.groupNames.insert(name)
      let table = PolicyTable(policies: policies, classes: classes, limit: limit)
      if let problem = table.problem {
        self.oversizedGroups.insert(name)
        self.problems.append("\(name): \(problem)")
      }
      for row in table.rows {
        var policy: UInt32 = 0
        if let reference = row.verdict.policy {
          let text = reference.description
          self.policyNames.insert(text)
          policy = identifiers.take(.policy, text, now: now)
        }
        self.rows.append(
          Row(
            group: group, sourceClass: row.sourceClass ?? PolicyKey.anyClass, port: row.port, policy: policy,
            verdict: UInt8(
              truncatingIfNeeded: (row.verdict.isAllowed ? MESH_VERDICT_ALLOW : MESH_VERDICT_DENY).rawValue),
            reason: row.verdict.reason.rawValue))
      }
    }
    self.guards = guards.map { entry in
      Guard(
        workload: identifiers.take(.workload, entry.workload.name.description, now: now),
        group: entry.group.flatMap { identifiers.number(.group, $0) } ?? 0, isMissing: entry.isMissing)
    }
  }

  func put(into changes: inout MapChanges, generation: UInt32) {
    for row in self.rows {
      changes.policy.put(
        PolicyKey(generation: generation, group: row.group, sourceClass: row.sourceClass, port: row.port).abi,
        mesh_policy(policy: row.policy, verdict: row.verdict, reason: row.reason, zero16: 0))
    }
    for row in self.networks {
      changes.networks.put(mesh_network_key(generation: generation, row.block), row.sourceClass)
    }
    for row in self.classes {
      changes.classes.put(
        ClassKey(generation: generation, workload: row.workload, family: row.family).abi, row.sourceClass)
    }
    for row in self.guards {
      changes.guards.put(
        GuardKey(generation: generation, workload: row.workload).abi,
        mesh_guard(group: row.group, flags: row.isMissing ? MESH_GUARD_MISSING : 0))
    }
  }

  func delete(from changes: inout MapChanges, generation: UInt32) {
    for row in self.rows {
      changes.policy.delete(
        PolicyKey(generation: generation, group: row.group, sourceClass: row.sourceClass, port: row.port).abi)
    }
    for row in self.networks { changes.networks.delete(mesh_network_key(generation: generation, row.block)) }
    for row in self.classes {
      changes.classes.delete(ClassKey(generation: generation, workload: row.workload, family: row.family).abi)
    }
    for row in self.guards {
      changes.guards.delete(GuardKey(generation: generation, workload: row.workload).abi)
    }
  }
}

extension WorkloadEntry {
  /// Workloads with the same set of policies share rows under this name.
  var policyGroup: String { self.policies.sorted().map(\.description).joined(separator: " ") }
}
