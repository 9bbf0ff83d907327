import Glibc
import MeshBase
import Testing

@testable import MeshNet

@Suite struct StockRoomTests {
  private let shelf = StockRoom.Shelf(workload: 7, isV4: true)

  private func socket() -> CInt { dup(0) }

  private func isOpen(_ descriptor: CInt) -> Bool { fcntl(descriptor, F_GETFD) >= 0 }

  @Test("sockets that come after their workload was withdrawn are closed, not kept")
  func lateDelivery() {
    let room = StockRoom { _, _ in }
    room.prepare(self.shelf)
    let kept = self.socket()
    #expect(room.deposit([kept], on: self.shelf).isEmpty)
    #expect(room.count == 1)
    room.withdraw(workload: 7)
    #expect(room.count == 0)
    let late = self.socket()
    #expect(room.deposit([late], on: self.shelf).isEmpty)
    #expect(room.count == 0)
    #expect(!self.isOpen(late))
  }

  @Test("without an agent the last of a shelf are kept, for a time; the next agent ends that")
  func short() {
    let room = StockRoom { _, _ in }
    room.prepare(self.shelf)
    _ = room.deposit((0...StockRoom.reserve).map { _ in self.socket() }, on: self.shelf)
    #expect(!room.isShort(self.shelf, now: 1000))
    room.supplyEnded(now: 1000)
    #expect(!room.isShort(self.shelf, now: 1000))
    if let one = room.takeIfThere(self.shelf) { close(one) }
    #expect(room.isShort(self.shelf, now: 1000))
    #expect(room.isShort(StockRoom.Shelf(workload: 8, isV4: true), now: 1000))
    // Said at every try to find one: the first counts.
    room.supplyEnded(now: 15_000)
    #expect(room.isShort(self.shelf, now: 20_999) && !room.isShort(self.shelf, now: 21_000))
    room.reset()
    #expect(!room.isShort(self.shelf, now: 2000))
  }

  @Test(
    "sockets into another namespace go with it, and with the workload for which they dial; a new owner's replace them")
  func across() {
    let room = StockRoom { _, _ in }
    let across = StockRoom.Shelf(workload: 7, isV4: true, destination: IPAddress(v4: 0x0a59_0002))
    for shelf in [self.shelf, across] { room.prepare(shelf) }
    let (own, old, new) = (self.socket(), self.socket(), self.socket())
    _ = room.deposit([own], on: self.shelf)
    _ = room.deposit([old], on: across, namespaceCookie: 100)
    _ = room.deposit([new], on: across, namespaceCookie: 101)
    #expect(!self.isOpen(old) && self.isOpen(new) && room.count == 2)
    room.withdraw { $0 == 101 }
    #expect(!self.isOpen(new) && self.isOpen(own) && room.count == 1)
    // Nobody waits: what comes late is closed.
    let late = self.socket()
    #expect(room.deposit([late], on: across, namespaceCookie: 101).isEmpty && !self.isOpen(late))
    // Who waits gets the next one, whoever has the address then.
    let waiter = UpstreamStock.Waiter(loop: 0, connection: 1)
    #expect(room.take(across, for: waiter) == .wait)
    room.withdraw { _ in true }
    let next = self.socket()
    #expect(
      room.deposit([next], on: across, namespaceCookie: 102) == [UpstreamStock.Delivery(waiter: waiter, socket: next)])
    close(next)
    let kept = self.socket()
    _ = room.deposit([kept], on: across, namespaceCookie: 102)
    room.withdraw(workload: 7)
    #expect(!self.isOpen(kept) && !self.isOpen(own) && room.count == 0)
  }
}
