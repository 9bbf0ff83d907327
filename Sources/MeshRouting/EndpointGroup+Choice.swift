import MeshSnapshot
import Synchronization

extension EndpointGroup {
  /// Which endpoints may be chosen, and with how much of their weight.
  private struct Sieve {
    let tried: [RoutingTable.Choice]
    let ignoresEjections: Bool
    let slowStart: SlowStart?
    let now: UInt64

    /// Thousandths of its weight; 0: not this one.
    func perMille(_ member: Member) -> UInt64 {
      if !self.ignoresEjections, member.record.isEjected { return 0 }
      if !self.tried.isEmpty, self.tried.contains(member.choice) { return 0 }
      return self.slowStart?.perMille(of: member.record, now: self.now) ?? 1000
    }

    /// - roll: drawn: who has half of its weight is taken half of the times that its weight would be drawn.
    func takes(_ member: Member, roll: UInt64) -> Bool {
      let perMille = self.perMille(member)
      return perMille == 1000 || roll % 1000 < perMille
    }
  }

  /// Proposals that are looked at, before all endpoints are.
  private static let proposals = 4

  /// An endpoint, none of `tried` (few). Nil: all were tried, or all others are ejected.
  func choose(
    except tried: [RoutingTable.Choice], _ context: BalancerContext, using random: inout some RandomNumberGenerator
  ) -> RoutingTable.Choice? {
    let view = self.currentView()
    let first = self.tier(view, context, using: &random)
    if !view.isImpaired, tried.isEmpty {
      return self.pick(self.tiers[first], context, nil, using: &random).map { self.members[$0].choice }
    }
    // Where requests go, then, if nobody is left there, what is near.
    for place in -1..<self.tiers.count where place != first {
      let at = place < 0 ? first : place
      let sieve = Sieve(
        tried: tried, ignoresEjections: view.ignoresEjections(in: at), slowStart: self.traffic?.slowStart,
        now: context.now)
      if let number = self.pick(self.tiers[at], context, sieve, using: &random) { return self.members[number].choice }
    }
    return nil
  }

  private func tier(
    _ view: EndpointView, _ context: BalancerContext, using random: inout some RandomNumberGenerator
  ) -> Int {
    guard self.tiers.count > 1 else { return 0 }
    // Without it being drawn where nothing is to be drawn.
    if view.share(of: 0) == 100 { return 0 }
    let point = self.key(context).map { KeyHash.mix($0 ^ Self.tierSalt) } ?? random.next()
    return view.tier(at: Int(point % 100), of: self.tiers.count)
  }

  private static let tierSalt: UInt64 = 0x7469_6572
  private static let rollSalt: UInt64 = 0x726f_6c6c

  /// Of what is balanced by keys.
  private func key(_ context: BalancerContext) -> UInt64? { self.keys == nil ? nil : context.key }

  private func pick(
    _ tier: Tier, _ context: BalancerContext, _ sieve: Sieve?, using random: inout some RandomNumberGenerator
  ) -> Int? {
    if self.leastRequest(context) { return self.lesser(of: tier, sieve, now: context.now, using: &random) }
    switch tier.lookup {
    case .none: break
    case .turns(let turns):
      let turn = self.upstream.turns[self.family].wrappingAdd(1, ordering: .relaxed).oldValue
      let number = tier.members.lowerBound + turns[turn]
      guard let sieve else { return number }
      // Who may not have its turn gives it to all others by weight, so that these keep their proportions.
      if sieve.takes(self.members[number], roll: random.next()) { return number }
    case .ring(let ring, _):
      if let key = context.key { return self.owner(of: key, in: tier, sieve) { ring.owner(of: $0) } }
    case .maglev(let table, _):
      if let key = context.key { return self.owner(of: key, in: tier, sieve) { table.owner(of: $0) } }
    }
    return self.draw(tier, nil, sieve, using: &random)
  }

  // MARK: power of two choices

  private func lesser(
    of tier: Tier, _ sieve: Sieve?, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> Int? {
    guard let one = self.draw(tier, nil, sieve, using: &random) else { return nil }
    guard tier.members.count > 1, let other = self.draw(tier, one, sieve, using: &random) else { return one }
    var a = self.cost(one, sieve, now: now)
    var b = self.cost(other, sieve, now: now)
    // Who has not answered yet is compared by its requests alone: it gets its share of them, and no flood.
    if a.latency == nil || b.latency == nil { (a.latency, b.latency) = (1, 1) }
    return b.load * (b.latency ?? 1) < a.load * (a.latency ?? 1) ? other : one
  }

  private func cost(_ number: Int, _ sieve: Sieve?, now: UInt64) -> (load: Float, latency: Float?) {
    let member = self.members[number]
    let grown = Float(max(1, sieve?.perMille(member) ?? 1000)) / 1000
    return member.record.cost(scale: member.scale / grown, now: now)
  }

  // MARK: keys

  /// Who of the tier has the key; if it may not be chosen, the key goes where others like it go: the same for the same key.
  private func owner(of key: UInt64, in tier: Tier, _ sieve: Sieve?, by owner: (UInt64) -> Int) -> Int? {
    var place = key
    for _ in 0..<Self.proposals {
      let number = tier.members.lowerBound + owner(place)
      guard let sieve else { return number }
      if sieve.takes(self.members[number], roll: KeyHash.mix(place ^ Self.rollSalt)) { return number }
      place = KeyHash.mix(place ^ Self.tierSalt)
    }
    var numbers = KeyedNumbers(key)
    return self.draw(tier, nil, sieve, using: &numbers)
  }

  // MARK: by weight

  /// By weight, none but `other`s.
  private func draw(
    _ tier: Tier, _ other: Int?, _ sieve: Sieve?, using random: inout some RandomNumberGenerator
  ) -> Int? {
    if tier.members.count == 1, other == nil, sieve == nil { return tier.members.lowerBound }
    guard let sieve else { return self.draw(tier, other, using: &random) }
    for _ in 0..<Self.proposals {
      guard let number = self.draw(tier, other, using: &random) else { return nil }
      if sieve.takes(self.members[number], roll: random.next()) { return number }
    }
    var left: UInt64 = 0
    for number in tier.members where number != other { left += self.weight(number, sieve) }
    guard left > 0 else { return nil }
    var point = UInt64.random(in: 0..<left, using: &random)
    for number in tier.members where number != other {
      let weight = self.weight(number, sieve)
      if point < weight { return number }
      point -= weight
    }
    return nil
  }

  private func weight(_ number: Int, _ sieve: Sieve) -> UInt64 {
    UInt64(self.members[number].weight) * sieve.perMille(self.members[number])
  }

  private func draw(_ tier: Tier, _ other: Int?, using random: inout some RandomNumberGenerator) -> Int? {
    let skipped = other.map { UInt64(self.members[$0].weight) } ?? 0
    guard tier.totalWeight > skipped else { return nil }
    var point = UInt64.random(in: 0..<tier.totalWeight - skipped, using: &random)
    // The other's stretch is as if it were not there.
    if let other, point >= self.members[other].cumulativeWeight - skipped { point += skipped }
    if tier.isUniform {
      return tier.members.lowerBound + Int(point / UInt64(self.members[tier.members.lowerBound].weight))
    }
    var low = tier.members.lowerBound
    var high = tier.members.upperBound - 1
    while low < high {
      let middle = low + (high - low) / 2
      if point < self.members[middle].cumulativeWeight { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
