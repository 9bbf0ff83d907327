package import MeshBase

/// Who spoke to whom, on which port, and how: the names behind the key of the kernel's `edges` map.
package struct EdgeKey: Sendable, Hashable {
  package var source: ResourceName?
  package var destination: ResourceName?
  package var service: ResourceName?
  /// As dialled.
  package var port: UInt16
  package var tier: FlowTier
  package var reason: RefusalReason

  package init(
    source: ResourceName? = nil, destination: ResourceName? = nil, service: ResourceName? = nil, port: UInt16 = 0,
    tier: FlowTier, reason: RefusalReason = .none
  ) {
    self.source = source
    self.destination = destination
    self.service = service
    self.port = port
    self.tier = tier
    self.reason = reason
  }
}

/// Counters of one edge. Bytes are seen from the source.
package struct EdgeCounters: Sendable, Hashable {
  package var opened: UInt64
  package var closed: UInt64
  package var refused: UInt64
  package var sentBytes: UInt64
  package var receivedBytes: UInt64

  package init(
    opened: UInt64 = 0, closed: UInt64 = 0, refused: UInt64 = 0, sentBytes: UInt64 = 0, receivedBytes: UInt64 = 0
  ) {
    self.opened = opened
    self.closed = closed
    self.refused = refused
    self.sentBytes = sentBytes
    self.receivedBytes = receivedBytes
  }

  /// Adds, and stays at the largest value instead of overflowing.
  package mutating func add(_ other: EdgeCounters) {
    self.opened = Self.sum(self.opened, other.opened)
    self.closed = Self.sum(self.closed, other.closed)
    self.refused = Self.sum(self.refused, other.refused)
    self.sentBytes = Self.sum(self.sentBytes, other.sentBytes)
    self.receivedBytes = Self.sum(self.receivedBytes, other.receivedBytes)
  }

  /// What was counted since `earlier`. A counter that went down began anew in between: all of it counts.
  package func since(_ earlier: EdgeCounters) -> EdgeCounters {
    let restarted =
      self.opened < earlier.opened || self.closed < earlier.closed || self.refused < earlier.refused
      || self.sentBytes < earlier.sentBytes || self.receivedBytes < earlier.receivedBytes
    guard !restarted else { return self }
    return EdgeCounters(
      opened: self.opened - earlier.opened, closed: self.closed - earlier.closed,
      refused: self.refused - earlier.refused, sentBytes: self.sentBytes - earlier.sentBytes,
      receivedBytes: self.receivedBytes - earlier.receivedBytes)
  }

  static func sum(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (value, overflow) = a.addingReportingOverflow(b)
    return overflow ? .max : value
  }
}

/// Totals that never go down, over a kernel map that forgets. The `edges` map is an LRU: an entry that was evicted and
/// comes back counts from zero. So the ledger adds differences between readings.
///
/// The number of edges is bounded: past `limit` further ones are summed in `overflow`, so that sums stay true while one
/// client that dials a million names costs one series (RS-09 of the hostile inputs).
package struct EdgeLedger: Sendable {
  package let limit: Int
  package private(set) var totals: [EdgeKey: EdgeCounters] = [:]
  /// Sum of all that found no room.
  package private(set) var overflow = EdgeCounters()
  /// How many times an edge found no room.
  package private(set) var overflowed: UInt64 = 0

  private var last: [EdgeKey: EdgeCounters] = [:]
  /// The most that was ever known of each edge's bytes, where open connections were looked at.
  private var bytes: [EdgeKey: (sent: UInt64, received: UInt64)] = [:]

  package init(limit: Int = 10_000) { self.limit = max(1, limit) }

  /// Takes one complete reading of the map. Readings of one key are summed first: numeric ids that were given out anew
  /// can bear one name twice.
  package mutating func observe(_ reading: some Sequence<(EdgeKey, EdgeCounters)>) {
    var current: [EdgeKey: EdgeCounters] = [:]
    for (key, counters) in reading { current[key, default: EdgeCounters()].add(counters) }
    // In the order of names, so that the same traffic fills the same room.
    let order =
      self.totals.count + current.count > self.limit ? current.keys.sorted(by: Self.precedes) : Array(current.keys)
    for key in order {
      guard let now = current[key] else { continue }
      let new = self.last[key].map { now.since($0) } ?? now
      if self.totals[key] != nil || self.totals.count < self.limit {
        self.totals[key, default: EdgeCounters()].add(new)
      } else if new != EdgeCounters() {
        self.overflow.add(new)
        self.overflowed = EdgeCounters.sum(self.overflowed, 1)
      }
    }
    self.last = current
  }

  /// What is told of an edge: the kernel counts bytes when a connection ends; those of open ones are in this already.
  package func told(_ key: EdgeKey) -> EdgeCounters {
    var counters = self.totals[key] ?? EdgeCounters()
    if let bytes = self.bytes[key] {
      counters.sentBytes = max(counters.sentBytes, bytes.sent)
      counters.receivedBytes = max(counters.receivedBytes, bytes.received)
    }
    return counters
  }

  /// Takes the bytes so far of connections that are open. They were read after the reading of the map that `base` has: so a
  /// connection that ended in between is missing for a while, and none is counted twice. What was told never goes down.
  package mutating func observe(open: some Sequence<(EdgeKey, EdgeCounters)>, base: EdgeLedger) {
    var sums: [EdgeKey: EdgeCounters] = [:]
    for (key, counters) in open { sums[key, default: EdgeCounters()].add(counters) }
    for (key, live) in sums {
      guard self.totals[key] != nil, let closed = base.totals[key] else { continue }
      let before = self.bytes[key] ?? (0, 0)
      self.bytes[key] = (
        max(before.sent, EdgeCounters.sum(closed.sentBytes, live.sentBytes)),
        max(before.received, EdgeCounters.sum(closed.receivedBytes, live.receivedBytes))
      )
    }
  }

  private static func precedes(_ a: EdgeKey, _ b: EdgeKey) -> Bool {
    func text(_ key: EdgeKey) -> [String] {
      [
        key.source?.description ?? "", key.destination?.description ?? "", key.service?.description ?? "",
        String(key.port), key.tier.rawValue, key.reason.rawValue,
      ]
    }
    return text(a).lexicographicallyPrecedes(text(b))
  }
}
