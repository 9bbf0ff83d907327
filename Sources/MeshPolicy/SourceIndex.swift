package import MeshBase
package import MeshSnapshot

/// The distinct `SourceMatch` predicates of a set of policies, numbered, and found from a source without trying each:
/// ten thousand rules that name one principal each cost one look-up a source.
///
/// Each predicate is filed under the most selective of its positive fields that has no wildcard; a candidate is then tried
/// in full, so the index decides speed only.
package struct SourceIndex: Sendable {
  package private(set) var predicates: [SourceMatch] = []
  private var numbers: [SourceMatch: Int32] = [:]
  private var byPrincipal: [String: [Int32]] = [:]
  private var byServiceAccount: [ServiceAccountMatch: [Int32]] = [:]
  private var byNamespace: [String: [Int32]] = [:]
  private var byBlock: [IPPrefix: [Int32]] = [:]
  /// Lengths that occur in `byBlock`, per family.
  private var lengthsV4: Set<Int> = []
  private var lengthsV6: Set<Int> = []
  /// Tried for every source with an identity.
  private var unfiledWithIdentity: [Int32] = []
  /// Tried for every source.
  private var unfiled: [Int32] = []
  /// Every block that a predicate names.
  package private(set) var blocks: Set<IPPrefix> = []

  package init() {}

  package init(_ policies: some Sequence<PolicyEntry>) {
    for policy in policies {
      for rule in policy.rules {
        for match in rule.from { self.insert(match) }
        for match in rule.whenSource { self.insert(match) }
      }
    }
  }

  /// The number of the predicate, if it is in the index.
  package func number(of match: SourceMatch) -> Int32? { self.numbers[match] }

  @discardableResult
  package mutating func insert(_ match: SourceMatch) -> Int32 {
    if let number = self.numbers[match] { return number }
    let number = Int32(truncatingIfNeeded: self.predicates.count)
    self.predicates.append(match)
    self.numbers[match] = number
    self.blocks.formUnion(match.ipBlocks)
    self.blocks.formUnion(match.notIPBlocks)
    self.file(match, number)
    return number
  }

  private mutating func file(_ match: SourceMatch, _ number: Int32) {
    if let principals = Self.exact(match.principals) {
      for principal in principals { self.byPrincipal[principal, default: []].append(number) }
    } else if !match.serviceAccounts.isEmpty {
      for account in Set(match.serviceAccounts) { self.byServiceAccount[account, default: []].append(number) }
    } else if !match.ipBlocks.isEmpty {
      for block in Set(match.ipBlocks) {
        self.byBlock[block, default: []].append(number)
        if block.isV4 { self.lengthsV4.insert(block.length) } else { self.lengthsV6.insert(block.length) }
      }
    } else if let namespaces = Self.exact(match.namespaces) {
      for namespace in namespaces { self.byNamespace[namespace, default: []].append(number) }
    } else if !match.principals.isEmpty || !match.namespaces.isEmpty {
      self.unfiledWithIdentity.append(number)
    } else {
      self.unfiled.append(number)
    }
  }

  /// The texts, if there are some and none has a wildcard.
  private static func exact(_ matches: [StringMatch]) -> Set<String>? {
    guard !matches.isEmpty else { return nil }
    var texts: Set<String> = []
    for match in matches {
      guard case .exact(let text) = match else { return nil }
      texts.insert(text)
    }
    return texts
  }

  /// Numbers of all predicates that hold for the source, ascending.
  package func signature(identity: SPIFFEID?, location: IPPrefix) -> [Int32] {
    var found: [Int32] = []
    func consider(_ candidates: [Int32]?) {
      for number in candidates ?? [] {
        if self.predicates[Int(number)].matches(identity: identity, location: location) { found.append(number) }
      }
    }
    if let identity {
      consider(self.byPrincipal[identity.principal])
      consider(
        self.byServiceAccount[ServiceAccountMatch(namespace: identity.namespace, name: identity.serviceAccount)])
      consider(self.byNamespace[identity.namespace])
      consider(self.unfiledWithIdentity)
    }
    for length in location.isV4 ? self.lengthsV4 : self.lengthsV6 where length <= location.length {
      guard let block = IPPrefix(location.address, length: length) else { continue }
      consider(self.byBlock[block])
    }
    consider(self.unfiled)
    found.sort()
    // A predicate with two blocks, one inside the other, is found twice.
    var result: [Int32] = []
    result.reserveCapacity(found.count)
    for number in found where result.last != number { result.append(number) }
    return result
  }

  package func signature(of source: PolicySource) -> [Int32] {
    self.signature(identity: source.identity, location: IPPrefix(host: source.address))
  }
}
