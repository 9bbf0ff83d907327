/// What has a number on this node.
package enum IdentifierKind: String, Hashable, Sendable, CaseIterable {
  /// By workload name.
  case workload
  /// By service name.
  case service
  /// By the names of its policies.
  case group
  /// By `PolicyReference`: one version of one policy.
  case policy
  /// By service, port, family and a running number.
  case table
  /// By the network of a workload and the network of this host that it is in.
  case network
}

/// Numbers for names: stable while a name is in use, never 0, and not given to another name within 60 s of being freed,
/// because events and connections that bear the number are still on their way. Until then the number still resolves to its
/// name, and the name gets it back if it returns.
package struct Identifiers: Sendable, Equatable {
  /// How long a freed number rests.
  package static let rest: Duration = .seconds(60)

  /// What an agent saves and restores.
  package struct Exported: Sendable, Equatable {
    package var numbers: [IdentifierKind: [String: UInt32]]
    /// Where the next number is sought.
    package var next: [IdentifierKind: UInt32]

    package init(numbers: [IdentifierKind: [String: UInt32]] = [:], next: [IdentifierKind: UInt32] = [:]) {
      self.numbers = numbers
      self.next = next
    }
  }

  fileprivate struct Space: Sendable, Equatable {
    var numbers: [String: UInt32] = [:]
    var names: [UInt32: String] = [:]
    /// Freed: name and the time from which the number may be used again.
    var resting: [UInt32: Duration] = [:]
    var next: UInt32 = 1
  }

  private var spaces: [IdentifierKind: Space]

  package init() {
    self.spaces = Dictionary(uniqueKeysWithValues: IdentifierKind.allCases.map { ($0, Space()) })
  }

  /// Restores what `exported` gave. Zero and double numbers (a damaged file) are left out: their names get new ones.
  ///
  package init(_ exported: Exported) {
    self.init()
    for kind in IdentifierKind.allCases {
      var space = Space()
      for (name, number) in (exported.numbers[kind] ?? [:]).sorted(by: { $0.key < $1.key }) {
        guard number != 0, space.names[number] == nil else { continue }
        space.numbers[name] = number
        space.names[number] = name
      }
      space.next = max(exported.next[kind] ?? 1, 1)
      self.spaces[kind] = space
    }
  }

  package var exported: Exported {
    Exported(numbers: self.spaces.mapValues(\.numbers), next: self.spaces.mapValues(\.next))
  }

  package func count(_ kind: IdentifierKind) -> Int {
    (self.spaces[kind]?.numbers.count ?? 0) - (self.spaces[kind]?.resting.count ?? 0)
  }

  /// The number of a name that is in use or resting.
  package func number(_ kind: IdentifierKind, _ name: String) -> UInt32? { self.spaces[kind]?.numbers[name] }

  /// The name of a number that is in use or resting.
  package func name(_ kind: IdentifierKind, _ number: UInt32) -> String? { self.spaces[kind]?.names[number] }

  /// Names in use, in no order.
  package func names(_ kind: IdentifierKind) -> [String] {
    guard let space = self.spaces[kind] else { return [] }
    return space.numbers.filter { space.resting[$0.value] == nil }.map(\.key)
  }

  /// The number of the name, made if it has none. 0 only if four billion numbers are taken.
  package mutating func take(_ kind: IdentifierKind, _ name: String, now: Duration) -> UInt32 {
    self.spaces[kind, default: Space()].take(name, now: now)
  }

  /// The name is no longer in use.
  package mutating func release(_ kind: IdentifierKind, _ name: String, now: Duration) {
    guard let number = self.spaces[kind]?.numbers[name] else { return }
    self.spaces[kind]?.resting[number] = now + Self.rest
  }

  /// Marks a number that is found in a map and has no name, so that it is not given out until it has rested.
  package mutating func reserve(_ kind: IdentifierKind, _ number: UInt32, now: Duration) {
    guard number != 0, self.spaces[kind]?.names[number] == nil else { return }
    let name = Self.unknown(number)
    guard self.spaces[kind]?.numbers[name] == nil else { return }
    self.spaces[kind]?.numbers[name] = number
    self.spaces[kind]?.names[number] = name
    self.spaces[kind]?.resting[number] = now + Self.rest
  }

  /// Gives the name a number that is known from elsewhere, unless it has one or the number is another name's.
  package mutating func restore(_ kind: IdentifierKind, _ name: String, _ number: UInt32) {
    guard number != 0, self.spaces[kind]?.numbers[name] == nil else { return }
    if let holder = self.spaces[kind]?.names[number] {
      guard holder == Self.unknown(number) else { return }
      self.spaces[kind]?.numbers[holder] = nil
      self.spaces[kind]?.resting[number] = nil
    }
    self.spaces[kind]?.numbers[name] = number
    self.spaces[kind]?.names[number] = name
  }

  private static func unknown(_ number: UInt32) -> String { "unknown#\(number)" }

  /// Forgets numbers that have rested. Cheap if there are none.
  package mutating func expire(now: Duration) {
    for kind in IdentifierKind.allCases where self.spaces[kind]?.resting.isEmpty == false {
      self.spaces[kind]?.expire(now: now)
    }
  }
}

extension Identifiers.Space {
  fileprivate mutating func take(_ name: String, now: Duration) -> UInt32 {
    if let number = self.numbers[name] {
      if !self.resting.isEmpty { self.resting[number] = nil }
      return number
    }
    guard self.names.count < Int(UInt32.max) - 1 else { return 0 }
    while self.next == 0 || self.names[self.next] != nil { self.next &+= 1 }
    let number = self.next
    self.next &+= 1
    self.numbers[name] = number
    self.names[number] = name
    return number
  }

  fileprivate mutating func expire(now: Duration) {
    for (number, time) in self.resting where time <= now {
      self.resting[number] = nil
      if let name = self.names.removeValue(forKey: number) { self.numbers[name] = nil }
    }
  }
}
