import Foundation
import Glibc
import MeshBPF
import MeshBase
import MeshLinux

/// Removes what a dead agent left: pins, sockets, cgroups. Only what belongs to the named instance, only what it knows by
/// name or by file system, never a path for its own sake.
struct Purge {
  var pinDir: String
  var runDir: String
  /// Cgroups of the instance's own agent and proxy. What still runs in the proxy's is killed; in the agent's, nothing.
  var agentCgroup: String?
  var proxyCgroup: String?
  /// Says what would be done, and does nothing.
  var dryRun: Bool

  private(set) var done: [String] = []
  private(set) var problems: [String] = []

  init(pinDir: String, runDir: String, agentCgroup: String?, proxyCgroup: String?, dryRun: Bool) {
    self.pinDir = pinDir
    self.runDir = runDir
    self.agentCgroup = agentCgroup
    self.proxyCgroup = proxyCgroup
    self.dryRun = dryRun
  }

  /// Sockets and files of a run directory.
  static let runFiles = [
    "agent.sock", "proxy.sock", "fds.sock", "lock", "cgroups", "cgroups.new", "containers", "containers.new",
  ]
  /// Those of a control plane, which may serve on: `UnixListener` holds the lock while it does.
  static let controlFiles = ["control.sock", "control.sock.new", "control.sock.lock", "api.sock"]

  mutating func run() {
    self.findCgroups()
    self.killProxy()
    self.removePins()
    self.removeRunFiles()
    for cgroup in [self.proxyCgroup, self.agentCgroup].compactMap({ $0 }) { self.removeCgroup(cgroup) }
  }

  /// What was not named is what the agent wrote down when it started.
  private mutating func findCgroups() {
    guard self.agentCgroup == nil || self.proxyCgroup == nil else { return }
    do throws(MeshError) {
      guard let found = try InstanceCgroups.read(from: self.runDir) else { return }
      self.agentCgroup = self.agentCgroup ?? found.agent
      self.proxyCgroup = self.proxyCgroup ?? found.proxy
    } catch {
      self.problems.append("\(error)")
    }
  }

  /// Everything below the pin directory, if that is in bpffs: a pin's removal releases the program, map or link. Links
  /// detach when their last reference goes.
  private mutating func removePins() {
    guard FileManager.default.fileExists(atPath: self.pinDir) else { return }
    // The root of a bpffs is shared with others, and an ordinary directory is no place of pins.
    guard MountTable.current.isBelow(self.pinDir, type: "bpf") else {
      self.problems.append("\(self.pinDir) is no directory below the root of a bpffs: left alone")
      return
    }
    if !self.dryRun {
      // Detaches links and filters first; what it leaves (pins that are not ours to know) goes below.
      do throws(MeshError) {
        try KernelDatapath.purge(pinDirectory: self.pinDir)
      } catch {
        self.problems.append("\(error)")
        return
      }
      self.done.append("detach and unpin \(self.pinDir)")
      guard FileManager.default.fileExists(atPath: self.pinDir) else { return }
    }
    var directories = [self.pinDir]
    // Read whole before anything is removed.
    let names = FileManager.default.enumerator(atPath: self.pinDir)?.allObjects ?? []
    if !names.isEmpty {
      for case let name as String in names {
        let path = self.pinDir + "/" + name
        var info = stat()
        guard lstat(path, &info) == 0 else { continue }
        if info.st_mode & S_IFMT == S_IFDIR { directories.append(path) } else { self.remove(path) { unlink($0) } }
      }
    }
    for path in directories.sorted(by: { $0.count > $1.count }) { self.remove(path) { rmdir($0) } }
  }

  private mutating func removeRunFiles() {
    let controlLock = self.runDir + "/control.sock.lock"
    let isServed = Self.isLocked(controlLock)
    if isServed { self.done.append("leave \(self.runDir)/control.sock to the control plane that serves it") }
    for name in Self.runFiles + (isServed ? [] : Self.controlFiles) {
      let path = self.runDir + "/" + name
      var info = stat()
      if lstat(path, &info) == 0, info.st_mode & S_IFMT != S_IFDIR { self.remove(path) { unlink($0) } }
    }
    if (try? FileManager.default.contentsOfDirectory(atPath: self.runDir))?.isEmpty == true || self.dryRun {
      // A mount point is somebody else's: it stays, empty.
      if FileManager.default.fileExists(atPath: self.runDir) {
        self.remove(self.runDir) { rmdir($0) == 0 || errno == EBUSY ? 0 : -1 }
      }
    }
  }

  private static func isLocked(_ path: String) -> Bool {
    let lock = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard lock >= 0 else { return false }
    defer { close(lock) }
    return flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK
  }

  /// By cgroup.kill, so that nothing but what is in that cgroup can be hit.
  private mutating func killProxy() {
    guard let cgroup = self.proxyCgroup, self.isCgroup(cgroup) else { return }
    let processes =
      (try? String(contentsOfFile: cgroup + "/cgroup.procs", encoding: .utf8))?.split(separator: "\n") ?? []
    guard !processes.isEmpty else { return }
    self.done.append("kill \(processes.count) processes in \(cgroup)")
    guard !self.dryRun else { return }
    do {
      try "1".write(toFile: cgroup + "/cgroup.kill", atomically: false, encoding: .utf8)
    } catch {
      self.problems.append("\(cgroup)/cgroup.kill: \(error)")
    }
    // The kernel empties the cgroup as the processes end: with thousands of connections on a busy machine that takes seconds.
    for _ in 0..<500 {
      let left = try? String(contentsOfFile: cgroup + "/cgroup.procs", encoding: .utf8)
      if left?.isEmpty ?? true { return }
      usleep(20_000)
    }
  }

  private mutating func removeCgroup(_ path: String) {
    guard self.isCgroup(path) else { return }
    self.remove(path) { rmdir($0) }
    // The agent made the one above too, where no unit gave it one.
    let base = path.split(separator: "/").dropLast()
    if base.last == "martlet.service", !self.dryRun { rmdir("/" + base.joined(separator: "/")) }
  }

  private mutating func isCgroup(_ path: String) -> Bool {
    guard FileManager.default.fileExists(atPath: path) else { return false }
    guard MountTable.current.isBelow(path, type: "cgroup2") else {
      self.problems.append("\(path) is no cgroup of its own: left alone")
      return false
    }
    return true
  }

  private mutating func remove(_ path: String, _ call: (String) -> CInt) {
    if !self.dryRun, call(path) != 0 {
      if errno != ENOENT { self.problems.append("\(path): \(String(cString: strerror(errno)))") }
    } else {
      self.done.append("remove \(path)")
    }
  }
}
