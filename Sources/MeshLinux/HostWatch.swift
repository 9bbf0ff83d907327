import CMeshLinux
import Glibc
package import MeshBase
import Synchronization

/// Says when it is time to look at the host: something was mounted (a network namespace is named by a mount), a name came
/// or went in a directory, a process ended, links or addresses changed; and when a while has passed without any of that.
///
/// It tells only that, not what: who is told looks for himself, so that an event that was lost costs time and nothing
/// else. A thread of its own waits, because an event loop can wait for none of these.
package final class HostWatch: Sendable {
  private enum Token {
    static let bell: UInt64 = 0
    static let mounts: UInt64 = 1
    static let directories: UInt64 = 2
    static let interfaces: UInt64 = 3
    static let process: UInt64 = 4
    static let moves: UInt64 = 5
  }

  private struct State {
    var interval: Int32
    var isStopping = false
    /// Since somebody asked.
    var hasHappened = false
    /// Watched directories, by path.
    var directories: [String: CInt] = [:]
    var movable: [String: CInt] = [:]
  }

  private let set: Descriptor
  private let bell: Descriptor
  private let mounts: Descriptor
  /// Asked, not waited for.
  private let mountTable: Descriptor
  private let directories: Descriptor
  private let moves: Descriptor
  private let state: Mutex<State>

  /// What is begun is mostly not done in one call: a namespace is mounted, then gets its interfaces.
  private static let settleMicroseconds: UInt32 = 50_000
  /// After having told. However much happens, five times a second is the most.
  private static let restMicroseconds: UInt32 = 150_000

  /// - Parameter interval: milliseconds until it tells without an event.
  package init(interfaces: InterfaceWatch, interval: Int32) throws(MeshError) {
    do throws(SystemError) {
      let set = Descriptor(owning: try SystemError.checkNegated(cmesh_watch_open(), "epoll_create1"))
      let bell = Descriptor(owning: try SystemError.checkNegated(cmesh_bell_open(), "eventfd"))
      let directories = Descriptor(owning: try SystemError.checkNegated(cmesh_directories_open(), "inotify_init1"))
      let moves = Descriptor(owning: try SystemError.checkNegated(cmesh_directories_open(), "inotify_init1"))
      try SystemError.checkNegated(cmesh_watch_add(set.rawValue, bell.rawValue, Token.bell), "epoll_ctl")
      try SystemError.checkNegated(cmesh_watch_add(set.rawValue, moves.rawValue, Token.moves), "epoll_ctl")
      try SystemError.checkNegated(
        cmesh_watch_add(set.rawValue, directories.rawValue, Token.directories), "epoll_ctl")
      try SystemError.checkNegated(
        cmesh_watch_add_changes(set.rawValue, interfaces.descriptor, Token.interfaces), "epoll_ctl")
      self.mounts = Descriptor(
        owning: try SystemError.checkNegated(cmesh_watch_mounts(set.rawValue, Token.mounts), "mountinfo"))
      self.mountTable = Descriptor(owning: try SystemError.checkNegated(cmesh_mounts_open(), "mountinfo"))
      self.set = set
      self.bell = bell
      self.directories = directories
      self.moves = moves
    } catch {
      throw error.meshError("host", "cannot be watched")
    }
    self.state = Mutex(State(interval: interval))
  }

  /// `body` runs on the thread, and must not take long.
  package func start(_ body: @escaping @Sendable () -> Void) throws(MeshError) {
    do throws(SystemError) {
      try OwnThread.start(name: "host-watch") { self.run(body) }
    } catch {
      throw error.meshError("host", "cannot be watched")
    }
  }

  package func stop() {
    self.state.withLock { $0.isStopping = true }
    cmesh_bell_ring(self.bell.rawValue)
  }

  /// From now on. Costs nothing if it is the same.
  package func setInterval(_ milliseconds: Int32) {
    let isShorter = self.state.withLock { state in
      defer { state.interval = milliseconds }
      return milliseconds < state.interval
    }
    if isShorter { cmesh_bell_ring(self.bell.rawValue) }
  }

  /// Whether something happened since the last call: what it told was not only that a while has passed.
  package func takeHappened() -> Bool {
    self.state.withLock { state in
      defer { state.hasHappened = false }
      return state.hasHappened
    }
  }

  /// Whether something was mounted or unmounted since the last call, as the kernel says when it is asked: no event of that can be
  /// lost.
  package func takeMounts() -> Bool { cmesh_mounts_changed(self.mountTable.rawValue) != 0 }

  /// Names that come and go here, and nowhere else. Of a directory that is not there, the one above it that is.
  package func follow(directories: Set<String>) {
    self.state.withLock { state in
      var next: [String: CInt] = [:]
      for directory in directories {
        var path = directory
        while path.hasPrefix("/"), next[path] == nil {
          let watch = cmesh_directories_add(self.directories.rawValue, path)
          if watch >= 0 { next[path] = watch } else { path = Self.parent(of: path) }
        }
      }
      let kept = Set(next.values)
      for watch in state.directories.values where !kept.contains(watch) {
        cmesh_directories_remove(self.directories.rawValue, watch)
      }
      state.directories = next
    }
  }

  /// Tells when one of these directories, or one above it, is renamed: every path through it leads elsewhere then, without a
  /// mount. Of those only; one that cannot be watched is left out.
  package func followMoves(of directories: Set<String>) {
    self.state.withLock { state in
      var next: [String: CInt] = [:]
      for directory in directories {
        var path = directory
        while path.utf8.count > 1, next[path] == nil {
          let watch = cmesh_directories_add_moves(self.moves.rawValue, path)
          if watch >= 0 { next[path] = watch }
          path = Self.parent(of: path)
        }
      }
      let kept = Set(next.values)
      for watch in state.movable.values where !kept.contains(watch) {
        cmesh_directories_remove(self.moves.rawValue, watch)
      }
      state.movable = next
    }
  }

  /// Tells when it ends, as long as the handle is held.
  package func follow(_ process: ProcessHandle) {
    // One that cannot be waited for is seen to have ended when the while has passed.
    _ = cmesh_watch_add_changes(self.set.rawValue, process.descriptor, Token.process)
  }

  /// `/a` of `/a/b`, `/` of `/a`, and nothing of `/`.
  package static func parent(of path: String) -> String {
    guard path.utf8.count > 1, let slash = path.lastIndex(of: "/") else { return "" }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  private func run(_ body: @Sendable () -> Void) {
    var tokens = [UInt64](repeating: 0, count: 64)
    while true {
      let (interval, isStopping) = self.state.withLock { ($0.interval, $0.isStopping) }
      if isStopping { return }
      let ready = tokens.withUnsafeMutableBufferPointer {
        cmesh_watch_ready(self.set.rawValue, interval, $0.baseAddress, $0.count)
      }
      guard ready != 0 else {
        body()
        continue
      }
      cmesh_bell_quiet(self.bell.rawValue)
      // Does not happen with a set of our own; looking at full speed would only burn a processor.
      if ready < 0 { usleep(Self.restMicroseconds) }
      // The interval is another, or the end has come.
      guard ready > 0, tokens.prefix(Int(ready)).contains(where: { $0 != Token.bell }) else { continue }
      usleep(Self.settleMicroseconds)
      cmesh_directories_drain(self.directories.rawValue)
      cmesh_directories_drain(self.moves.rawValue)
      self.state.withLock { $0.hasHappened = true }
      body()
      usleep(Self.restMicroseconds)
    }
  }
}
