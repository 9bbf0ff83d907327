import CMeshRelay
import MeshRouting

/// What of a loop's work waits, and whose it is.
struct FairTurns {
  enum Item {
    /// Of this token; what happened to it is in `events`.
    case event(UInt64)
    case resume(any LoopMember)
    case accept(UInt64)
  }

  /// Nanoseconds: what a workload may take while others wait.
  private static let quantum: UInt64 = 100_000

  var queue = FairQueue<Item>(quantum: Self.quantum)
  /// By token: a socket waits once, whatever happens to it meanwhile.
  private var events: [UInt64: UInt32] = [:]
  private var accepting: Set<UInt64> = []

  var isEmpty: Bool { self.queue.isEmpty }

  mutating func add(_ events: UInt32, at token: UInt64, of workload: UInt32) {
    if let waiting = self.events[token] {
      self.events[token] = waiting | events
    } else {
      self.events[token] = events
      self.queue.add(.event(token), of: UInt64(workload))
    }
  }

  mutating func add(_ member: any LoopMember) {
    self.queue.add(.resume(member), of: UInt64(member.sourceWorkload))
  }

  /// A listener has turns of its own, beside those of its workload's connections.
  mutating func add(listener number: UInt64) {
    if self.accepting.insert(number).inserted {
      self.queue.add(.accept(number), of: RelayLoop.listenerMark | number)
    }
  }

  mutating func takeEvents(of token: UInt64) -> UInt32 { self.events.removeValue(forKey: token) ?? 0 }

  mutating func accepted(_ number: UInt64) { self.accepting.remove(number) }
}

/// A turn of the loop. What came is done in its order for half a millisecond, which is all there is to do on a loop that keeps
/// up. What is left then waits by workload, and each has its turn (`FairQueue`), while the loop goes on to ask the kernel what
/// else has come: so a workload that calls now and then does not wait behind all that another one has brought.
extension RelayLoop {
  /// Nanoseconds between two looks at what has come.
  private static let round: UInt64 = 500_000
  /// To read the clock costs less than an event, but not nothing.
  private static let eventsBetweenLooks = 4

  func work(_ events: UnsafeBufferPointer<cmesh_poll_event>) {
    let began = Self.nanoseconds()
    var next = 0
    if self.turns.isEmpty {
      while next < events.count {
        self.handle(events[next])
        next += 1
        if next % Self.eventsBetweenLooks == 0, Self.nanoseconds() - began >= Self.round { break }
      }
    }
    while next < events.count {
      self.put(events[next])
      next += 1
    }
    if !self.again.isEmpty { self.workAgain(began) }
    if !self.turns.isEmpty { self.workInTurn(began) }
  }

  private func handle(_ event: cmesh_poll_event) {
    if event.token == 0 {
      for work in self.thread.takeWork() { work(self) }
    } else if event.token & Self.listenerMark != 0 {
      if let listener = self.listeners[event.token & ~Self.listenerMark] { self.accept(listener) }
    } else {
      self.deliver(event.events, at: event.token)
    }
  }

  private func deliver(_ events: UInt32, at token: UInt64) {
    guard let member = self.connections[RelayToken(token).connection] else { return }
    self.bill.event(of: member.sourceWorkload)
    member.ready(RelayToken(token), events)
  }

  /// What other threads want is nobody's share.
  private func put(_ event: cmesh_poll_event) {
    if event.token == 0 {
      self.handle(event)
    } else if event.token & Self.listenerMark != 0 {
      self.turns.add(listener: event.token & ~Self.listenerMark)
    } else if let member = self.connections[RelayToken(event.token).connection] {
      self.turns.add(event.events, at: event.token, of: member.sourceWorkload)
    }
  }

  private func workAgain(_ began: UInt64) {
    var ready: [any LoopMember] = []
    swap(&ready, &self.again)
    for member in ready {
      if self.turns.isEmpty, Self.nanoseconds() - began < Self.round {
        self.resume(member)
      } else {
        self.turns.add(member)
      }
    }
  }

  private func resume(_ member: any LoopMember) {
    self.bill.event(of: member.sourceWorkload)
    member.resume()
  }

  private func workInTurn(_ began: UInt64) {
    var left = self.turns.queue.count
    var last = Self.nanoseconds()
    let end = max(began, last - min(last, Self.round / 2)) + Self.round
    while left > 0, let item = self.turns.queue.next() {
      left -= 1
      self.kit.isContended = self.turns.queue.isContended
      switch item {
      case .event(let token): self.deliver(self.turns.takeEvents(of: token), at: token)
      case .resume(let member): self.resume(member)
      case .accept(let number):
        self.turns.accepted(number)
        if let listener = self.listeners[number] { self.accept(listener) }
      }
      let now = Self.nanoseconds()
      self.turns.queue.charge(now - last)
      last = now
      if now >= end { break }
    }
    self.kit.isContended = false
  }
}
