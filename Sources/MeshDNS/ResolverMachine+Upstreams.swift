package import MeshBase

extension ResolverMachine {
  /// Bytes on the socket of an attempt, and who sent them.
  package mutating func replied(
    _ bytes: [UInt8], from source: SocketEndpoint, to attempt: DNSAttempt, zone: MeshZone, now: UInt64,
    using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    guard let pending = self.pending[attempt.question], pending.attempts == attempt.number else { return [] }
    guard source == pending.upstreams[pending.upstream] else {
      self.counters.mismatched += 1
      return []
    }
    let match = DNSReply.match(
      bytes, id: pending.id, question: pending.query.question, transport: pending.transport)
    switch (match, pending.transport) {
    // A server that does not keep the case is one to believe only where nobody else can answer.
    case (.exact, _), (.otherCase, .tcp): break
    case (.otherCase, .udp):
      self.counters.mismatched += 1
      return self.askByStream(attempt.question, now: now, using: &random)
    case (.none, .udp):
      self.counters.mismatched += 1
      self.pending[attempt.question]?.mismatches += 1
      guard pending.mismatches + 1 >= self.limits.mismatches else { return [] }
      return self.askByStream(attempt.question, now: now, using: &random)
    case (.none, .tcp):
      self.counters.mismatched += 1
      return self.askNext(attempt.question, now: now, using: &random)
    }
    guard let reply = try? DNSReply(bytes) else {
      self.counters.malformed += 1
      return self.askNext(attempt.question, now: now, using: &random)
    }
    if reply.hasAddress(in: zone.guardedRanges) {
      self.counters.filtered += UInt64(pending.waiters.count)
      return self.finish(attempt.question, nil)
    }
    if reply.isTruncated, pending.transport == .udp {
      self.pending[attempt.question]?.lastResort = reply
      return self.askByStream(attempt.question, now: now, using: &random)
    }
    if reply.isFailure {
      if pending.lastResort == nil { self.pending[attempt.question]?.lastResort = reply }
      // Others may know better; the same one does not change its mind.
      guard pending.tries < pending.upstreams.count else { return self.giveUp(attempt.question) }
      return self.askNext(attempt.question, now: now, using: &random)
    }
    if pending.tries > 1, self.namespaces[pending.key.namespace]?.upstreams == pending.upstreams {
      self.namespaces[pending.key.namespace]?.preferred = (pending.upstream, now + self.limits.preference)
    }
    return self.finish(attempt.question, reply)
  }

  /// The attempt's socket failed, or there was none.
  package mutating func failed(
    _ attempt: DNSAttempt, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    guard let pending = self.pending[attempt.question], pending.attempts == attempt.number else { return [] }
    self.counters.failures += 1
    return self.askNext(attempt.question, now: now, using: &random)
  }

  /// Ends what took too long.
  package mutating func expire(
    now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    var actions = self.giveUpHeld(now: now)
    for (number, pending) in self.pending where pending.attemptDeadline <= now {
      self.counters.timeouts += 1
      actions += self.askNext(number, now: now, using: &random)
    }
    return actions
  }

  // MARK: attempts

  /// The first attempt.
  mutating func ask(
    _ number: UInt64, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    self.pending[number]?.tries = 1
    return self.attempt(number, now: now, using: &random)
  }

  /// The next upstream, by the transport that the client chose.
  private mutating func askNext(
    _ number: UInt64, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    guard var pending = self.pending[number] else { return [] }
    // A truncated answer tells the client as much as it can know when TCP does not work.
    let isTruncated = pending.lastResort?.isTruncated ?? false
    guard now < pending.deadline, !isTruncated, pending.tries < max(self.limits.attempts, pending.upstreams.count)
    else { return self.giveUp(number) }
    let ended = ResolverAction.end(DNSAttempt(question: number, number: pending.attempts))
    pending.tries += 1
    pending.upstream = (pending.upstream + 1) % pending.upstreams.count
    pending.transport = pending.key.transport
    pending.mismatches = 0
    self.pending[number] = pending
    return [ended] + self.attempt(number, now: now, using: &random)
  }

  /// The same upstream by TCP.
  private mutating func askByStream(
    _ number: UInt64, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    guard let pending = self.pending[number] else { return [] }
    guard now < pending.deadline else { return self.giveUp(number) }
    self.counters.streams += 1
    self.pending[number]?.transport = .tcp
    return [.end(DNSAttempt(question: number, number: pending.attempts))]
      + self.attempt(number, now: now, using: &random)
  }

  /// A new socket and a new id, whoever is asked.
  private mutating func attempt(
    _ number: UInt64, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    guard var pending = self.pending[number] else { return [] }
    let timeout = pending.transport == .udp ? self.limits.datagramTimeout : self.limits.streamTimeout
    pending.attempts += 1
    pending.id = UInt16.random(in: .min ... .max, using: &random)
    pending.attemptDeadline = min(now + timeout, pending.deadline)
    self.pending[number] = pending
    return [
      .ask(
        DNSAttempt(question: number, number: pending.attempts), namespace: pending.key.namespace,
        upstream: pending.upstreams[pending.upstream], pending.transport, pending.query.bytes.withID(pending.id))
    ]
  }

  // MARK: ends

  /// Nobody else can be asked.
  private mutating func giveUp(_ number: UInt64) -> [ResolverAction] {
    guard let pending = self.pending[number] else { return [] }
    if pending.lastResort == nil { self.counters.exhausted += UInt64(pending.waiters.count) }
    return self.finish(number, pending.lastResort)
  }

  /// Answers everybody who waits. Nil: SERVFAIL.
  private mutating func finish(_ number: UInt64, _ reply: DNSReply?) -> [ResolverAction] {
    guard let pending = self.pending[number] else { return [] }
    var actions = self.forget(number)
    let limit = pending.query.limit(pending.key.transport)
    for waiter in pending.waiters {
      if let reply {
        self.counters.answered += 1
        if reply.bytes.count > limit { self.counters.truncated += 1 }
        actions.append(.answer(waiter.client, reply.bytes(id: waiter.id, limit: limit)))
      } else {
        actions.append(.answer(waiter.client, pending.query.answer(.serverFailure).withID(waiter.id)))
      }
    }
    return actions
  }
}
