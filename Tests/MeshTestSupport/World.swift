import Glibc
import MeshBase
package import MeshLinux
import Synchronization

/// Nodes and pods on one machine. See the front door of this target. Needs root.
package final class World: Sendable {
  /// Everything that is made bears it: `mt-NAME-PID-COUNT`.
  package let identifier: String
  /// For run and state directories: short enough for Unix sockets in it, gone with the World.
  package let directory: String
  /// For pins; it is not made. What is in it is unlinked with the World.
  package let pinDirectory: String
  /// The cgroup that all nodes are below.
  package let cgroup: Cgroup

  private struct State {
    var lock: FileLock?
    var nodes: [String: (v4: String, v6: String)] = [:]
    var files = 0
  }
  private let state: Mutex<State>
  private static let counter = Atomic<Int>(0)

  /// `name`: 1 to 24 of lower case letters, digits and `-`. Removes first what dead runs have left.
  package init(_ name: String) throws {
    guard (1...24).contains(name.utf8.count), ResourceName.isLabel(name) else {
      throw MeshError(.invalid, name, "is no name for a World")
    }
    let count = Self.counter.add(1, ordering: .relaxed).newValue
    let identifier = "mt-\(name)-\(getpid())-\(count)"
    let guarded = try WorldRegistry.lock()
    let lock = try withExtendedLifetime(guarded) {
      try WorldRegistry.sweep()
      return try FileLock(path: WorldRegistry.lockPath(identifier))
    }
    self.state = Mutex(State(lock: lock))
    self.identifier = identifier
    self.directory = WorldRegistry.directoryPath(identifier)
    self.pinDirectory = WorldRegistry.pinPath(identifier)
    guard mkdir(self.directory, 0o755) == 0 || errno == EEXIST else {
      throw SystemError(errno, "mkdir").meshError(self.directory, "cannot be made")
    }
    self.cgroup = try Cgroup.create(under: .unified(), name: identifier)
  }

  deinit { try? self.close() }

  /// Ends every process and removes everything. Twice is once.
  package func close() throws {
    let lock = self.state.withLock { state in
      defer { state.lock = nil }
      return state.lock
    }
    guard let lock else { return }
    try withExtendedLifetime(lock) { try WorldRegistry.remove(self.identifier) }
  }

  /// What dies with a process that is killed: nothing but its locks. For the test of `WorldRegistry`.
  func crash() {
    self.state.withLock { $0.lock = nil }
  }

  /// A host of its own: a namespace with a bridge and a cgroup.
  package func node(_ name: String, v4: String = "10.77.0.1/16", v6: String = "fd77::1/64") throws -> WorldNode {
    try self.state.withLock { state in
      guard state.nodes[name] == nil else { throw MeshError(.conflict, name, "the World has that node") }
      state.nodes[name] = (v4, v6)
    }
    return try WorldNode(name, in: self, v4: v4, v6: v6)
  }

  /// A path in `directory` that nothing has yet.
  package func newPath(_ suffix: String) -> String {
    self.state.withLock { state in
      state.files += 1
      return "\(self.directory)/\(state.files)-\(suffix)"
    }
  }

  /// Mounts bpffs at /sys/fs/bpf where nothing of the sort is mounted.
  package static func ensureBPFFS() throws {
    let guarded = try WorldRegistry.lock()
    defer { withExtendedLifetime(guarded) {} }
    let mounts = try String(contentsOfSmallFile: "/proc/self/mounts")
    let isMounted = mounts.split(separator: "\n").contains { line in
      let fields = line.split(separator: " ")
      return fields.count >= 3 && fields[1] == "/sys/fs/bpf" && fields[2] == "bpf"
    }
    guard !isMounted else { return }
    guard mount("bpf", "/sys/fs/bpf", "bpf", 0, nil) == 0 else {
      throw SystemError(errno, "mount").meshError("/sys/fs/bpf", "cannot mount bpffs")
    }
  }
}
