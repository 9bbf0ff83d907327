import MeshLinux

/// When the listeners of one namespace are listed. A list costs what the hash tables of the whole host cost, so it is made
/// when the number of sockets in use is another than at the last list, and once in a while besides: one that goes in the
/// moment in which another comes leaves the number as it was.
///
/// Time is milliseconds of any steady clock.
struct SurveySchedule: Sendable, Equatable {
  static let countMilliseconds: Int64 = 4000
  static let listMilliseconds: Int64 = 120_000
  /// Of so many counts one is of both families.
  static let countsOfBoth = 4
  /// And one is made though the host has as many TCP sockets as at the last one.
  static let countsOfHost = 4
  /// What comes too early is not put off until the next turn, which at rest comes two seconds later: a count that is due after four
  /// seconds is made before five have passed, wherever the turns fall.
  static let slack: Int64 = 1250

  private var nextCount: Int64
  private var nextList: Int64
  private var last: ListenerSurvey.InUse?
  /// Since both families were counted.
  private var countsOfOne = Self.countsOfBoth - 1
  /// Of the host, at the last count, and counts since that were not made.
  private var mark: UInt64?
  private var passedOver = 0
  /// From a list to the next: the first time among the second half of two minutes, so that not all namespaces are listed in
  /// one turn.
  private var interval: Int64

  /// - Parameter spread: any number that is different for different namespaces.
  init(now: Int64, spread: UInt64) {
    self.nextCount = now
    self.nextList = now
    self.interval = Self.listMilliseconds / 2 + Int64(spread % 60) * 1000
  }

  mutating func wantsCount(now: Int64) -> Bool {
    guard now + Self.slack >= self.nextCount else { return false }
    self.nextCount = now + Self.countMilliseconds
    return true
  }

  /// Whether a count would say what the last one said: the host has as many TCP sockets as it had then, and
  /// no task began. One that was there
  /// before and begins to listen is found by the count that is made all the same, of both families.
  ///
  /// - Parameter mark: of the whole host (`HostSockets.mark`), read before; nil: not known.
  mutating func isAtRest(mark: UInt64?, now: Int64) -> Bool {
    let isSame = mark != nil && mark == self.mark
    if isSame, self.passedOver < Self.countsOfHost - 1, now + Self.slack < self.nextList {
      self.passedOver += 1
      return true
    }
    if isSame { self.countsOfOne = Self.countsOfBoth - 1 }
    self.passedOver = 0
    self.mark = mark
    return false
  }

  /// What the last list said counts no more.
  mutating func forget(now: Int64) {
    self.last = nil
    self.mark = nil
    self.nextCount = now
    self.nextList = now
  }

  /// What a count may start from: in three of four the one before, by which IPv6 is taken to be as it was while nothing else
  /// is different. A socket that comes makes a difference, so only one that was there before it listens is found later.
  mutating func takeBasis() -> ListenerSurvey.InUse? {
    self.countsOfOne = (self.countsOfOne + 1) % Self.countsOfBoth
    return self.countsOfOne == 0 ? nil : self.last
  }

  /// True if the listeners are to be listed now. `inUse`: nil if that cannot be told.
  mutating func counted(_ inUse: ListenerSurvey.InUse?, now: Int64) -> Bool {
    guard inUse == nil || inUse != self.last || now + Self.slack >= self.nextList else { return false }
    self.last = inUse
    self.nextList = now + self.interval
    self.interval = Self.listMilliseconds
    return true
  }
}
