package import MeshBase

/// Who asked, and where the answer goes.
package struct DNSClient: Hashable, Sendable {
  /// Cookie of the network namespace: names are looked up for a workload, with its own upstreams and limits.
  package var namespace: UInt64
  package var transport: DNSTransport
  /// By UDP: the sender's address.
  package var peer: SocketEndpoint
  /// By TCP: the driver's number of the connection. 0 by UDP.
  package var connection: UInt64

  package init(namespace: UInt64, transport: DNSTransport, peer: SocketEndpoint, connection: UInt64 = 0) {
    self.namespace = namespace
    self.transport = transport
    self.peer = peer
    self.connection = connection
  }
}

/// One attempt at one upstream: a socket of its own, and so a port of its own that nobody can know (RFC 5452 section 9.2).
package struct DNSAttempt: Hashable, Sendable {
  package var question: UInt64
  package var number: Int

  package init(question: UInt64, number: Int) {
    self.question = question
    self.number = number
  }
}

/// What the driver is to do.
package enum ResolverAction: Hashable, Sendable {
  case answer(DNSClient, [UInt8])
  /// Open a socket of the namespace, by this transport, and send the message; by TCP with its length.
  case ask(DNSAttempt, namespace: UInt64, upstream: SocketEndpoint, DNSTransport, [UInt8])
  /// Close the attempt's socket: nothing more is expected there.
  case end(DNSAttempt)
}

/// The life of every question that is not the mesh's own:
///
/// ```
///  client ─► mesh name? ── yes ─► answered at once
///               │ no
///    is it said who is asked? ─ no ─► held, for a moment ── nobody said it ─► SERVFAIL
///               │ yes
///               ▼                    ┌──── SERVFAIL, REFUSED, NOTIMP, timeout, refused ───► next upstream
///    same question under way? ─ no ─► asked by UDP ── TC, other case, many wrong answers ─► the same, by TCP
///               │ yes: joined        └──── matches ─► passed on to all who wait
///                                     attempts or time used up ─► the best that was heard, else SERVFAIL
/// ```
///
/// Time comes in as milliseconds of a clock that never goes back; ids from the random source that is passed in, which has
/// to be unpredictable. There is no cache: what is remembered is bounded by `ResolverLimits` and gone when it is answered.
package struct ResolverMachine: Sendable {
  /// Clients with the same question share an attempt only if every byte but the id is the same, in one namespace.
  struct Key: Hashable, Sendable {
    let namespace: UInt64
    let transport: DNSTransport
    let body: [UInt8]
  }

  struct Waiter: Hashable, Sendable {
    let client: DNSClient
    let id: UInt16
  }

  struct Pending: Sendable {
    let key: Key
    let query: DNSQuery
    let upstreams: [SocketEndpoint]
    /// When all is over.
    let deadline: UInt64
    var waiters: [Waiter]
    /// Attempts so far; the last one is the one that counts.
    var attempts = 0
    /// Index of the upstream that is asked.
    var upstream: Int
    /// How many upstreams were asked, again or not.
    var tries = 0
    var transport: DNSTransport
    var id: UInt16 = 0
    var attemptDeadline: UInt64 = 0
    var mismatches = 0
    /// What is passed on if nobody says better: a truncated answer, or a failure.
    var lastResort: DNSReply?
  }

  /// A question that came before it was said who is to be asked.
  struct Held: Sendable {
    let query: DNSQuery
    let client: DNSClient
    let since: UInt64
  }

  struct Namespace: Sendable {
    var upstreams: [SocketEndpoint] = []
    var questions = 0
    var clients = 0
    /// The upstream to ask first, and until when.
    var preferred: (index: Int, until: UInt64)?
  }

  let limits: ResolverLimits
  var namespaces: [UInt64: Namespace] = [:]
  var pending: [UInt64: Pending] = [:]
  var numbers: [Key: UInt64] = [:]
  /// By namespace, in the order in which they came.
  var held: [UInt64: [Held]] = [:]
  var lastNumber: UInt64 = 0
  package internal(set) var counters = ResolverCounters()

  package init(limits: ResolverLimits = ResolverLimits()) { self.limits = limits }

  /// Questions that wait for upstreams, or to be told of some.
  package var waiting: Int { self.pending.count + self.heldCount }

  /// When `expire` has something to do.
  package var nextDeadline: UInt64? {
    let holds = self.held.values.lazy.compactMap(\.first).map { $0.since + self.limits.holdTimeout }.min()
    return [self.pending.values.lazy.map(\.attemptDeadline).min(), holds].compactMap { $0 }.min()
  }

  /// Who is asked on behalf of a namespace from now on, in this order. The mesh's own ports are never asked: the question
  /// would come back. What was held until this is known goes on.
  package mutating func use(
    _ upstreams: [SocketEndpoint], for namespace: UInt64, now: UInt64, using random: inout some RandomNumberGenerator
  ) -> [ResolverAction] {
    let usable = upstreams.filter { !MeshPort.all.contains($0.port) }
    if self.namespaces[namespace]?.upstreams != usable {
      self.namespaces[namespace, default: Namespace()].upstreams = usable
      self.namespaces[namespace]?.preferred = nil
    }
    return self.release(namespace, now: now, using: &random)
  }

  /// The namespace is gone, and everybody who waited there.
  package mutating func withdraw(namespace: UInt64) -> [ResolverAction] {
    self.namespaces[namespace] = nil
    self.held[namespace] = nil
    var actions: [ResolverAction] = []
    for (number, pending) in self.pending where pending.key.namespace == namespace {
      actions.append(.end(DNSAttempt(question: number, number: pending.attempts)))
      self.pending[number] = nil
      self.numbers[pending.key] = nil
    }
    return actions
  }

  /// A client's TCP connection is gone. The question goes on only if somebody else waits for it.
  package mutating func disconnected(_ client: DNSClient) -> [ResolverAction] {
    var actions: [ResolverAction] = []
    self.held[client.namespace]?.removeAll { $0.client == client }
    for (number, pending) in self.pending where pending.key.namespace == client.namespace {
      let left = pending.waiters.filter { $0.client != client }
      guard left.count < pending.waiters.count else { continue }
      self.namespaces[client.namespace]?.clients -= pending.waiters.count - left.count
      self.pending[number]?.waiters = left
      if left.isEmpty { actions += self.forget(number) }
    }
    return actions
  }

  /// Takes a question off every list.
  mutating func forget(_ number: UInt64) -> [ResolverAction] {
    guard let pending = self.pending.removeValue(forKey: number) else { return [] }
    self.numbers[pending.key] = nil
    self.namespaces[pending.key.namespace]?.questions -= 1
    self.namespaces[pending.key.namespace]?.clients -= pending.waiters.count
    return [.end(DNSAttempt(question: number, number: pending.attempts))]
  }
}
