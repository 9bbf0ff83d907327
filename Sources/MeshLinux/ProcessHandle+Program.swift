import Glibc
package import MeshBase

/// What a process runs, and since when.
extension ProcessHandle {
  /// In clock ticks since the host's start (proc(5), field 22 of /proc/PID/stat). Nil: it is gone.
  package var startTime: UInt64? {
    guard let text = try? FileBytes.readText("/proc/\(self.pid)/stat"), let end = text.lastIndex(of: ")") else {
      return nil
    }
    // The name in parentheses may hold anything; the field after it is the third.
    let fields = text[text.index(after: end)...].split(separator: " ")
    return fields.count > 19 ? UInt64(fields[19]) : nil
  }

  /// The file that it runs, even if its name means another one by now. Nil: it is gone.
  package var program: FileID? { (try? DiskFile.status("/proc/\(self.pid)/exe"))?.id }

  /// The same, held open: it can be started again when its name is gone.
  package func openProgram() throws(MeshError) -> Descriptor {
    let path = "/proc/\(self.pid)/exe"
    do throws(SystemError) {
      return try Descriptor.open(path, O_RDONLY)
    } catch {
      throw error.meshError(path, "cannot be opened")
    }
  }
}
