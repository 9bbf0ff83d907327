import MeshBase
import MeshRouting

/// Upstream connections of one loop that wait for a request. The one that served last serves next, so that those beyond the
/// load grow old. Numbers here; whoever takes one out, or is handed one back, has to use or close it.
struct UpstreamPool {
  /// A socket dials for one workload, and is of its namespace: nobody else's requests may go there.
  struct Key: Hashable {
    var workload: UInt32
    var namespaceCookie: UInt64
    var target: SocketEndpoint
    /// Nil: it is dialled itself.
    var tunnel: Tunnel? = nil
  }

  private struct Idle {
    var member: UInt64
    /// Not used any more from then on.
    var until: UInt64
  }

  static let mostOfKey = 128
  static let most = 1024

  private var idle: [Key: [Idle]] = [:]
  private(set) var count = 0

  /// False: there are enough.
  mutating func put(_ member: UInt64, _ key: Key, until: UInt64) -> Bool {
    guard self.count < Self.most, self.idle[key]?.count ?? 0 < Self.mostOfKey else { return false }
    self.idle[key, default: []].append(Idle(member: member, until: until))
    self.count += 1
    return true
  }

  func count(of key: Key) -> Int { self.idle[key]?.count ?? 0 }

  mutating func take(_ key: Key) -> UInt64? {
    guard let last = self.idle[key]?.popLast() else { return nil }
    self.count -= 1
    return last.member
  }

  /// All of them.
  var members: some Sequence<UInt64> { self.idle.values.lazy.joined().map(\.member) }

  /// It has ended by itself, or is taken.
  mutating func remove(_ member: UInt64, _ key: Key) {
    guard let index = self.idle[key]?.firstIndex(where: { $0.member == member }) else { return }
    self.idle[key]?.remove(at: index)
    self.count -= 1
    if self.idle[key]?.isEmpty == true { self.idle[key] = nil }
  }

  /// Those whose time is over.
  mutating func takeOld(now: UInt64) -> [UInt64] { self.take { _, idle in idle.until <= now } }

  /// Those of targets that nothing leads to any more.
  mutating func takeOrphans(_ isTarget: (SocketEndpoint) -> Bool) -> [UInt64] {
    self.take { key, _ in !isTarget(key.target) }
  }

  private mutating func take(where holds: (Key, Idle) -> Bool) -> [UInt64] {
    var taken: [UInt64] = []
    for (key, idle) in self.idle {
      let gone = idle.filter { holds(key, $0) }
      guard !gone.isEmpty || idle.isEmpty else { continue }
      taken += gone.map(\.member)
      let kept = idle.filter { !holds(key, $0) }
      self.idle[key] = kept.isEmpty ? nil : kept
    }
    self.count -= taken.count
    return taken
  }
}
