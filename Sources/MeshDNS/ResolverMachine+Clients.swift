extension ResolverMachine {
  /// Bytes from a client. `random` has to be unpredictable: ids come from it.
  package mutating func received(
    _ bytes: [UInt8], from client: DNSClient, zone: MeshZone, now: UInt64,
    using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    switch DNSQuery.arrival(bytes) {
    case .ignored:
      self.counters.ignored += 1
      return []
    case .refused(let answer, _):
      self.counters.refused += 1
      return [.answer(client, answer)]
    case .query(let query):
      self.counters.questions += 1
      if let answer = zone.answer(query.question, using: &random) {
        self.counters.mesh += 1
        return [.answer(client, self.meshAnswer(answer, to: query, client.transport))]
      }
      return self.forward(query, client, since: now, now: now, using: &random)
    }
  }

  private mutating func meshAnswer(
    _ answer: MeshZone.Answer, to query: DNSQuery, _ transport: DNSTransport
  ) -> [UInt8] {
    // RFC 6891 section 6.1.3.
    if let edns = query.edns, edns.version != 0 { return query.answer(.badVersion) }
    let limit = query.limit(transport)
    let whole = query.answer(
      answer.code, flags: .authoritative, answers: answer.answers, authorities: answer.authorities,
      additionals: answer.additionals)
    if whole.count <= limit { return whole }
    // Additional records are a courtesy: leaving them out loses nothing (RFC 2181 section 9).
    let needed = query.answer(
      answer.code, flags: .authoritative, answers: answer.answers, authorities: answer.authorities)
    if needed.count <= limit { return needed }
    self.counters.truncated += 1
    return query.answer(answer.code, flags: [.authoritative, .truncated])
  }

  /// - Parameter since: when it came.
  mutating func forward(
    _ query: DNSQuery, _ client: DNSClient, since: UInt64, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    let waiter = Waiter(client: client, id: query.id)
    let key = Key(namespace: client.namespace, transport: client.transport, body: Array(query.bytes.dropFirst(2)))
    let namespace = self.namespaces[client.namespace] ?? Namespace()
    if let number = self.numbers[key], let pending = self.pending[number] {
      // The same client once more has lost patience, not changed its mind.
      guard !pending.waiters.contains(waiter) else { return [] }
      guard namespace.clients < self.limits.clientsPerNamespace else { return self.overload(query, client) }
      self.counters.joined += 1
      self.namespaces[client.namespace]?.clients += 1
      self.pending[number]?.waiters.append(waiter)
      return []
    }
    guard !namespace.upstreams.isEmpty else {
      guard self.namespaces[client.namespace] != nil else { return self.hold(query, client, now: now) }
      self.counters.refused += 1
      return [.answer(client, query.answer(.refused))]
    }
    guard self.pending.count < self.limits.questions, namespace.questions < self.limits.questionsPerNamespace,
      namespace.clients < self.limits.clientsPerNamespace
    else { return self.overload(query, client) }
    self.counters.forwarded += 1
    self.lastNumber &+= 1
    self.namespaces[client.namespace]?.questions += 1
    self.namespaces[client.namespace]?.clients += 1
    var first = 0
    if let preferred = namespace.preferred, now < preferred.until { first = preferred.index }
    self.numbers[key] = self.lastNumber
    self.pending[self.lastNumber] = Pending(
      key: key, query: query, upstreams: namespace.upstreams, deadline: since + self.limits.questionTimeout,
      waiters: [waiter], upstream: first, transport: client.transport)
    return self.ask(self.lastNumber, now: now, using: &random)
  }

  mutating func overload(_ query: DNSQuery, _ client: DNSClient) -> [ResolverAction] {
    self.counters.overloaded += 1
    return [.answer(client, query.answer(.serverFailure))]
  }
}
