import MeshNet
import Testing

@Suite struct UpstreamStockTests {
  private func waiter(_ connection: UInt64) -> UpstreamStock.Waiter { .init(loop: 0, connection: connection) }

  @Test("an empty stock makes a connection wait, and what comes goes to those who wait, in order")
  func waits() {
    var stock = UpstreamStock()
    #expect(stock.take(self.waiter(1)) == .wait)
    #expect(stock.take(self.waiter(2)) == .wait)
    // Two shortages: twice doubled, and the two who wait.
    #expect(stock.order() == 4 * UpstreamStock.firstTarget + 2)
    #expect(stock.order() == 0)
    #expect(
      stock.deposit([10, 11, 12]) == [
        .init(waiter: self.waiter(1), socket: 10), .init(waiter: self.waiter(2), socket: 11),
      ])
    #expect(stock.take(self.waiter(3)) == .socket(12))
    #expect(stock.take(self.waiter(4)) == .wait)
  }

  @Test("more is asked for under half of the target, and only once")
  func orders() {
    var stock = UpstreamStock()
    let first = UpstreamStock.firstTarget
    #expect(stock.order() == first)
    #expect(stock.deposit((1...CInt(first)).map { $0 }).isEmpty)
    #expect(stock.order() == 0)
    for _ in 0..<first / 2 { _ = stock.take(self.waiter(1)) }
    #expect(stock.order() == 0)
    _ = stock.take(self.waiter(1))
    #expect(stock.order() == first / 2 + 1)
    #expect(stock.order() == 0)
  }

  @Test("the target doubles with each shortage, up to its limit")
  func target() {
    var stock = UpstreamStock()
    for n in 0..<20 { _ = stock.take(self.waiter(UInt64(n))) }
    #expect(stock.target == UpstreamStock.lastTarget)
  }

  @Test("a connection that gave up gets nothing")
  func cancel() {
    var stock = UpstreamStock()
    _ = stock.take(self.waiter(1))
    stock.cancel(self.waiter(1))
    #expect(stock.deposit([7]).isEmpty)
    #expect(stock.take(self.waiter(2)) == .socket(7))
  }

  @Test("an order without an answer for two ticks is made again")
  func lostOrder() {
    var stock = UpstreamStock()
    _ = stock.take(self.waiter(1))
    let first = stock.order()
    stock.tick()
    #expect(stock.order() == 0)
    stock.tick()
    #expect(stock.order() == first)
  }

  @Test("a new agent: the old sockets come back for closing, those who wait stay")
  func reset() {
    var stock = UpstreamStock()
    _ = stock.deposit([1, 2])
    #expect(stock.reset() == [1, 2])
    _ = stock.take(self.waiter(1))
    _ = stock.order()
    #expect(stock.reset().isEmpty)
    #expect(stock.order() > 0)
    #expect(stock.deposit([9]) == [.init(waiter: self.waiter(1), socket: 9)])
  }

  @Test("who cannot wait gets a socket or none, and none makes the stock grow")
  func impatient() {
    var stock = UpstreamStock()
    #expect(stock.takeIfThere() == nil)
    #expect(stock.target == 2 * UpstreamStock.firstTarget)
    #expect(stock.order() == 2 * UpstreamStock.firstTarget)
    #expect(stock.isWaitingForSupply)
    #expect(stock.deposit([7]).isEmpty)
    #expect(stock.takeIfThere() == 7)
    #expect(stock.takeIfThere() == nil)
  }

  @Test("a socket that comes back goes to who waits first, then on the shelf, until there are enough")
  func comesBack() {
    var stock = UpstreamStock()
    let waiter = UpstreamStock.Waiter(loop: 0, connection: 1)
    #expect(stock.take(waiter) == .wait)
    #expect(stock.giveBack(5) == .delivery(.init(waiter: waiter, socket: 5)))
    for socket in 0..<CInt(stock.target) { #expect(stock.giveBack(socket) == .kept) }
    #expect(stock.giveBack(99) == .surplus)
    #expect(stock.order() == 0)
    #expect(!stock.isWaitingForSupply)
  }
}
