/// What waits for its turn, of several accounts that share one worker: deficit round robin (Shreedhar, Varghese, 1995), paid for
/// afterwards, because what a turn costs is known when it was done. Nothing here reads a clock.
///
/// Laws: of accounts that always have something waiting each gets the same, to a quantum and one item; nobody waits for more than
/// a quantum and one item of each other, and what the account owes; whoever is alone is served in order, without a wait or a
/// debt; being idle saves nothing up.
package struct FairQueue<Item> {
  private struct Account {
    var waiting = Fifo<Item>()
    var isListed = false
    /// What it may still cost before others have their turn; less than nothing: what it cost too much.
    var balance: Int64 = 0
    /// When the balance was from; every moment in which nobody waits forgives all debts.
    var era: UInt64 = 0
  }

  /// More than one item owes is not held against an account: it would keep it out for good.
  private static var mostDebts: Int64 { 64 }

  private let quantum: Int64
  private var accounts: [Account] = []
  private var places: [UInt64: Int] = [:]
  /// Accounts with something waiting, and the one that is at work; the first has the turn.
  private var ring = Fifo<Int>()
  private var era: UInt64 = 0
  private var working: Int?
  /// Items that wait.
  package private(set) var count = 0

  /// - quantum: what an account may cost before the next has its turn.
  package init(quantum: UInt64) { self.quantum = Int64(clamping: max(1, quantum)) }

  package var isEmpty: Bool { self.count == 0 }

  /// Others than the account that is at work have something waiting.
  package var isContended: Bool { self.ring.count > 1 }

  package mutating func add(_ item: Item, of account: UInt64) {
    let place: Int
    if let known = self.places[account] {
      place = known
    } else {
      if self.count == 0, self.accounts.count >= 1024 { self.forget() }
      place = self.accounts.count
      self.places[account] = place
      self.accounts.append(Account())
    }
    self.accounts[place].waiting.append(item)
    self.count += 1
    guard !self.accounts[place].isListed else { return }
    let debt = self.accounts[place].era == self.era ? min(0, self.accounts[place].balance) : 0
    self.accounts[place].balance = debt + self.quantum
    self.accounts[place].era = self.era
    self.accounts[place].isListed = true
    self.ring.append(place)
  }

  private mutating func forget() {
    self.accounts = []
    self.places = [:]
    self.ring = Fifo()
    self.working = nil
  }

  /// Whose turn it is. What it costs is told by `charge`.
  package mutating func next() -> Item? {
    while let place = self.ring.first {
      if self.accounts[place].waiting.count == 0 {
        self.unlist(place)
      } else if self.ring.count > 1, self.accounts[place].balance <= 0 {
        self.accounts[place].balance += self.quantum
        self.ring.append(place)
        _ = self.ring.popFirst()
      } else {
        self.count -= 1
        self.working = place
        return self.accounts[place].waiting.popFirst()
      }
    }
    self.era &+= 1
    return nil
  }

  private mutating func unlist(_ place: Int) {
    _ = self.ring.popFirst()
    self.accounts[place].isListed = false
    if self.working == place { self.working = nil }
  }

  /// What the item cost that was handed out last.
  package mutating func charge(_ cost: UInt64) {
    guard let place = self.working.take() else { return }
    // While nobody else waits it takes nothing from anybody.
    guard self.isContended else { return }
    let balance = self.accounts[place].balance - Int64(clamping: cost)
    self.accounts[place].balance = max(balance, -Self.mostDebts * self.quantum)
  }
}
