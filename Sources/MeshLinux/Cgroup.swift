import CMeshLinux
import Glibc
package import MeshBase

/// A control group of the unified hierarchy (cgroup v2): a directory, known by its id, which is the inode and is never
/// used twice until the next boot. Every write checks that the path still means that id.
package struct Cgroup: Hashable, Sendable, CustomStringConvertible {
  package let path: String
  package let id: UInt64

  package var description: String { self.path }

  /// An existing cgroup. A directory elsewhere than in a cgroup2 file system is an error.
  package static func open(path: String) throws(MeshError) -> Cgroup {
    do throws(SystemError) {
      let directory = try Descriptor.open(path, O_RDONLY | O_DIRECTORY)
      var id: UInt64 = 0
      try SystemError.checkNegated(cmesh_cgroup_id(directory.rawValue, &id), "fstat")
      return Cgroup(path: path, id: id)
    } catch {
      guard error.errno != EMEDIUMTYPE else {
        throw MeshError(.invalid, path, "is not in a cgroup2 file system")
      }
      throw error.meshError(path, "cannot open the cgroup")
    }
  }

  /// The root of the unified hierarchy, wherever it is mounted: `/sys/fs/cgroup`, or `/sys/fs/cgroup/unified` beside
  /// cgroup v1.
  package static func unified() throws(MeshError) -> Cgroup {
    let mounts: String
    do throws(SystemError) {
      mounts = try FileBytes.readText("/proc/self/mounts", limit: 16 << 20)
    } catch {
      throw error.meshError("/proc/self/mounts", "cannot find the cgroup2 file system")
    }
    guard let path = self.mountPoint(inMounts: mounts) else {
      throw MeshError(
        .unsupported, "/proc/self/mounts", "no cgroup2 file system is mounted",
        next: "mount -t cgroup2 none /sys/fs/cgroup")
    }
    return try self.open(path: path)
  }

  /// The first cgroup2 mount point in text of the form of fstab(5).
  static func mountPoint(inMounts text: String) -> String? {
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: " ")
      if fields.count >= 3, fields[2] == "cgroup2" { return self.unescape(fields[1]) }
    }
    return nil
  }

  /// Space, tab, newline and backslash are octal escapes there (fs/proc_namespace.c, mangle).
  static func unescape(_ text: Substring) -> String {
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    var index = 0
    while index < bytes.count {
      if bytes[index] == UInt8(ascii: "\\"), index + 4 <= bytes.count,
        let value = UInt8(String(decoding: bytes[(index + 1)..<(index + 4)], as: UTF8.self), radix: 8)
      {
        result.append(value)
        index += 4
      } else {
        result.append(bytes[index])
        index += 1
      }
    }
    return String(decoding: result, as: UTF8.self)
  }

  /// The child of that name; made if it is not there.
  package static func create(under parent: Cgroup, name: String) throws(MeshError) -> Cgroup {
    guard !name.isEmpty, name != ".", name != "..", !name.utf8.contains(UInt8(ascii: "/")), !name.utf8.contains(0),
      name.utf8.count <= 255
    else { throw MeshError(.invalid, name, "is no name for a cgroup") }
    let path = parent.path + "/" + name
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
      throw SystemError(errno, "mkdir").meshError(path, "cannot make the cgroup")
    }
    return try self.open(path: path)
  }

  /// For calls that take a cgroup by descriptor. An error if the path means another cgroup by now.
  package func openDirectory() throws(MeshError) -> Descriptor {
    do throws(SystemError) {
      let directory = try Descriptor.open(self.path, O_RDONLY | O_DIRECTORY)
      var id: UInt64 = 0
      try SystemError.checkNegated(cmesh_cgroup_id(directory.rawValue, &id), "fstat")
      guard id == self.id else { throw SystemError(ENOENT, "the cgroup \(self.id)") }
      return directory
    } catch {
      throw error.meshError(self.path, "cannot open the cgroup")
    }
  }

  /// Whether the path still means this cgroup.
  package var exists: Bool {
    var status = stat()
    return stat(self.path, &status) == 0 && UInt64(status.st_ino) == self.id
  }
}
