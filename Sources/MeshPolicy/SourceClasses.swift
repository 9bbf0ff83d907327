package import MeshBase

/// Sources that no predicate tells apart, numbered. A class is known by its signatures: the predicates that hold for its
/// sources. Class 0 has no signature: it is what a look-up that finds nothing gives, a source of which nothing is known, and
/// every table refuses it. (Were it the class of sources for which no predicate holds, a missing row would slip past a DENY
/// rule with `not` fields.)
///
/// A class has more than one signature only for a workload with several addresses in one family that predicates tell
/// apart: the kernel asks before it has chosen the source address, so such a class is refused what any of its addresses is
/// refused (`PolicyVerdict.combined`).
package struct SourceClasses: Sendable {
  package let index: SourceIndex
  /// Signatures of each class, sorted and distinct.
  package private(set) var signatures: [[[Int32]]]
  private var numbers: [[[Int32]]: UInt32]
  /// Classes of which some signature holds the predicate.
  private(set) var holders: [Int32: [Holder]] = [:]

  struct Holder: Sendable {
    var sourceClass: UInt32
    /// Index in `signatures[sourceClass]`.
    var signature: Int
  }

  package init(index: SourceIndex) {
    self.index = index
    self.signatures = [[]]
    self.numbers = [[]: 0]
  }

  package var count: Int { self.signatures.count }

  /// The class of a source with this identity (nil: plaintext from outside) that uses one of these addresses. Without an
  /// address it is class 0.
  package mutating func number(identity: SPIFFEID?, addresses: some Sequence<IPAddress>) -> UInt32 {
    var distinct: Set<[Int32]> = []
    for address in addresses {
      distinct.insert(self.index.signature(identity: identity, location: IPPrefix(host: address)))
    }
    return self.number(distinct.sorted { $0.lexicographicallyPrecedes($1) })
  }

  package mutating func number(of source: PolicySource) -> UInt32 {
    self.number(identity: source.identity, addresses: CollectionOfOne(source.address))
  }

  private mutating func number(_ signatures: [[Int32]]) -> UInt32 {
    if let number = self.numbers[signatures] { return number }
    let number = UInt32(truncatingIfNeeded: self.signatures.count)
    self.signatures.append(signatures)
    self.numbers[signatures] = number
    for (position, signature) in signatures.enumerated() {
      for predicate in signature {
        self.holders[predicate, default: []].append(Holder(sourceClass: number, signature: position))
      }
    }
    return number
  }

  /// The rows of a longest-prefix look-up from the address of a source from outside to its class. The root of each family
  /// is always there. A row's class is that of the addresses inside it and outside of every longer row; a row that says
  /// what the next shorter one says is left out.
  package mutating func networkRows() -> [NetworkRow] {
    let roots = [IPPrefix(IPAddress(v4: 0), length: 0), IPPrefix(IPAddress(high: 0, low: 0), length: 0)].compactMap(
      \.self)
    var rows: [NetworkRow] = []
    // Sorted by address, then length: every block comes after the blocks that contain it, with the nearest on top.
    var enclosing: [NetworkRow] = []
    for block in self.index.blocks.union(roots).sorted() {
      while let top = enclosing.last, !top.block.contains(block) { enclosing.removeLast() }
      let row = NetworkRow(
        block: block, sourceClass: self.number([self.index.signature(identity: nil, location: block)]))
      if enclosing.last?.sourceClass != row.sourceClass { rows.append(row) }
      enclosing.append(row)
    }
    return rows
  }
}

package struct NetworkRow: Hashable, Sendable {
  package var block: IPPrefix
  package var sourceClass: UInt32
}

extension PolicyVerdict {
  /// What holds for a source of which only a set of possible addresses is known: a refusal of one is a refusal. Among
  /// several the first in a fixed order is named. Empty: refused, as a source of which nothing is known.
  package static func combined(_ verdicts: some Sequence<PolicyVerdict>) -> PolicyVerdict {
    var result: PolicyVerdict?
    for verdict in verdicts {
      guard let best = result else {
        result = verdict
        continue
      }
      if verdict.precedes(best) { result = verdict }
    }
    return result ?? PolicyVerdict(isAllowed: false, reason: .policyMissing)
  }

  private func precedes(_ other: PolicyVerdict) -> Bool {
    if self.isAllowed != other.isAllowed { return !self.isAllowed }
    if self.reason != other.reason { return self.reason.rawValue < other.reason.rawValue }
    switch (self.policy, other.policy) {
    case (nil, nil): return false
    case (nil, _): return true
    case (_, nil): return false
    case (let a?, let b?): return a == b ? (self.rule ?? 0) < (other.rule ?? 0) : a < b
    }
  }
}
