/// Who waits until there may be one more of something: first come, first served. Only what one that is done leaves behind, which is
/// of use to its own kind alone (`Lane`), may go to the first of that kind, so that it need not be thrown away; the same head is
/// passed over only so often. Pure: who is told of it, and what is counted, is the caller's.
///
/// Laws (`PendingQueueTests`): nobody is served twice, or lost; within a lane it is in order; a head is overtaken at most
/// `mostOvertakes` times, so that the nth waits for no more than n × (`mostOvertakes` + 1) others; memory is that of who waits now.
package struct PendingQueue<Lane: Hashable, Waiter> {
  package static var mostOvertakes: Int { 16 }

  private struct Place {
    var lane: Lane?
    var waiter: Waiter
  }

  private var places: [UInt64: Place] = [:]
  /// Numbers in the order in which they came; of those that left meanwhile too.
  private var order = Fifo<UInt64>()
  private var lanes: [Lane: Fifo<UInt64>] = [:]
  private var last: UInt64 = 0
  /// Of the head.
  private var overtakes = 0

  package init() {}

  package var count: Int { self.places.count }
  package var isEmpty: Bool { self.places.isEmpty }

  /// Its number, which no other one ever has.
  /// - lane: nil: what others leave is of no use to it.
  package mutating func add(_ waiter: Waiter, lane: Lane?) -> UInt64 {
    // Those that left are swept when they are more than those that wait.
    if self.order.count > 2 * self.places.count + 32 { self.sweep() }
    self.last += 1
    self.places[self.last] = Place(lane: lane, waiter: waiter)
    self.order.append(self.last)
    if let lane { self.lanes[lane, default: Fifo()].append(self.last) }
    return self.last
  }

  /// It waits no more. False: it did not wait.
  @discardableResult
  package mutating func remove(_ number: UInt64) -> Bool {
    if self.first?.number == number { return self.takeFirst() != nil }
    return self.places.removeValue(forKey: number) != nil
  }

  package var first: (number: UInt64, waiter: Waiter)? {
    mutating get {
      while let number = self.order.first {
        if let place = self.places[number] { return (number, place.waiter) }
        _ = self.order.popFirst()
      }
      return nil
    }
  }

  package mutating func takeFirst() -> Waiter? {
    guard let first = self.first else { return nil }
    _ = self.order.popFirst()
    self.places[first.number] = nil
    self.overtakes = 0
    if self.places.isEmpty { self.forget() }
    return first.waiter
  }

  /// Who is to have what one of this lane left. Nil: nobody of it waits, or the head has been passed over often enough.
  package mutating func take(_ lane: Lane) -> Waiter? {
    guard let head = self.first?.number else { return nil }
    while let number = self.lanes[lane]?.first {
      guard let place = self.places[number] else {
        _ = self.lanes[lane]?.popFirst()
        continue
      }
      if number == head { return self.takeFirst() }
      guard self.overtakes < Self.mostOvertakes else { return nil }
      self.overtakes += 1
      _ = self.lanes[lane]?.popFirst()
      self.places[number] = nil
      return place.waiter
    }
    self.lanes[lane] = nil
    return nil
  }

  private mutating func sweep() {
    let waiting = self.places.keys.sorted()
    self.order = Fifo()
    self.lanes = [:]
    for number in waiting {
      self.order.append(number)
      if let lane = self.places[number]?.lane { self.lanes[lane, default: Fifo()].append(number) }
    }
  }

  private mutating func forget() {
    self.order = Fifo()
    self.lanes = [:]
  }
}
