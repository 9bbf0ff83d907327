import MeshRouting
import MeshTestSupport
import Testing

@Suite("Fair queue")
struct FairQueueTests {
  struct Item: Equatable {
    var account: UInt64
    var number: Int
  }

  static let quantum: UInt64 = 100

  /// Serves everybody in turn; `refill` keeps accounts busy.
  func costs(seed: UInt64, accounts: UInt64, turns: Int, most: UInt64) -> [UInt64: UInt64] {
    var random = SplitMix64(seed: seed)
    var queue = FairQueue<UInt64>(quantum: Self.quantum)
    // Some bring many items at once, others one after the other.
    for account in 0..<accounts {
      for _ in 0..<Int.random(in: 2...50, using: &random) { queue.add(account, of: account) }
    }
    // Each has its own size of items.
    let sizes = (0..<accounts).map { _ in UInt64.random(in: 1...most, using: &random) }
    var paid: [UInt64: UInt64] = [:]
    for _ in 0..<turns {
      guard let account = queue.next() else { break }
      let cost = UInt64.random(in: 1...sizes[Int(account)], using: &random)
      paid[account, default: 0] += cost
      queue.add(account, of: account)
      queue.charge(cost)
    }
    return paid
  }

  @Test("Who always has something waiting gets the same as every other, to a quantum and one item")
  func shares() {
    for seed in 0..<200 as Range<UInt64> {
      let most: UInt64 = [50, 100, 1000][Int(seed % 3)]
      let accounts = 2 + seed % 9
      let paid = self.costs(seed: seed, accounts: accounts, turns: 3000, most: most)
      let values = (0..<accounts).map { paid[$0] ?? 0 }
      // A quantum for the turn that is not over yet, one for the turn before, an item at both ends.
      let spread = (values.max() ?? 0) - (values.min() ?? 0)
      #expect(spread <= 2 * (Self.quantum + most), "seed \(seed): \(values)")
    }
  }

  @Test("However much others bring, an item waits for no more than a quantum and an item of each")
  func noStarvation() {
    for seed in 0..<200 as Range<UInt64> {
      var random = SplitMix64(seed: seed)
      let most: UInt64 = 300
      let others = UInt64.random(in: 1...6, using: &random)
      var queue = FairQueue<UInt64>(quantum: Self.quantum)
      for account in 1...others { for _ in 0..<500 { queue.add(account, of: account) } }
      for _ in 0..<Int.random(in: 0...300, using: &random) where queue.next() != nil {
        queue.charge(UInt64.random(in: 1...most, using: &random))
      }
      for _ in 0..<20 {
        queue.add(0, of: 0)
        var waited: UInt64 = 0
        while let account = queue.next(), account != 0 {
          let cost = UInt64.random(in: 1...most, using: &random)
          waited += cost
          queue.charge(cost)
        }
        // It cost less than a quantum itself, so that it owes nothing.
        queue.charge(50)
        #expect(waited <= others * (Self.quantum + most), "seed \(seed): \(waited)")
      }
    }
  }

  @Test("Alone, an account is served in order, whatever it costs, and owes nothing for it")
  func alone() {
    var queue = FairQueue<Item>(quantum: Self.quantum)
    for number in 0..<2000 { queue.add(Item(account: 7, number: number), of: 7) }
    for number in 0..<1500 {
      #expect(!queue.isContended)
      #expect(queue.next() == Item(account: 7, number: number))
      queue.charge(1_000_000)
    }
    // Another one comes: the first goes on with its quantum, as if it had done nothing before.
    queue.add(Item(account: 8, number: 0), of: 8)
    #expect(queue.isContended)
    #expect(queue.next() == Item(account: 7, number: 1500))
    queue.charge(Self.quantum)
    #expect(queue.next() == Item(account: 8, number: 0))
  }

  @Test("Items of an account never overtake one another, and none is lost")
  func order() {
    for seed in 0..<100 as Range<UInt64> {
      var random = SplitMix64(seed: seed)
      var queue = FairQueue<Item>(quantum: Self.quantum)
      var added: [UInt64: Int] = [:]
      var served: [UInt64: Int] = [:]
      for _ in 0..<3000 {
        if random.chance(55) {
          let account = UInt64.random(in: 0...(seed % 5), using: &random)
          queue.add(Item(account: account, number: added[account, default: 0]), of: account)
          added[account, default: 0] += 1
        } else if let item = queue.next() {
          #expect(item.number == served[item.account, default: 0], "seed \(seed)")
          served[item.account, default: 0] += 1
          if random.chance(90) { queue.charge(UInt64.random(in: 0...500, using: &random)) }
        }
      }
      while let item = queue.next() { served[item.account, default: 0] += 1 }
      #expect(served == added && queue.isEmpty, "seed \(seed)")
    }
  }

  @Test("Who was idle has saved nothing up, and who owed something owes it still, until nobody waits")
  func idle() {
    var queue = FairQueue<UInt64>(quantum: Self.quantum)
    for _ in 0..<100 { queue.add(1, of: 1) }
    queue.add(2, of: 2)
    #expect(queue.next() == 1)
    queue.charge(Self.quantum)
    #expect(queue.next() == 2)
    // Five quanta: the other has four before it is heard again.
    queue.charge(5 * Self.quantum)
    queue.add(2, of: 2)
    var others: UInt64 = 0
    while queue.next() == 1 {
      others += 25
      queue.charge(25)
    }
    #expect((3 * Self.quantum...6 * Self.quantum).contains(others))
    while queue.next() != nil {}
    queue.add(2, of: 2)
    queue.add(1, of: 1)
    #expect(queue.next() == 2)
  }

  @Test("Thousands of accounts that came once are forgotten")
  func manyAccounts() {
    var queue = FairQueue<UInt64>(quantum: Self.quantum)
    for account in 0..<5000 as Range<UInt64> {
      queue.add(account, of: account)
      #expect(queue.next() == account)
      queue.charge(1)
      #expect(queue.next() == nil)
    }
  }
}
