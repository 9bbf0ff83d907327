import Glibc
package import MeshBase

extension Cgroup {
  /// Moves a process into the cgroup.
  package func add(pid: Int32) throws(MeshError) {
    try self.write("\(pid)", to: "cgroup.procs", "cannot move process \(pid) into the cgroup")
  }

  /// Processes of this cgroup, not of its children. 0 stands for one that is outside of the reader's pid namespace.
  package func processes() throws(MeshError) -> [Int32] {
    try self.lines("cgroup.procs").compactMap { Int32($0) }
  }

  /// Sends SIGKILL to every process here and below (Linux 5.14). They are gone a moment later, see `isPopulated`.
  package func kill() throws(MeshError) {
    try self.write("1", to: "cgroup.kill", "cannot kill the processes of the cgroup")
  }

  /// Stops or resumes every process here and below, and waits up to two seconds until that is so.
  package func freeze(_ frozen: Bool) throws(MeshError) {
    let value = frozen ? "1" : "0"
    try self.write(value, to: "cgroup.freeze", "cannot freeze or thaw the cgroup")
    for _ in 0..<200 {
      if try self.event("frozen") ?? "" == value { return }
      usleep(10_000)
    }
    throw MeshError(.unavailable, self.path, "did not \(frozen ? "freeze" : "thaw") within two seconds")
  }

  /// Whether a process lives here or below.
  package var isPopulated: Bool {
    get throws(MeshError) { try self.event("populated") == "1" }
  }

  /// Removes the cgroup and those below it. Kills nothing: where a process is left it fails with `conflict`. Processes that
  /// are on their way out are waited for, up to two seconds. A cgroup that is gone is no error.
  package func remove() throws(MeshError) {
    guard self.exists else { return }
    var result: CInt = 0
    for _ in 0..<200 {
      result = Self.removeTree(self.path, depth: 0)
      if result != EBUSY { break }
      usleep(10_000)
    }
    guard result == 0 else { throw SystemError(result, "rmdir").meshError(self.path, "cannot remove the cgroup") }
  }

  /// Children first. 0 or errno. The depth is what the kernel allows and more (cgroup.max.depth is not set by anyone).
  private static func removeTree(_ path: String, depth: Int) -> CInt {
    guard depth < 64 else { return ELOOP }
    var failure: CInt = 0
    for child in self.children(of: path) {
      let result = self.removeTree(path + "/" + child, depth: depth + 1)
      if result != 0 { failure = result }
    }
    if failure != 0 { return failure }
    return rmdir(path) == 0 || errno == ENOENT ? 0 : errno
  }

  /// The cgroup of a process, as a path below the root of the hierarchy that the caller sees, such as `/system.slice/a`.
  package static func relativePath(ofProcess pid: Int32) throws(MeshError) -> String {
    let object = "/proc/\(pid)/cgroup"
    do throws(SystemError) {
      let text = try FileBytes.readText(object)
      // cgroups(7): the line of the unified hierarchy begins with `0::`.
      guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("0::/") }) else {
        throw SystemError(ENOENT, "no unified hierarchy")
      }
      return String(line.dropFirst(3))
    } catch {
      throw error.meshError(object, "cannot tell the cgroup of the process")
    }
  }

  private func event(_ key: String) throws(MeshError) -> Substring? {
    for line in try self.lines("cgroup.events") {
      let fields = line.split(separator: " ")
      if fields.count == 2, fields[0] == key { return fields[1] }
    }
    return nil
  }

  private func lines(_ file: String) throws(MeshError) -> [Substring] {
    try self.check()
    do throws(SystemError) {
      return try FileBytes.readText(self.path + "/" + file, limit: 16 << 20).split(separator: "\n")
    } catch {
      throw error.meshError(self.path, "cannot read \(file)")
    }
  }

  private func write(_ text: String, to file: String, _ message: String) throws(MeshError) {
    try self.check()
    do throws(SystemError) {
      try FileBytes.write(text, to: self.path + "/" + file)
    } catch {
      throw error.meshError(self.path, message)
    }
  }

  private func check() throws(MeshError) {
    guard self.exists else { throw MeshError(.notFound, self.path, "the cgroup \(self.id) is not there any more") }
  }
}
