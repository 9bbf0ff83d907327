import Glibc
import MeshNet
import Testing

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
}
