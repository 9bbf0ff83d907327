import Glibc
import MeshBase
import MeshLinux

/// Who this process is, and who the proxy shall be.
enum ProcessIdentity {
  static var current: Int32 { getpid() }

  /// The account of that name; nil if there is none.
  static func user(named name: String) -> ChildProcess.User? {
    if let number = UInt32(strictDecimal: name) { return ChildProcess.User(uid: number, gid: number) }
    guard let entry = getpwnam(name) else { return nil }
    return ChildProcess.User(uid: entry.pointee.pw_uid, gid: entry.pointee.pw_gid)
  }
}
