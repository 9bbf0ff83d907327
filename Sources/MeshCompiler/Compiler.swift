import MeshBase
import MeshSnapshot

/// Files of resources in, a snapshot out. Holds what was read, so that a change costs what changed, and the last good
/// version of what is broken now.
///
/// Pure: no file is opened here, and time comes in as a value.
package struct Compiler: Sendable {
  private var files: [String: ResourceFile] = [:]
  /// The file that an object was taken from: with two files claiming it, the one that had it keeps it.
  private var owners: [ResourceKey: String] = [:]
  /// Entries of the last round: an equal value has an equal version, without encoding it again.
  private var previous = Snapshot()
  /// Objects that several files or documents claimed in the last round.
  private var contestedKeys: Set<ResourceKey> = []
  package private(set) var vips: VIPAllocator

  package init(vips: VIPAllocator = VIPAllocator()) { self.vips = vips }

  /// The file's content is this now. What cannot be used of it leaves the last good version of the same objects in force.
  package mutating func update(file: String, bytes: [UInt8]) {
    self.files[file, default: ResourceFile(path: file)].update(bytes)
  }

  /// The file cannot be read or may not be trusted: what it said stays in force.
  package mutating func fail(file: String, message: String, next: String? = nil) {
    self.files[file, default: ResourceFile(path: file)].fail(message, next: next)
  }

  /// The file is gone, and so are its objects: that is a user's act.
  package mutating func remove(file: String) {
    self.files[file] = nil
  }

  /// The file was so before a restart. `restored` ends the round.
  package mutating func restore(_ record: LastGoodRecord) {
    self.files[record.file] = ResourceFile(record)
  }

  /// Every file that was known before the restart was given to `restore`.
  /// - Parameter owners: the file that had an object which several claim, as `contested` said before.
  package mutating func restored(owners: [ResourceKey: String]) {
    var claimants: [ResourceKey: Set<String>] = [:]
    for file in self.files.values {
      for claim in file.claims { claimants[claim.resource.key, default: []].insert(file.path) }
    }
    self.owners = claimants.compactMapValues { $0.count == 1 ? $0.first : nil }
    for (key, file) in owners where claimants[key]?.contains(file) == true { self.owners[key] = file }
  }

  /// What a restart has to know of the file. Nil: no content of it was ever read.
  package func record(of file: String) -> LastGoodRecord? { self.files[file]?.record }

  /// Of objects that several files claim, the file that has it.
  package var contested: [ResourceKey: String] {
    self.owners.filter { self.contestedKeys.contains($0.key) }
  }

  package var fileNames: Set<String> { Set(self.files.keys) }

  /// - Parameter now: seconds since 1970, for the quarantine of addresses.
  package mutating func compile(now: Int64) -> CompileResult {
    var problems = self.files.values.flatMap(\.problems)
    var summary = CompileResult.Summary()
    var chosen = self.choose(&problems, &summary)
    let standIns = self.standIns(chosen, conflicts: chosen.conflicts)
    summary.standIns = standIns.keys.sorted()
    self.reportStandIns(standIns, &problems)
    self.owners = chosen.inForce.mapValues(\.file)
    summary.kept = chosen.inForce.values.filter(\.isKept).map(\.resource.key).sorted()
    summary.refused = self.files.values.flatMap { file in
      file.documents.flatMap { $0.decoded.broken.compactMap(\.key) }
    }.filter { chosen.inForce[$0] == nil }.sorted()
    summary.unaccounted = self.files.values.flatMap(\.unaccounted).sorted()
    self.contestedKeys = chosen.contested
    chosen.conflicts = []

    var compilation = Compilation(
      claims: Array(chosen.inForce.values), standIns: standIns, previous: self.previous, vips: self.vips)
    compilation.run(now: now)
    self.vips = compilation.vips
    self.previous = compilation.snapshot
    summary.selected = compilation.selected
    var resources: [ResourceKind: Int] = [:]
    for key in chosen.inForce.keys { resources[key.kind, default: 0] += 1 }
    let everything = Array(Set(problems + compilation.problems)).sorted()
    return CompileResult(
      snapshot: compilation.snapshot, problems: everything, resources: resources, summary: summary,
      routes: Self.routes(compilation.routeStatuses, summary, problems), vips: self.vips)
  }

  /// Those in force, and those that cannot be used as they are written, with the reason.
  private static func routes(
    _ inForce: [RouteStatus], _ summary: CompileResult.Summary, _ problems: [Problem]
  ) -> [RouteStatus] {
    func reason(_ key: ResourceKey) -> String {
      let first = problems.filter { $0.object == key.description && $0.severity == .error }.min()
      return first?.error.message ?? "cannot be used"
    }
    let kept = Set(summary.kept)
    let broken = Set(summary.refused).filter(\.kind.hasConditions).map {
      RouteStatus($0, parents: [], problem: reason($0))
    }
    let others = inForce.map { status in
      var status = status
      if kept.contains(status.key) { status.problem = reason(status.key) + "; the last good version is in force" }
      return status
    }
    return (others + broken).sorted { $0.key < $1.key }
  }

  private struct Choice {
    var inForce: [ResourceKey: Claim] = [:]
    /// Policies that are written twice and of which none was in force before.
    var conflicts: [(key: ResourceKey, claims: [Claim])] = []
    /// Objects with several claims.
    var contested: Set<ResourceKey> = []
  }

  /// One claim for each object. Of several, that of the file that had the object, else the first by path and line; for a
  /// policy that nobody had, none: two authors differ about who may call, so nobody may.
  private func choose(_ problems: inout [Problem], _ summary: inout CompileResult.Summary) -> Choice {
    var choice = Choice()
    var several: [ResourceKey: [Claim]] = [:]
    for file in self.files.values {
      for claim in file.claims {
        let key = claim.resource.key
        if let other = choice.inForce[key] {
          several[key, default: [other]].append(claim)
        } else {
          choice.inForce[key] = claim
        }
      }
    }
    choice.contested = Set(several.keys)
    for (key, claims) in several {
      let claims = claims.sorted {
        ($0.file, $0.position.line, $0.position.column) < ($1.file, $1.position.line, $1.position.column)
      }
      let owned = claims.filter { $0.file == self.owners[key] }
      let winner =
        owned.count == 1 ? owned.first : key.kind.isProtective ? nil : owned.first ?? claims.first
      choice.inForce[key] = winner
      if winner == nil { choice.conflicts.append((key, claims)) }
      for (index, claim) in claims.enumerated() {
        let other = claims[index == 0 ? 1 : 0]
        let isUsed = winner.map { $0.file == claim.file && $0.position == claim.position } ?? false
        problems.append(
          Problem(
            .error, file: claim.file, position: claim.position, object: key.description,
            message: "written twice, also at \(other.file):\(other.position.line)"
              + (isUsed ? "; this one is in force" : "; this one is not in force"),
            next: "remove one of them"))
      }
    }
    return choice
  }

  private struct PlacedStandIn {
    var file: String
    var position: FieldPosition
  }

  /// Policies that cannot be used and of which no last good version is in force.
  private func standIns(
    _ choice: Choice, conflicts: [(key: ResourceKey, claims: [Claim])]
  ) -> [ResourceKey: StandInPolicy] {
    var result: [ResourceKey: StandInPolicy] = [:]
    func add(_ standIn: PolicyStandIn, _ file: String, _ position: FieldPosition) {
      let key = ResourceKey(standIn.kind, namespace: standIn.namespace, name: standIn.name)
      if let other = result[key], other.selector != standIn.selector {
        result[key]?.selector = [:]
      } else {
        result[key] = StandInPolicy(selector: standIn.selector, file: file, position: position)
      }
    }
    for file in self.files.values.sorted(by: { $0.path < $1.path }) {
      for document in file.documents {
        for broken in document.decoded.broken {
          guard let standIn = broken.standIn else { continue }
          let key = ResourceKey(standIn.kind, namespace: standIn.namespace, name: standIn.name)
          if choice.inForce[key] != nil { continue }
          // A document without a readable name is one of those that its file keeps, if there is one.
          if broken.key == nil,
            file.kept.keys.contains(where: { $0.kind == standIn.kind && $0.namespace == standIn.namespace })
          {
            continue
          }
          add(standIn, file.path, broken.position.shifted(by: document.firstLine))
        }
      }
    }
    for (key, claims) in conflicts {
      for claim in claims {
        let selector: [String: String]
        switch claim.resource.spec {
        case .authorizationPolicy(let spec): selector = spec.selector
        case .peerAuthentication(let spec): selector = spec.selector
        default: continue
        }
        add(
          PolicyStandIn(kind: key.kind, namespace: key.namespace, name: key.name, selector: selector), claim.file,
          claim.position)
      }
    }
    return result
  }

  private func reportStandIns(_ standIns: [ResourceKey: StandInPolicy], _ problems: inout [Problem]) {
    for (key, standIn) in standIns {
      let whom =
        standIn.selector.isEmpty
        ? "all workloads of namespace \(key.namespace)"
        : "workloads with \(standIn.selector.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ","))"
      problems.append(
        Problem(
          .error, file: standIn.file, position: standIn.position, object: key.description,
          message: key.kind == .peerAuthentication
            ? "it cannot be used and no earlier version is known: plaintext from outside to \(whom) is refused"
            : "the policy cannot be used and no earlier version is known: connections to \(whom) are refused",
          next: "correct it, or remove it if it is not meant"))
    }
  }
}

/// A policy that refuses everything in the place of one that cannot be used.
struct StandInPolicy {
  var selector: [String: String]
  var file: String
  var position: FieldPosition
}
