package import MeshSnapshot

/// One row of the four-step look-up: (class, port), (class, any), (any, port), (any, any); the first row found decides.
package struct PolicyRow: Hashable, Sendable {
  /// Nil: any class.
  package var sourceClass: UInt32?
  /// 0: any port.
  package var port: UInt16
  /// Its `rule` is nil: a row stands for every rule that says the same.
  package var verdict: PolicyVerdict
}

/// What a set of policies says, as few rows that give exactly what `evaluate` gives for every source of every class and
/// every port. The last row is always (any, any).
package struct PolicyTable: Sendable, Equatable {
  package let rows: [PolicyRow]
  /// The table would be longer than the limit: it refuses everything with `mapError` instead.
  package let problem: String?

  /// `limit`: rows at most.
  package init(policies: [Versioned<PolicyEntry>], classes: SourceClasses, limit: Int = 65_536) {
    var builder = PolicyTableBuilder(policies: policies, classes: classes)
    if let rows = builder.rows(limit: limit) {
      self.rows = rows
      self.problem = nil
    } else {
      self.rows = [
        PolicyRow(sourceClass: nil, port: 0, verdict: PolicyVerdict(isAllowed: false, reason: .mapError))
      ]
      self.problem =
        "\(policies.count) policies need more than \(limit) rows (\(builder.portCount) ports times the sources that they tell apart)"
    }
  }
}

/// Works on vectors: the verdict of one class for each port that the policies name, and last for every other port.
private struct PolicyTableBuilder {
  private struct Rule {
    var policy: Int
    var rule: Int
    var isDeny: Bool
    /// One of these must hold; empty: anyone.
    var from: [Int32]
    /// All of these must hold.
    var when: [Int32]
    /// Per port of `ports`, then for every other port.
    var matchesPort: [Bool]
  }

  private typealias Vector = [PolicyVerdict]

  private let references: [PolicyReference]
  private let classes: SourceClasses
  /// Named ports, ascending.
  private var ports: [UInt16] = []
  /// Those that can match anything, in order of decision: DENY first, then by policy name and index.
  private var rules: [Rule] = []
  /// Rules to try if the predicate holds.
  private var rulesByPredicate: [Int32: [Int]] = [:]
  /// Rules to try for every source.
  private var rulesForAll: [Int] = []
  private var fallback: PolicyVerdict
  private var cache: [[Int32]: [PolicyVerdict]] = [:]

  var portCount: Int { self.ports.count }

  init(policies: [Versioned<PolicyEntry>], classes: SourceClasses) {
    let ordered = policies.sorted { $0.value.name < $1.value.name }
    self.references = ordered.map { PolicyReference($0) }
    self.classes = classes
    let firstAllow = ordered.first { $0.value.action == .allow }
    self.fallback = firstAllow.map { .notAllowed(first: PolicyReference($0)) } ?? .allowed
    self.readPorts(ordered)
    for action in [PolicyEntry.Action.deny, .allow] {
      for (position, policy) in ordered.enumerated() where policy.value.action == action {
        for (number, rule) in policy.value.rules.enumerated() { self.add(rule, number, position, action == .deny) }
      }
    }
  }

  private mutating func readPorts(_ policies: [Versioned<PolicyEntry>]) {
    var named: Set<UInt16> = []
    for policy in policies {
      for rule in policy.value.rules {
        for match in rule.to { named.formUnion(match.ports + match.notPorts) }
        for match in rule.whenOperation { named.formUnion(match.ports + match.notPorts) }
      }
    }
    named.remove(0)
    self.ports = named.sorted()
  }

  private mutating func add(_ rule: PolicyRule, _ number: Int, _ policy: Int, _ isDeny: Bool) {
    // A predicate that is not in the index holds for no class. Policies and index come from one snapshot, so it does not
    // happen; if it did, an ALLOW would refuse more, and a DENY must not match less: it then matches everyone.
    var from = rule.from.compactMap { self.classes.index.number(of: $0) }
    var when = rule.whenSource.compactMap { self.classes.index.number(of: $0) }
    if from.count < rule.from.count || when.count < rule.whenSource.count {
      guard isDeny else { return }
      from = []
      when = []
    }
    let matches: [Bool]
    if rule.to.isEmpty, rule.whenOperation.isEmpty {
      matches = Array(repeating: true, count: self.ports.count + 1)
    } else {
      // Port 0 stands for "every other port": no policy names it.
      matches = (self.ports + [0]).map { port in
        (rule.to.isEmpty || rule.to.contains { $0.matches(port: port) })
          && rule.whenOperation.allSatisfy { $0.matches(port: port) }
      }
    }
    guard matches.contains(true) else { return }
    let position = self.rules.count
    self.rules.append(
      Rule(policy: policy, rule: number, isDeny: isDeny, from: from, when: when, matchesPort: matches))
    if !from.isEmpty {
      for predicate in Set(from) { self.rulesByPredicate[predicate, default: []].append(position) }
    } else if let first = when.first {
      self.rulesByPredicate[first, default: []].append(position)
    } else {
      self.rulesForAll.append(position)
    }
  }

