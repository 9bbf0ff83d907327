import Foundation
import Logging
import MeshBase
import MeshLink
import MeshNet
import MeshProxy
import MeshSnapshot
import NIOPosix
import Synchronization
import Testing

/// A proxy in this process, and the agent's end of its sockets in the hands of a test.
final class ProxyBench: Sendable {
  static let original = SocketEndpoint(IPAddress(v4: 0x0a60_0001), 80)
  static let workload: UInt32 = 7
  static let cookie: UInt64 = 4711
  static let key = ListenerKey(workload: workload, namespaceCookie: cookie, isV4: true)

  let directory: String
  /// The application's: what the proxy dials.
  let server: CInt
  /// The agent's copy of the listener, as of a workload's namespace.
  let listener: CInt
  private let events = Mutex<[ProxyLinkEvent]>([])
  private let proxies = Mutex<[Task<Void, any Error>]>([])
  private let agent = Mutex<ProxyLinkServer?>(nil)

  init() throws {
    var template = Array("/tmp/mesh-proxy-XXXXXX".utf8CString)
    let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
    self.directory = String(cString: try #require(made))
    self.server = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    self.listener = try LocalListener.open(SocketEndpoint(.loopbackV4, 0))
    _ = fcntl(self.server, F_SETFL, 0)
  }

  private var logger: Logger { Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }) }

  func startProxy() -> Task<Void, any Error> {
    let proxy = Proxy(
      ProxyConfiguration(runDirectory: self.directory, loops: 2, drainTimeoutSeconds: 10), logger: self.logger,
      flow: { cookie in
        .init { _ in
          .success(
            AcceptedFlow(original: Self.original, sourceWorkload: Self.workload, namespaceCookie: cookie))
        }
      })
    let task = Task { try await proxy.run() }
    self.proxies.withLock { $0.append(task) }
    return task
  }

  /// An agent that gives `stockAddress` as local address to every upstream socket, to tell them apart.
  func startAgent(stockAddress: UInt32) async throws {
    self.events.withLock { $0 = [] }
    let box = Box()
    let server = ProxyLinkServer(
      configuration: .init(runDirectory: self.directory, proxyUser: getuid(), proxyGroup: getgid()),
      group: MultiThreadedEventLoopGroup.singleton, logger: self.logger,
      onEvent: { event in
        self.events.withLock { $0.append(event) }
        if case .stockWanted(let request) = event, request.isForNames {
          box.value.withLock { $0 }?.sendNameStock(
            (0..<request.count).map { _ in Self.datagramSocket(0) }, Self.key)
        } else if case .stockWanted(let request) = event {
          box.value.withLock { $0 }?.sendStock(
            (0..<request.count).map { _ in Self.stockSocket(stockAddress) }, workload: request.workload, leg: 1,
            isV4: request.isV4)
        }
      })
    box.value.withLock { $0 = server }
    self.agent.withLock { $0 = server }
    try await server.start()
    server.publish(try self.snapshot(), revision: 1)
    _ = try await self.event { if case .connected = $0 { true } else { nil } }
    try self.sendListener()
    _ = try await self.event { $0 == .applied(revision: 1) ? true : nil }
  }

  /// Runs a shell line: `$0` is the program martlet-proxy of this build, `$1` the argument.
  static func startProgram(_ line: String, _ argument: String) throws -> Process {
    let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", line, root + "/.build/debug/martlet-proxy", argument]
    try process.run()
    return process
  }

  func sendListener() throws {
    try self.agent.withLock { $0 }?.sendListener(self.listener, Self.key)
  }

  /// Hands over what names are answered on.
  func sendNames(datagrams: CInt, listener: CInt) throws {
    let agent = self.agent.withLock { $0 }
    try agent?.sendNameListener(datagrams, isDatagram: true, Self.key)
    try agent?.sendNameListener(listener, isDatagram: false, Self.key)
  }

  /// Says who is asked for other names.
  func useNameServer(_ server: SocketEndpoint) {
    self.agent.withLock { $0 }?.useNameServers([server], namespaceCookie: Self.cookie)
  }

  func stopAgent() async {
    let agent = self.agent.withLock { agent in
      defer { agent = nil }
      return agent
    }
    await agent?.stop()
  }

  func retainNames(_ cookies: [UInt64]) { self.agent.withLock { $0 }?.retainNames(namespaceCookies: cookies) }

  func withdraw() { self.agent.withLock { $0 }?.withdraw(workload: Self.workload) }

  func end() async throws {
    let proxies = self.proxies.withLock { $0 }
    for proxy in proxies { proxy.cancel() }
    for proxy in proxies { try await proxy.value }
    await self.stopAgent()
    close(self.server)
    close(self.listener)
    unlink(self.directory + "/proxy.sock")
    unlink(self.directory + "/fds.sock")
    rmdir(self.directory)
  }

  /// Waits up to thirty seconds for an event since the agent's start.
  func event<Found>(_ select: (ProxyLinkEvent) -> Found?) async throws -> Found {
    for _ in 0..<3000 {
      if let found = self.events.withLock({ $0 }).lazy.compactMap(select).first { return found }
      try await Task.sleep(for: .milliseconds(10))
    }
    throw MeshError(.unavailable, "test", "an expected event did not come", cause: "\(self.events.withLock { $0 })")
  }

  private func snapshot() throws -> Snapshot {
    let name = try #require(ResourceName("a/web"))
    let version = ContentVersion(value: 1)
    let port = ServicePort(port: 80, backends: [Backend(service: name, port: 80)])
    let endpoint = Endpoint(
      addresses: [.loopbackV4], ports: [PortMapping(servicePort: 80, targetPort: Self.port(of: self.server))])
    return Snapshot([
      VersionedEntry(.config(ConfigEntry(trustDomain: "m", connectTimeoutMilliseconds: 2000)), version: version),
      VersionedEntry(
        .service(ServiceEntry(name: name, addresses: [Self.original.address], ports: [port])), version: version),
      VersionedEntry(.endpoints(EndpointsEntry(service: name, endpoints: [endpoint])), version: version),
    ])
  }

  // MARK: sockets

  static func address(_ ip: UInt32, _ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = ip.bigEndian
    return address
  }

  static func with<Result>(
    _ address: sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
  ) -> Result {
    withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
  }

  static func stockSocket(_ ip: UInt32) -> CInt {
    let fd = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    _ = Self.with(Self.address(ip, 0)) { bind(fd, $0, $1) }
    return fd
  }

  /// A UDP socket, bound on loopback if there is a port.
  static func datagramSocket(_ port: UInt16) -> CInt {
    let fd = socket(AF_INET, CInt(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    if port != 0 { #expect(Self.with(Self.address(0x7f00_0001, port)) { bind(fd, $0, $1) } == 0) }
    Self.limit(fd)
    return fd
  }

  private static func name(_ fd: CInt, peer: Bool) -> sockaddr_in {
    var address = sockaddr_in()
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      _ = $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        peer ? getpeername(fd, $0, &size) : getsockname(fd, $0, &size)
      }
    }
    return address
  }

  static func port(of fd: CInt) -> UInt16 { UInt16(bigEndian: Self.name(fd, peer: false).sin_port) }

  static func peer(of fd: CInt) -> UInt32 { UInt32(bigEndian: Self.name(fd, peer: true).sin_addr.s_addr) }

  static func limit(_ fd: CInt, seconds: Int = 10) {
    var limit = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  static func dial(port: UInt16) -> CInt {
    let fd = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    #expect(Self.with(Self.address(0x7f00_0001, port)) { connect(fd, $0, $1) } == 0)
    Self.limit(fd)
    return fd
  }

  /// Whether somebody listens at the port.
  static func accepts(port: UInt16) -> Bool {
    let fd = socket(AF_INET, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    defer { close(fd) }
    return Self.with(Self.address(0x7f00_0001, port)) { connect(fd, $0, $1) } == 0
  }

  func dial() -> CInt { Self.dial(port: Self.port(of: self.listener)) }

  /// The application's end of a connection; negative if none comes for so long.
  func accept(seconds: Int = 10) -> CInt {
    Self.limit(self.server, seconds: seconds)
    let fd = Glibc.accept(self.server, nil, nil)
    if fd >= 0 { Self.limit(fd) }
    return fd
  }

  /// Waits, at most 20 s, until a dial is not passed on for a second.
  func nobodyAccepts() -> Bool {
    let start = ContinuousClock.now
    while ContinuousClock.now - start < .seconds(20) {
      let dialled = self.dial()
      defer { close(dialled) }
      let accepted = self.accept(seconds: 1)
      guard accepted >= 0 else { return true }
      close(accepted)
      usleep(50_000)
    }
    return false
  }

  static func send(_ fd: CInt, _ byte: UInt8) -> Bool {
    var byte = byte
    return Glibc.send(fd, &byte, 1, CInt(MSG_NOSIGNAL)) == 1
  }

  /// One byte; 0 at FIN; -errno.
  static func receive(_ fd: CInt) -> Int {
    var byte: UInt8 = 0
    let count = recv(fd, &byte, 1, 0)
    return count < 0 ? -Int(errno) : count == 0 ? 0 : Int(byte)
  }
}

/// A place for a value that a closure needs before it exists.
private final class Box: Sendable {
  let value = Mutex<ProxyLinkServer?>(nil)
}
