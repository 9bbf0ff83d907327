import Glibc
import Synchronization

/// A listener that the loops accept on. The socket is closed when the last loop has let go of it.
package final class RelayListener: Sendable {
  let descriptor: CInt
  let number: UInt64
  let flow: @Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>
  private let threads: [RelayThread]
  private let closed = Atomic<Bool>(false)
  private let withdrawn = Atomic<Bool>(false)

  init(
    descriptor: CInt, number: UInt64, threads: [RelayThread],
    flow: @escaping @Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>
  ) {
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
