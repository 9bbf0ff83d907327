import CMeshBPF
import Glibc
import MeshBase

/// Failures of system calls and of libbpf in the house's one shape.
enum BPFFailure {
  /// How many lines of the verifier are kept: its verdict stands at the end.
  static let logLines = 12

  /// Forgets what earlier calls on this thread said.
  static func clearLog() {
    _ = lastLog()
  }

  /// The last lines that libbpf wrote on this thread.
  static func lastLog() -> String? {
    let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16_384) { buffer in
      let length = cmesh_bpf_log(buffer.baseAddress, buffer.count)
      return String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: true).suffix(self.logLines)
    return lines.isEmpty ? nil : lines.joined(separator: "\n")
  }

  /// `result` is a negative errno.
  static func error(_ result: CInt, _ object: String, _ message: String, next: String? = nil) -> MeshError {
    let number = result < 0 ? -result : result
    var cause = String(cString: strerror(number)) + " (errno \(number))"
    if let log = self.lastLog() {
      cause += "\n" + log
    }
    return MeshError(Self.code(number), object, message, cause: cause, next: next)
  }

  static func code(_ number: CInt) -> MeshError.Code {
    switch number {
    case ENOENT, ENODEV, ENOLINK: .notFound
    case EEXIST, EBUSY, EWOULDBLOCK: .conflict
    case E2BIG, ENOSPC, ENOMEM, EMFILE, ENFILE: .exhausted
    case EPERM, EACCES: .denied
    case EINVAL, ENOTSUP, ENOSYS: .unsupported
    default: .internal
    }
  }
}

/// A descriptor with one owner.
final class OwnedDescriptor: Sendable {
  let rawValue: CInt

  init(_ rawValue: CInt) {
    self.rawValue = rawValue
  }

  deinit {
    close(self.rawValue)
  }

  /// Takes what a shim function returned: a descriptor, or a negative errno.
  static func owning(_ result: CInt, _ object: String, _ message: String, next: String? = nil) throws(MeshError)
    -> OwnedDescriptor
  {
    guard result >= 0 else { throw BPFFailure.error(result, object, message, next: next) }
    return OwnedDescriptor(result)
  }

  /// An independent descriptor for the same object.
  static func duplicate(_ descriptor: CInt, _ object: String) throws(MeshError) -> OwnedDescriptor {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
    guard copy >= 0 else { throw BPFFailure.error(-errno, object, "cannot duplicate the descriptor") }
    return OwnedDescriptor(copy)
  }
}
