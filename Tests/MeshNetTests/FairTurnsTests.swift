import MeshRouting
import Testing

@testable import MeshNet

@Suite("Turns of a loop's workloads")
struct FairTurnsTests {
  private func order(_ turns: inout FairTurns, cost: UInt64) -> [String] {
    var order: [String] = []
    while let item = turns.queue.next() {
      switch item {
      case .event(let token): order.append("\(token):\(turns.takeEvents(of: token))")
      case .accept(let number):
        turns.accepted(number)
        order.append("accept \(number)")
      case .resume: break
      }
      turns.queue.charge(cost)
    }
    return order
  }

  @Test("a socket waits once, with all that happened to it; a listener once, until it was served")
  func once() {
    var turns = FairTurns()
    turns.add(1, at: 16, of: 7)
    turns.add(4, at: 16, of: 7)
    turns.add(listener: 3)
    turns.add(listener: 3)
    turns.add(1, at: 32, of: 7)
    #expect(self.order(&turns, cost: 1) == ["16:5", "32:1", "accept 3"])
    #expect(turns.isEmpty)
    turns.add(1, at: 16, of: 7)
    turns.add(listener: 3)
    #expect(self.order(&turns, cost: 1) == ["16:1", "accept 3"])
  }

  @Test("who calls now and then comes after one item of who brought hundreds, and so does who connects")
  func quiet() {
    var turns = FairTurns()
    for socket in 1...300 as ClosedRange<UInt64> { turns.add(1, at: socket << 4, of: 7) }
    turns.add(1, at: 9_999 << 4, of: 8)
    turns.add(listener: 3)
    // Each costs more than what a workload may take before the others.
    let order = self.order(&turns, cost: 150_000)
    #expect(order.count == 302)
    #expect(order.prefix(4).contains("\(9_999 << 4):1") && order.prefix(4).contains("accept 3"))
  }
}
