import Glibc
import MeshBase
import Synchronization

/// A listener that the loops accept on. The socket is closed when the last loop has let go of it.
package final class RelayListener: Sendable {
  let descriptor: CInt
  let number: UInt64
  let flow: @Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>
  /// Who called last, and in which family: most listeners have one caller. Nil: nobody yet.
  private let caller = Atomic<UInt64>(0)
  /// Of tunnels.
  let entrance: TunnelEntrance?
  private let threads: [RelayThread]
  private let closed = Atomic<Bool>(false)
  private let withdrawn = Atomic<Bool>(false)

  init(
    descriptor: CInt, number: UInt64, threads: [RelayThread],
    flow: @escaping @Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>, entrance: TunnelEntrance? = nil
  ) {
    self.entrance = entrance
    self.descriptor = descriptor
    self.number = number
    self.threads = threads
    self.flow = flow
  }

  deinit { Glibc.close(self.descriptor) }

  /// Accepts no more. Connections that wait in the listener are left to its other holders; those just accepted go on.
  package func close() {
    guard !self.closed.exchange(true, ordering: .acquiringAndReleasing) else { return }
    let number = self.number
    for thread in self.threads { thread.post { $0.unlisten(number) } }
  }

  /// Looks whether connections wait: the kernel may have woken a process for them that is no more.
  package func poke() {
    self.threads.first?.post { $0.acceptWaiting(self) }
  }

  /// The shelf that the last connection's upstream socket is of, if it is one of the caller's own namespace.
  var lastShelf: StockRoom.Shelf? {
    let caller = self.caller.load(ordering: .relaxed)
    return caller == 0
      ? nil : StockRoom.Shelf(workload: UInt32(truncatingIfNeeded: caller >> 2), isV4: caller & 2 != 0)
  }

  func note(_ flow: AcceptedFlow) {
    let caller = UInt64(flow.sourceWorkload) << 2 | (flow.original.address.isV4 ? 3 : 1)
    // Written by every loop: only what is news.
    if self.caller.load(ordering: .relaxed) != caller { self.caller.store(caller, ordering: .relaxed) }
  }

  /// Accepts no more, and what was just accepted is closed with RST too.
  package func withdraw() {
    self.withdrawn.store(true, ordering: .releasing)
    self.close()
  }

  var isWithdrawn: Bool { self.withdrawn.load(ordering: .acquiring) }

  var isClosed: Bool { self.closed.load(ordering: .acquiring) }

  /// Accepts; false after `close`.
  package var isActive: Bool { !self.isClosed }
}
