import CMeshLinux
import Glibc
package import MeshBase
import Synchronization

/// A process that we started. It goes on when this object goes: a proxy survives its agent.
package final class ChildProcess: Sendable {
  /// What to start. Nothing is inherited but what is written here.
  package struct Configuration: Sendable {
    /// A path; PATH is not searched.
    package var executable: String
    /// Without the program's own name, which is the executable's path.
    package var arguments: [String]
    package var environment: [String: String]
    package var directory: String
    /// Number in the child to descriptor of ours. Without an entry 0 is /dev/null; 1 and 2 are ours.
    package var descriptors: [CInt: CInt]
    package var cgroup: Cgroup?
    package var namespace: NetworkNamespace?
    /// Become this user, without groups and capabilities. Nil: stay who we are.
    package var user: User?
    /// No exec of it or its children gains privileges (PR_SET_NO_NEW_PRIVS).
    package var noNewPrivileges: Bool
    /// The way of kernels before 5.7, for tests.
    var movesIntoCgroup = false

    package init(
      _ executable: String, _ arguments: [String] = [], environment: [String: String] = [:], directory: String = "/",
      descriptors: [CInt: CInt] = [:], cgroup: Cgroup? = nil, namespace: NetworkNamespace? = nil, user: User? = nil,
      noNewPrivileges: Bool = false
    ) {
      self.executable = executable
      self.arguments = arguments
      self.environment = environment
      self.directory = directory
      self.descriptors = descriptors
      self.cgroup = cgroup
      self.namespace = namespace
      self.user = user
      self.noNewPrivileges = noNewPrivileges
    }
  }

  package struct User: Hashable, Sendable {
    package var uid: UInt32
    package var gid: UInt32

    package init(uid: UInt32, gid: UInt32) {
      self.uid = uid
      self.gid = gid
    }
  }

  package let handle: ProcessHandle
  package var pid: Int32 { self.handle.pid }
  private let ended = Mutex<Termination?>(nil)

  init(_ handle: ProcessHandle) { self.handle = handle }

  /// How it ended; nil while it runs.
  package var exitStatus: Termination? {
    self.ended.withLock { ended in
      if ended == nil { ended = self.handle.reap() }
      return ended
    }
  }

  /// Waits on the calling thread. Nil: it still runs.
  package func wait(milliseconds: Int32) -> Termination? {
    _ = self.handle.waitForExit(milliseconds: milliseconds)
    return self.exitStatus
  }

  /// Calls `body` once when it has ended, on a thread made for that. Throws if no thread can be made.
  package func onExit(_ body: @escaping @Sendable (Termination) -> Void) throws(MeshError) {
    try self.handle.onExit { body(self.exitStatus ?? .unknown) }
  }

  /// Ends when the process does.
  package func exit() async throws -> Termination {
    try await withCheckedThrowingContinuation { continuation in
      do {
        try self.onExit { continuation.resume(returning: $0) }
      } catch {
        continuation.resume(throwing: error)
      }
    }
  }

  /// False: it has ended already.
  @discardableResult
  package func signal(_ signal: Int32) throws(MeshError) -> Bool { try self.handle.signal(signal) }

  @discardableResult
  package func kill() throws(MeshError) -> Bool { try self.handle.signal(SIGKILL) }
}
