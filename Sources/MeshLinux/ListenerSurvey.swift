import CMeshLinux
import Glibc
package import MeshBase

/// Asks one namespace for its TCP listeners, often: one socket for all questions, because entering the namespace each time
/// costs more than the question.
package final class ListenerSurvey: Sendable {
  private let descriptor: Descriptor
  private let name: String
  /// Of /proc/net; nil where there is none.
  private let statistics: CountFile?
  private let statistics6: CountFile?

  package init(of namespace: NetworkNamespace) throws(MeshError) {
    let result = namespace.withDescriptor { cmesh_diag_open($0) }
    guard result >= 0 else {
      throw SystemError(-result, "NETLINK_SOCK_DIAG").meshError(namespace.name, "cannot ask for sockets")
    }
    self.descriptor = Descriptor(owning: result)
    self.name = namespace.name
    self.statistics = Self.file("sockstat", of: namespace)
    self.statistics6 = Self.file("sockstat6", of: namespace)
  }

  private static func file(_ name: String, of namespace: NetworkNamespace) -> CountFile? {
    let result = namespace.withDescriptor { cmesh_netns_file($0, "/proc/thread-self/net/" + name) }
    return result < 0 ? nil : CountFile(Descriptor(owning: result))
  }

  /// Sockets of any kind, and TCP sockets that listen or are connected, by family.
  package struct InUse: Hashable, Sendable {
    package var all: UInt32
    package var v4: UInt32
    package var v6: UInt32

    package init(all: UInt32, v4: UInt32, v6: UInt32) {
      self.all = all
      self.v4 = v4
      self.v6 = v6
    }
  }

  /// A listener that came or went changes it, unless another socket went or came in the same moment. Nil: not known.
  ///
  /// - Parameter last: while nothing else differs from it, IPv6 is taken to be as it was. That is wrong where a socket
  ///   begins to listen that was there before, so give nil now and then.
  package func inUse(since last: InUse? = nil) -> InUse? {
    guard let file = self.statistics?.descriptor.rawValue else { return nil }
    var found = InUse(all: 0, v4: 0, v6: 0)
    guard cmesh_sockets_in_use(file, &found.all, &found.v4) == 0 else { return nil }
    if let last, last.all == found.all, last.v4 == found.v4 { return last }
    guard let file6 = self.statistics6?.descriptor.rawValue else { return found }
    return cmesh_sockets_in_use6(file6, &found.v6) == 0 ? found : nil
  }

  /// More than `limit` is an error. After an error make a new survey.
  package func listeners(limit: Int = 100_000) throws(MeshError) -> [SocketRecord] {
    var found: UnsafeMutablePointer<cmesh_socket>?
    var count = 0
    let result = cmesh_diag_listeners(self.descriptor.rawValue, max(0, limit), &found, &count)
    defer { cmesh_free(found) }
    guard result >= 0 else {
      throw SystemError(-result, "SOCK_DIAG_BY_FAMILY").meshError(self.name, "cannot list listeners")
    }
    return UnsafeBufferPointer(start: found, count: count).map(SocketRecord.init)
  }
}

/// The TCP sockets of the whole host, of every namespace and in every state, in one number that costs what a namespace's costs.
package struct HostSockets: Sendable {
  /// Nil where there is no /proc/net.
  private let statistics: CountFile?
  private let load: CountFile?

  package init() {
    func open(_ path: String) -> CountFile? {
      let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
      return file < 0 ? nil : CountFile(Descriptor(owning: file))
    }
    self.statistics = open("/proc/thread-self/net/sockstat")
    self.load = open("/proc/loadavg")
  }

  /// Differs from an earlier one if TCP sockets came or went, or a task began: whoever opens a socket in the moment in which another
  /// is freed is mostly new itself. Nil: not known.
  package func mark() -> UInt64? {
    guard let count = self.allocated(), let task = self.lastTask() else { return nil }
    return UInt64(count) << 32 | UInt64(task)
  }

  /// The number that was given to a task last (proc_loadavg(5), the fifth field).
  private func lastTask() -> UInt32? {
    guard let file = self.load?.descriptor.rawValue else { return nil }
    return withUnsafeTemporaryAllocation(byteCount: 128, alignment: 1) { buffer in
      let count = pread(file, buffer.baseAddress, buffer.count, 0)
      guard count > 0 else { return nil }
      var number: UInt32 = 0
      for byte in buffer[..<count] {
        if byte == UInt8(ascii: " ") {
          number = 0
        } else if (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
          number = number &* 10 &+ UInt32(byte - UInt8(ascii: "0"))
        }
      }
      return number
    }
  }

  /// A TCP socket that was made or freed anywhere changes it, unless another was freed or made in the same moment. Nil: not known.
  package func allocated() -> UInt32? {
    var count: UInt32 = 0
    guard let file = self.statistics?.descriptor.rawValue, cmesh_tcp_sockets_allocated(file, &count) == 0 else {
      return nil
    }
    return count
  }
}

private final class CountFile: Sendable {
  let descriptor: Descriptor

  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }
}

extension Descriptor {
  /// A socket that accepts connections. One that somebody ended (SOCK_DESTROY) does not any more.
  package var isListening: Bool {
    var answer: CInt = 0
    var size = socklen_t(MemoryLayout<CInt>.size)
    return getsockopt(self.rawValue, SOL_SOCKET, SO_ACCEPTCONN, &answer, &size) == 0 && answer != 0
  }

  /// The kernel's number of a socket, never used twice until the next boot; 0: it is no socket.
  package var socketCookie: UInt64 {
    var cookie: UInt64 = 0
    return cmesh_socket_cookie(self.rawValue, &cookie) == 0 ? cookie : 0
  }
}
