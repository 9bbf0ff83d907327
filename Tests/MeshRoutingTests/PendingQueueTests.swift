import MeshBase
import MeshRouting
import MeshSnapshot
import MeshTestSupport
import Synchronization
import Testing

@Suite("Pending queue")
struct PendingQueueTests {
  private struct Entry: Equatable {
    var number: UInt64
    var lane: Int?
    var waiter: Int
  }

  @Test(
    "Nobody is served twice or lost, lanes are in order, and a head is passed over only so often", arguments: 0..<40)
  func laws(seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    var queue = PendingQueue<Int, Int>()
    // A plain list that is searched from its beginning.
    var model: [Entry] = []
    var (next, overtaken) = (0, 0)
    let lanes = Int.random(in: 1...6, using: &random)
    for _ in 0..<4_000 {
      switch Int.random(in: 0..<8, using: &random) {
      case 0..<4:
        let lane = Int.random(in: 0..<8, using: &random) == 0 ? nil : Int.random(in: 0..<lanes, using: &random)
        model.append(Entry(number: queue.add(next, lane: lane), lane: lane, waiter: next))
        next += 1
      case 4:
        guard let entry = model.randomElement(using: &random) else { continue }
        if entry == model.first { overtaken = 0 }
        model.removeAll { $0 == entry }
        let wasThere = queue.remove(entry.number)
        try #require(wasThere)
        let isThere = queue.remove(entry.number)
        try #require(!isThere)
      case 5:
        let taken = queue.takeFirst()
        try #require(taken == model.first?.waiter)
        if !model.isEmpty { model.removeFirst() }
        overtaken = 0
      default:
        let lane = Int.random(in: 0..<lanes, using: &random)
        var place = model.firstIndex { $0.lane == lane }
        if let found = place, found > 0 {
          if overtaken == PendingQueue<Int, Int>.mostOvertakes { place = nil } else { overtaken += 1 }
        } else if place == 0 {
          overtaken = 0
        }
        let taken = queue.take(lane)
        try #require(taken == place.map { model[$0].waiter })
        if let place { model.remove(at: place) }
      }
      try #require(queue.count == model.count)
      if model.isEmpty { overtaken = 0 }
    }
  }

  // MARK: of an upstream

  private static let limits = ConnectionLimits(connections: 3, pendingRequests: 5)

  private func lane(_ number: Int) -> PendingLane {
    PendingLane(
      loop: number, workload: 1, namespaceCookie: 1, target: SocketEndpoint(.loopbackV4, 1), isHTTP2: false)
  }

  @Test("Who comes waits behind those that do, as many as may; what is given back is the first one's")
  func order() throws {
    let record = UpstreamRecord(service: try name("a/web"), port: 80)
    let woken = Mutex<[UInt64]>([])
    func enter(_ place: UInt64) -> UInt64? {
      let waiter = PendingWaiter(place: place, limit: 1) {
        woken.withLock { $0.append(place) }
        return place != 2
      }
      return record.enter(waiter, self.lane(Int(place % 2)), Self.limits)
    }
    let limits = ConnectionLimits(connections: 1, pendingRequests: 5)
    var first = record.admitConnection(limits)
    let isThere = first != nil
    #expect(isThere)
    let tickets = (1...5).map { enter($0) }
    #expect(tickets.allSatisfy { $0 != nil } && enter(6) == nil)
    #expect(record.overflows(.pendingRequests) == 1 && record.isWaitedFor)
    let other = record.admitConnection(limits) != nil
    #expect(!other)
    first = nil
    #expect(woken.withLock { $0 } == [1])
    #expect(record.open(.connections) == 1)
    // Of its own kind, before its time.
    #expect(record.takeWaiting(self.lane(1)) == 3)
    // The second is gone without a word: the next one has it.
    _ = record.takeGranted()
    #expect(woken.withLock { $0 } == [1, 2, 4])
    if let ticket = tickets[4] { record.leave(ticket) }
    #expect(!record.isWaitedFor && record.open(.connections) == 1)
    _ = record.takeGranted()
    #expect(record.open(.connections) == 0)
  }

  @Test("On many threads no wake-up is lost, and there are never more than may be")
  func threads() async throws {
    let record = UpstreamRecord(service: try name("a/web"), port: 80)
    let limits = ConnectionLimits(connections: 2, pendingRequests: 1_000)
    let gauge = Gauge()
    await withTaskGroup(of: Void.self) { tasks in
      for task in 0..<8 {
        tasks.addTask { [lane = self.lane(task)] in
          var random = SplitMix64(seed: UInt64(task))
          for _ in 0..<500 {
            let permit = await Self.connection(of: record, limits, lane)
            gauge.begin()
            if Bool.random(using: &random) { await Task.yield() }
            gauge.end()
            permit.end()
          }
        }
      }
    }
    #expect(gauge.most.load(ordering: .relaxed) <= 2)
    #expect(record.open(.connections) == 0 && !record.isWaitedFor)
  }

  private final class Gauge: Sendable {
    private let open = Atomic<Int>(0)
    let most = Atomic<Int>(0)

    func begin() {
      self.most.max(self.open.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue, ordering: .relaxed)
    }

    func end() { self.open.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
  }

  private final class Held: Sendable {
    private let permit: Mutex<UpstreamRecord.Permit?>
    init(_ permit: consuming UpstreamRecord.Permit) { self.permit = Mutex(permit) }
    func end() { self.permit.withLock { $0 = nil } }
  }

  private static func connection(
    of record: UpstreamRecord, _ limits: ConnectionLimits, _ lane: PendingLane
  ) async -> Held {
    if let permit = record.admitConnection(limits) { return Held(permit) }
    return await withCheckedContinuation { continuation in
      let waiter = PendingWaiter(place: 0, limit: limits.connections ?? 0) {
        continuation.resume(returning: Held(record.takeGranted()))
        return true
      }
      #expect(record.enter(waiter, lane, limits) != nil)
    }
  }
}
