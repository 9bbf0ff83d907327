import CMeshLinux
import Glibc
package import MeshBase

/// A system call that failed: which one, and its errno.
package struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  package let errno: CInt
  package let call: String

  package init(_ errno: CInt, _ call: String) {
    self.errno = errno
    self.call = call
  }

  /// `open: No such file or directory (ENOENT)`.
  package var description: String {
    let text = cmesh_errno_text(self.errno).map { String(cString: $0) } ?? "error \(self.errno)"
    let name = cmesh_errno_name(self.errno).map { " (\(String(cString: $0)))" } ?? ""
    return "\(self.call): \(text)\(name)"
  }

  /// What a caller can do about it.
  package var code: MeshError.Code {
    switch self.errno {
    case EACCES, EPERM: .denied
    case ENOENT, ESRCH, ENODEV, ENXIO, ENOTDIR, ECHILD: .notFound
    case EEXIST, EBUSY, EADDRINUSE, ENOTEMPTY: .conflict
    case EMFILE, ENFILE, ENOMEM, ENOSPC, ENOBUFS, EMSGSIZE, EDQUOT: .exhausted
    case ENOSYS, EOPNOTSUPP, EAFNOSUPPORT, EPROTONOSUPPORT, ENOPROTOOPT: .unsupported
    case EAGAIN, ETIMEDOUT, ECONNREFUSED, ECONNRESET, EPIPE, EHOSTUNREACH, ENETUNREACH, ENOTCONN: .unavailable
    case EMEDIUMTYPE, ENAMETOOLONG, ELOOP, EADDRNOTAVAIL: .invalid
    default: .internal
    }
  }

  package func meshError(_ object: String, _ message: String, next: String? = nil) -> MeshError {
    MeshError(self.code, object, message, cause: self.description, next: next)
  }
}

extension SystemError {
  /// For calls that return -1 and set errno.
  @discardableResult
  static func check(_ result: CInt, _ call: String) throws(SystemError) -> CInt {
    guard result >= 0 else { throw SystemError(Glibc.errno, call) }
    return result
  }

  /// For the functions of CMeshLinux, which return a negative errno.
  @discardableResult
  static func checkNegated(_ result: CInt, _ call: String) throws(SystemError) -> CInt {
    guard result >= 0 else { throw SystemError(-result, call) }
    return result
  }
}
