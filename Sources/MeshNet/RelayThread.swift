import CMeshRelay
import Glibc
import Synchronization

/// The outside of a loop: a thread of its own, and a mailbox that other threads put work into.
final class RelayThread: Sendable {
  typealias Work = @Sendable (RelayLoop) -> Void

  private struct Mailbox {
    var work: [Work] = []
    /// The loop will look into the mailbox without another wake-up.
    var isAwake = false
    var isClosed = false
    var whenEnded: [@Sendable () -> Void] = []
  }

  let number: Int
  /// Connections on this loop, for the choice of a loop; the loop writes it.
  let load = Atomic<Int>(0)
  private let mailbox = Mutex(Mailbox())
  let poll: CInt
  private let wake: CInt

  /// Nil: no descriptor is left. (Not an initializer that fails: Swift 6.3.1 cannot optimise one of a class that holds an
  /// `Atomic`.)
  static func open(number: Int) -> RelayThread? {
    var poll: CInt = -1
    var wake: CInt = -1
    return cmesh_poll_open(&poll, &wake) == 0 ? RelayThread(number: number, poll: poll, wake: wake) : nil
  }

  private init(number: Int, poll: CInt, wake: CInt) {
    self.number = number
    self.poll = poll
    self.wake = wake
  }

  deinit {
    close(self.wake)
    close(self.poll)
  }

  /// The thread lives until `stop`. False: the kernel gives no thread.
  func start(_ make: @escaping @Sendable (RelayThread) -> RelayLoop) -> Bool {
    LoopThread.start { self.main(make) } == 0
  }

  private func main(_ make: (RelayThread) -> RelayLoop) {
    cmesh_relay_thread("relay-\(self.number)")
    let loop = make(self)
    loop.run()
    let (work, ended) = self.mailbox.withLock { box -> ([Work], [@Sendable () -> Void]) in
      box.isClosed = true
      defer { box.work = [] }
      return (box.work, box.whenEnded)
    }
    for one in work { one(loop) }
    loop.end()
    for one in ended { one() }
  }

  /// Runs on the loop's thread, soon. False: the loop has ended, and the work is dropped.
  @discardableResult
  func post(_ work: @escaping Work) -> Bool {
    let (isTaken, mustWake) = self.mailbox.withLock { box -> (Bool, Bool) in
      if box.isClosed { return (false, false) }
      box.work.append(work)
      defer { box.isAwake = true }
      return (true, !box.isAwake)
    }
    if mustWake { _ = cmesh_wake(self.wake) }
    return isTaken
  }

  /// On the loop's thread, when the wake-up came.
  func takeWork() -> [Work] {
    _ = cmesh_wake_clear(self.wake)
    return self.mailbox.withLock { box in
      box.isAwake = false
      defer { box.work = [] }
      return box.work
    }
  }

  /// Ends the loop and its connections, with RST.
  func stop(whenEnded: @escaping @Sendable () -> Void = {}) {
    let isEnded = self.mailbox.withLock { box -> Bool in
      if !box.isClosed { box.whenEnded.append(whenEnded) }
      return box.isClosed
    }
    if isEnded { whenEnded() } else { self.post { $0.isStopping = true } }
  }
}