  /// Predicates that some rule asks for.
  private var relevant: [Int32] {
    var result: Set<Int32> = Set(self.rulesByPredicate.keys)
    for rule in self.rules where !rule.when.isEmpty { result.formUnion(rule.when) }
    return result.sorted()
  }

  /// Verdicts for a source for which, of the relevant predicates, exactly these hold.
  private mutating func vector(_ signature: [Int32]) -> Vector {
    if let known = self.cache[signature] { return known }
    let held = Set(signature)
    var candidates = Set(self.rulesForAll)
    for predicate in signature { candidates.formUnion(self.rulesByPredicate[predicate] ?? []) }
    var result: [PolicyVerdict?] = Array(repeating: nil, count: self.ports.count + 1)
    var open = result.count
    for position in candidates.sorted() where open > 0 {
      let rule = self.rules[position]
      guard rule.when.allSatisfy({ held.contains($0) }) else { continue }
      let reference = self.references[rule.policy]
      for port in result.indices where result[port] == nil && rule.matchesPort[port] {
        result[port] = PolicyVerdict(
          isAllowed: !rule.isDeny, reason: rule.isDeny ? .policyDenied : .none, policy: reference)
        open -= 1
      }
    }
    let vector = result.map { $0 ?? self.fallback }
    self.cache[signature] = vector
    return vector
  }

  /// Nil if there would be more than `limit`.
  mutating func rows(limit: Int) -> [PolicyRow]? {
    // Classes for which no relevant predicate holds are all alike; only the others are looked at one by one.
    var touched: [UInt32: [[Int32]]] = [:]
    for predicate in self.relevant {
      for holder in self.classes.holders[predicate] ?? [] {
        let count = self.classes.signatures[Int(holder.sourceClass)].count
        touched[holder.sourceClass, default: Array(repeating: [], count: count)][holder.signature].append(predicate)
      }
    }
    let base = self.vector([])
    var vectors: [(sourceClass: UInt32, vector: Vector)] = []
    for (sourceClass, signatures) in touched.sorted(by: { $0.key < $1.key }) {
      let members = signatures.map { self.vector($0) }
      let vector =
        members.count == 1
        ? members[0] : base.indices.map { port in PolicyVerdict.combined(members.map { $0[port] }) }
      if vector != base { vectors.append((sourceClass, vector)) }
    }
    return self.minimal(base: base, baseCount: self.classes.count - 1 - vectors.count, vectors: vectors, limit: limit)
  }

  /// Any-class rows say what most classes say; a class gets a row of its own where it differs.
  private func minimal(
    base: Vector, baseCount: Int, vectors: [(sourceClass: UInt32, vector: Vector)], limit: Int
  ) -> [PolicyRow]? {
    let other = self.ports.count
    let common = base.indices.map { port in
      Self.mostFrequent(base[port], count: baseCount, among: vectors.lazy.map { $0.vector[port] })
    }
    var rows: [PolicyRow] = []
    func add(_ sourceClass: UInt32?, _ vector: Vector, fallback: Vector) -> Bool {
      let wholesale = vector[other]
      let needsRow = wholesale != fallback[other]
      let byPort = (0..<other).filter { vector[$0] != fallback[$0] }
      let afterRow = (0..<other).filter { vector[$0] != wholesale }
      let useRow = needsRow || afterRow.count + 1 < byPort.count
      if useRow { rows.append(PolicyRow(sourceClass: sourceClass, port: 0, verdict: wholesale)) }
      for port in useRow ? afterRow : byPort {
        rows.append(PolicyRow(sourceClass: sourceClass, port: self.ports[port], verdict: vector[port]))
      }
      return rows.count < limit
    }
    let unknown = PolicyVerdict.combined([])
    guard add(0, base.map { _ in unknown }, fallback: common) else { return nil }
    if common != base {
      // Rare: most classes are told apart. The classes that are not need rows too.
      let special = Set(vectors.map(\.sourceClass))
      for sourceClass in 1..<UInt32(truncatingIfNeeded: self.classes.count) where !special.contains(sourceClass) {
        guard add(sourceClass, base, fallback: common) else { return nil }
      }
    }
    for (sourceClass, vector) in vectors {
      guard add(sourceClass, vector, fallback: common) else { return nil }
    }
    for port in 0..<other where common[port] != common[other] {
      rows.append(PolicyRow(sourceClass: nil, port: self.ports[port], verdict: common[port]))
    }
    rows.append(PolicyRow(sourceClass: nil, port: 0, verdict: common[other]))
    return rows.count <= limit ? rows : nil
  }

  private static func mostFrequent(
    _ base: PolicyVerdict, count: Int, among others: some Sequence<PolicyVerdict>
  ) -> PolicyVerdict {
    var counts: [PolicyVerdict: Int] = [:]
    for verdict in others { counts[verdict, default: 0] += 1 }
    var best = (base, count + (counts[base] ?? 0))
    // Strictly more, and the first in a fixed order among equals.
    for (verdict, number) in counts where number > best.1 || (number == best.1 && best.0 != base && verdict < best.0) {
      best = (verdict, number)
    }
    return best.0
  }
}

extension PolicyVerdict {
  /// Any fixed order.
  fileprivate static func < (a: PolicyVerdict, b: PolicyVerdict) -> Bool {
    PolicyVerdict.combined([a, b]) == a && a != b
  }
}
