import CMeshRelay
import Glibc
import Synchronization

/// What works on a thread of its own until it is told to stop.
protocol ThreadLoop: AnyObject, SendableMetatype {
  var isStopping: Bool { get set }

  /// Returns soon after `isStopping` was set, or when it cannot go on.
  func run()

  /// After the last turn, and the last work.
  func end()
}

/// The outside of a loop: a detached thread, and a mailbox that other threads put work into. Its methods may be called from
/// any thread.
final class LoopThread<Loop: ThreadLoop>: Sendable {
  typealias Work = @Sendable (Loop) -> Void

  private struct Mailbox {
    var work: [Work] = []
    /// The loop will look into the mailbox without another wake-up.
    var isAwake = false
    var isClosed = false
    var whenEnded: [@Sendable () -> Void] = []
  }

  /// Tells it from others with the same loop.
  let number: Int
  /// What is on this loop, for the choice of a loop; the loop writes it.
  let load = Atomic<Int>(0)
  /// How often the loop began to work or to wait, for who watches whether it turns; the loop writes it.
  let turns = Atomic<UInt64>(0)
  private let thread = Atomic<UInt>(0)
  let poll: CInt
  private let wake: CInt
  private let mailbox = Mutex(Mailbox())

  /// Fails with the errno when no descriptor is left. (Not an initializer that fails: Swift 6.3.1 cannot optimise one of a
  /// class that holds an `Atomic`.)
  static func open(number: Int = 0) throws(LoopThreadError) -> LoopThread {
    var poll: CInt = -1
    var wake: CInt = -1
    let error = cmesh_poll_open(&poll, &wake)
    guard error == 0 else { throw LoopThreadError(number: -error) }
    return LoopThread(number: number, poll: poll, wake: wake)
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

  /// The thread lives until `stop`; `make` runs on it. Fails with the errno when the kernel gives no thread.
  func start(name: String, _ make: @escaping @Sendable (LoopThread) -> Loop) throws(LoopThreadError) {
    let errand = Unmanaged.passRetained(Errand { self.main(name, make) })
    var thread = pthread_t()
    let error = pthread_create(
      &thread, nil,
      { raw in
        guard let raw else { return nil }
        Unmanaged<Errand>.fromOpaque(raw).takeRetainedValue().body()
        return nil
      }, errand.toOpaque())
    guard error == 0 else {
      errand.release()
      throw LoopThreadError(number: error)
    }
    pthread_detach(thread)
  }

  private func main(_ name: String, _ make: (LoopThread) -> Loop) {
    cmesh_relay_thread(name)
    self.thread.store(UInt(pthread_self()), ordering: .releasing)
    // Nobody signals a thread that has ended.
    defer { self.thread.store(0, ordering: .releasing) }
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

  /// The thread writes where it is to standard error, wherever that is.
  func trace() {
    let thread = self.thread.load(ordering: .acquiring)
    if thread != 0 { cmesh_relay_trace(pthread_t(thread)) }
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

  /// Ends the loop and what it has.
  func stop(whenEnded: @escaping @Sendable () -> Void = {}) {
    let isEnded = self.mailbox.withLock { box -> Bool in
      if !box.isClosed { box.whenEnded.append(whenEnded) }
      return box.isClosed
    }
    if isEnded { whenEnded() } else { self.post { $0.isStopping = true } }
  }
}

struct LoopThreadError: Error {
  /// The errno.
  let number: CInt
}

private final class Errand: Sendable {
  let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }
}
