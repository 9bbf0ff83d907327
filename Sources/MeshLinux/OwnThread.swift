import CMeshLinux
import Glibc

/// A detached thread for what blocks: waiting for a process, receiving descriptors. Signals are blocked in it: they are
/// for the threads that expect them.
package enum OwnThread {
  private final class Errand {
    let name: String
    let body: @Sendable () -> Void

    init(_ name: String, _ body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  /// `name` is what `ps -L` shows, at most 15 bytes of it.
  package static func start(name: String, _ body: @escaping @Sendable () -> Void) throws(SystemError) {
    let errand = Unmanaged.passRetained(Errand(name, body))
    var all = sigset_t()
    var before = sigset_t()
    sigfillset(&all)
    pthread_sigmask(SIG_SETMASK, &all, &before)
    defer { pthread_sigmask(SIG_SETMASK, &before, nil) }
    var thread = pthread_t()
    let result = pthread_create(
      &thread, nil,
      { argument in
        if let argument {
          let errand = Unmanaged<Errand>.fromOpaque(argument).takeRetainedValue()
          cmesh_name_thread(errand.name)
          errand.body()
        }
        return nil
      }, errand.toOpaque())
    guard result == 0 else {
      errand.release()
      throw SystemError(result, "pthread_create")
    }
    // A thread that ended already is still joinable, so its handle is valid until this call.
    pthread_detach(thread)
  }
}
