import Glibc

/// A detached thread for a loop of this target.
enum LoopThread {
  private final class Errand: Sendable {
    let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  /// Lives until `body` returns. 0, or the errno of a kernel that gives no thread.
  static func start(_ body: @escaping @Sendable () -> Void) -> CInt {
    let errand = Unmanaged.passRetained(Errand(body))
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
      return error
    }
    pthread_detach(thread)
    return 0
  }
}
