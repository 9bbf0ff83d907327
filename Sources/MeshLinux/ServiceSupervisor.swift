import CMeshLinux
import Glibc

/// systemd, as the service that it started sees it: where to send notices, how often it wants to hear, what it kept.
/// Without systemd nothing is sent and nothing was kept.
package struct ServiceSupervisor: Sendable {
  /// The value of NOTIFY_SOCKET; `@` begins an abstract name.
  package let notifySocket: String?
  /// How often to send `watchdog`: half of the time after which systemd takes the service for hung. Nil: it does not watch.
  package let watchdogInterval: Duration?

  /// A supervisor that hangs must not hang the service.
  private static let sendTimeoutSeconds = 1

  package init(notifySocket: String?, watchdogInterval: Duration? = nil) {
    self.notifySocket = notifySocket
    self.watchdogInterval = watchdogInterval
  }

  /// From a process's environment. The watchdog can be meant for another process (WATCHDOG_PID).
  package init(environment: [String: String], process: Int32) {
    self.notifySocket = environment["NOTIFY_SOCKET"]
    let isMeant = environment["WATCHDOG_PID"].map { Int32($0) == process } ?? true
    if isMeant, let microseconds = environment["WATCHDOG_USEC"].flatMap({ Int64($0) }), microseconds > 1 {
      self.watchdogInterval = .microseconds(microseconds / 2)
    } else {
      self.watchdogInterval = nil
    }
  }

  /// Of this process.
  package static var current: ServiceSupervisor {
    ServiceSupervisor(environment: self.environment, process: getpid())
  }

  static var environment: [String: String] {
    let names = ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]
    var found: [String: String] = [:]
    for name in names { found[name] = getenv(name).map { String(cString: $0) } }
    return found
  }

  /// False if it could not be sent; there is nobody to tell that it matters to.
  @discardableResult
  package func send(_ notice: ServiceNotice, descriptors: [CInt] = []) -> Bool {
    guard let path = self.notifySocket, let socket = Self.connect(to: path) else { return false }
    return (try? DescriptorSocket.send(Array(notice.text.utf8), descriptors: descriptors, over: socket.rawValue)) != nil
  }

  private static func connect(to path: String) -> Descriptor? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var name = Array(path.utf8)
    guard let first = name.first, first == UInt8(ascii: "/") || first == UInt8(ascii: "@"),
      name.count < MemoryLayout.size(ofValue: address.sun_path)
    else { return nil }
    if first == UInt8(ascii: "@") { name[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
    let number = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | SocketType.closeOnExec, 0)
    guard number >= 0 else { return nil }
    let socket = Descriptor(owning: number)
    var timeout = timeval(tv_sec: self.sendTimeoutSeconds, tv_usec: 0)
    setsockopt(number, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    // The length ends with the name: zeros after an abstract name would belong to it.
    let length = socklen_t(MemoryLayout<sa_family_t>.size + name.count)
    let result = withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(number, $0, length) }
    }
    guard result == 0 else { return nil }
    return socket
  }
}
