/// Sockets to answer on and name servers to ask come to the proxy by two ways, in no order. A question between the two is
/// kept for the moment that the other needs.
extension ResolverMachine {
  var heldCount: Int { self.held.values.reduce(0) { $0 + $1.count } }

  mutating func hold(_ query: DNSQuery, _ client: DNSClient, now: UInt64) -> [ResolverAction] {
    let held = self.held[client.namespace] ?? []
    // The same client once more has lost patience, not changed its mind.
    guard !held.contains(where: { $0.client == client && $0.query.bytes == query.bytes }) else { return [] }
    guard held.count < self.limits.questionsPerNamespace, self.waiting < self.limits.questions else {
      return self.overload(query, client)
    }
    self.held[client.namespace, default: []].append(Held(query: query, client: client, since: now))
    return []
  }

  /// Now it is known who is to be asked, or that nobody is.
  mutating func release(
    _ namespace: UInt64, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    var actions: [ResolverAction] = []
    for one in self.held.removeValue(forKey: namespace) ?? [] {
      actions += self.forward(one.query, one.client, since: one.since, now: now, using: &random)
    }
    return actions
  }

  /// Nobody said it in time.
  mutating func giveUpHeld(now: UInt64) -> [ResolverAction] {
    var actions: [ResolverAction] = []
    for (namespace, held) in self.held {
      let over = held.prefix { $0.since + self.limits.holdTimeout <= now }
      self.held[namespace] = over.count == held.count ? nil : Array(held.dropFirst(over.count))
      self.counters.exhausted += UInt64(over.count)
      actions += over.map { .answer($0.client, $0.query.answer(.serverFailure)) }
    }
    return actions
  }
}
