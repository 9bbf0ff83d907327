import CMeshLinux
import Glibc
package import MeshBase

/// A process that need not be a child, held by pidfd: no other process can come to be meant by it.
package final class ProcessHandle: Sendable {
  package let pid: Int32
  private let pidfd: Descriptor

  init(pid: Int32, pidfd: consuming Descriptor) {
    self.pid = pid
    self.pidfd = pidfd
  }

  package static func open(pid: Int32) throws(MeshError) -> ProcessHandle {
    let result = cmesh_pidfd_open(pid)
    guard result >= 0 else {
      throw SystemError(-result, "pidfd_open").meshError("process \(pid)", "cannot be opened")
    }
    return ProcessHandle(pid: pid, pidfd: Descriptor(owning: result))
  }

  /// Can be read when the process has ended.
  var descriptor: CInt { self.pidfd.rawValue }

  package var hasExited: Bool { self.waitForExit(milliseconds: 0) }

  /// True if the process has ended (it may not have been waited for).
  package func waitForExit(milliseconds: Int32) -> Bool {
    var event = pollfd(fd: self.pidfd.rawValue, events: Int16(POLLIN), revents: 0)
    var result = poll(&event, 1, milliseconds)
    // A signal handler ran: ask once more for all of the time; the wait is at most twice as long.
    if result < 0 && errno == EINTR { result = poll(&event, 1, milliseconds) }
    return result > 0
  }

  /// Calls `body` once when the process has ended, on a thread made for that. Throws if no thread can be made.
  package func onExit(_ body: @escaping @Sendable () -> Void) throws(MeshError) {
    do throws(SystemError) {
      try OwnThread.start(name: "martlet-wait") {
        // A day at a time: poll's timeout is a number of milliseconds in 32 bits.
        while !self.waitForExit(milliseconds: 86_400_000) {}
        body()
      }
    } catch {
      throw error.meshError("process \(self.pid)", "cannot wait for it")
    }
  }

  /// False: the process has ended and was waited for.
  @discardableResult
  package func signal(_ signal: Int32) throws(MeshError) -> Bool {
    let result = cmesh_pidfd_send_signal(self.pidfd.rawValue, signal)
    if result == -ESRCH { return false }
    guard result >= 0 else {
      throw SystemError(-result, "pidfd_send_signal").meshError("process \(self.pid)", "cannot be signalled")
    }
    return true
  }

  /// A copy of a descriptor of that process: how a restarted agent finds its listeners in the running proxy.
  package func copyDescriptor(_ number: Int32) throws(MeshError) -> Descriptor {
    let result = cmesh_pidfd_getfd(self.pidfd.rawValue, number)
    guard result >= 0 else {
      throw SystemError(-result, "pidfd_getfd").meshError(
        "process \(self.pid), descriptor \(number)", "cannot be copied")
    }
    return Descriptor(owning: result)
  }

  /// The sockets that the process holds: descriptor number to inode, which `SocketRecord` has too. One that is closed while
  /// this reads may be missing or be another by the time it is copied: compare again afterwards.
  package func sockets() throws(MeshError) -> [Int32: UInt64] {
    let path = "/proc/\(self.pid)/fd"
    guard let directory = opendir(path) else {
      throw SystemError(errno, "opendir").meshError(path, "cannot list descriptors")
    }
    defer { closedir(directory) }
    var found: [Int32: UInt64] = [:]
    var target = [CChar](repeating: 0, count: 64)
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
      let length = readlink("\(path)/\(name)", &target, target.count)
      guard let number = Int32(name), length > 0 else { continue }
      // `socket:[12345]`, proc(5)
      let text = String(decoding: target[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      guard text.hasPrefix("socket:["), text.hasSuffix("]"), let inode = UInt64(text.dropFirst(8).dropLast()) else {
        continue
      }
      found[number] = inode
    }
    guard !self.hasExited else { throw MeshError(.notFound, "process \(self.pid)", "has ended") }
    return found
  }

  /// The cgroup of the process, as `Cgroup.relativePath(ofProcess:)`, and not that of a later process of the same number.
  package func cgroupPath() throws(MeshError) -> String {
    let path = try Cgroup.relativePath(ofProcess: self.pid)
    guard !self.hasExited else { throw MeshError(.notFound, "process \(self.pid)", "has ended") }
    return path
  }

  func reap() -> Termination? {
    var code: Int32 = 0
    var bySignal: CInt = 0
    switch cmesh_reap(self.pidfd.rawValue, &code, &bySignal) {
    case 0: return nil
    case 1: return bySignal != 0 ? .signal(code) : .code(code)
    // Somebody else waited for it, which no code of ours does: it is gone, that is all there is to know.
    default: return .unknown
    }
  }
}

/// How a process ended.
package enum Termination: Hashable, Sendable, CustomStringConvertible {
  case code(Int32)
  case signal(Int32)
  case unknown

  package var isSuccess: Bool { self == .code(0) }

  package var description: String {
    switch self {
    case .code(let code): "exit status \(code)"
    case .signal(let signal): "signal \(signal)"
    case .unknown: "unknown exit status"
    }
  }
}

/// Who is at the other end of a Unix socket, as of connect(2).
package struct PeerCredentials: Hashable, Sendable {
  package var pid: Int32
  package var uid: UInt32
  package var gid: UInt32

  package init(ofSocket socket: CInt) throws(MeshError) {
    var peer = cmesh_peer()
    let result = cmesh_peer_credentials(socket, &peer)
    guard result >= 0 else {
      throw SystemError(-result, "getsockopt SO_PEERCRED").meshError("descriptor \(socket)", "has no peer to know")
    }
    self.pid = peer.pid
    self.uid = peer.uid
    self.gid = peer.gid
  }

  /// A handle of the peer. By SO_PEERPIDFD (Linux 6.5), which cannot mean another process; on older kernels by pid.
  package static func process(ofSocket socket: CInt) throws(MeshError) -> ProcessHandle {
    let credentials = try PeerCredentials(ofSocket: socket)
    let result = cmesh_peer_pidfd(socket)
    if result >= 0 { return ProcessHandle(pid: credentials.pid, pidfd: Descriptor(owning: result)) }
    guard result == -ENOPROTOOPT else {
      throw SystemError(-result, "getsockopt SO_PEERPIDFD").meshError(
        "process \(credentials.pid)", "the peer of the socket is gone")
    }
    return try ProcessHandle.open(pid: credentials.pid)
  }
}
