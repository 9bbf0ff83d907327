import Glibc
import MeshBase
import MeshTestSupport
import Testing

@testable import MeshLinux

@Suite("What a service tells systemd")
struct ServiceNoticeTests {
  @Test("each notice is the lines that sd_notify(3) names")
  func lines() {
    #expect(ServiceNotice.ready.text == "READY=1")
    #expect(ServiceNotice.stopping.text == "STOPPING=1")
    #expect(ServiceNotice.watchdog.text == "WATCHDOG=1")
    #expect(ServiceNotice.reloading(monotonicMicroseconds: 42).text == "RELOADING=1\nMONOTONIC_USEC=42")
    #expect(ServiceNotice.ready.and(.status("3 workloads")).text == "READY=1\nSTATUS=3 workloads")
    #expect(ServiceNotice.store(name: "outbound-v4-7")?.text == "FDSTORE=1\nFDNAME=outbound-v4-7")
    #expect(ServiceNotice.remove(name: "outbound-v4-7")?.text == "FDSTOREREMOVE=1\nFDNAME=outbound-v4-7")
  }

  @Test("a status cannot add a line of its own", arguments: ["a\nREADY=1", "a\r\nREADY=1", "a\u{2028}READY=1"])
  func injection(text: String) {
    #expect(ServiceNotice.status(text).text == "STATUS=a READY=1")
  }

  @Test("a name that systemd would not take makes no notice")
  func names() {
    for name in ["", "a:b", "a\nb", "a b", "\u{7f}", "ä", String(repeating: "x", count: 256)] {
      #expect(ServiceNotice.store(name: name) == nil)
      #expect(ServiceNotice.remove(name: name) == nil)
    }
    #expect(ServiceNotice.store(name: String(repeating: "x", count: 255)) != nil)
  }
}

@Suite("systemd as its service sees it")
struct ServiceSupervisorTests {
  @Test("the watchdog is fed at half its time, and only by the process that it is meant for")
  func watchdog() {
    func interval(_ environment: [String: String]) -> Duration? {
      ServiceSupervisor(environment: environment, process: 10).watchdogInterval
    }
    #expect(interval(["WATCHDOG_USEC": "30000000"]) == .seconds(15))
    #expect(interval(["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "10"]) == .seconds(15))
    #expect(interval(["WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "11"]) == nil)
    for value in ["", "x", "0", "-5", "1", "99999999999999999999"] {
      #expect(interval(["WATCHDOG_USEC": value]) == nil)
    }
    #expect(interval([:]) == nil)
  }

  @Test("a socket name that is none is refused, not trapped on")
  func hostile() {
    for path in ["", "relative", "/nonexistent/notify", "/" + String(repeating: "x", count: 200), "@mt-nobody-here"] {
      #expect(!ServiceSupervisor(notifySocket: path).send(.ready))
    }
    #expect(!ServiceSupervisor(notifySocket: nil).send(.ready))
  }

  @Test("a notice and its descriptor arrive in one datagram", arguments: [false, true])
  func arrives(isAbstract: Bool) throws {
    let directory = "/tmp/mt-notify-\(getpid())-\(isAbstract)"
    try DiskFile.makeDirectory(directory, mode: 0o700)
    defer {
      unlink(directory + "/notify")
      rmdir(directory)
    }
    let path = (isAbstract ? "@" : "") + directory + "/notify"
    let receiver = Descriptor(owning: socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    var name = Array(path.utf8)
    if isAbstract { name[0] = 0 }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name) }
    let bound = withUnsafePointer(to: address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(receiver.rawValue, $0, socklen_t(MemoryLayout<sa_family_t>.size + name.count))
      }
    }
    #expect(bound == 0)
    let (reading, writing) = try Descriptor.pipe().split()
    defer {
      close(reading)
      close(writing)
    }
    let notice = try #require(ServiceNotice.store(name: "outbound-v4-1"))
    #expect(ServiceSupervisor(notifySocket: path).send(notice, descriptors: [reading]))
    guard var message = try DescriptorSocket.receive(from: receiver.rawValue) else {
      Issue.record("nothing arrived")
      return
    }
    #expect(String(decoding: message.payload, as: UTF8.self) == "FDSTORE=1\nFDNAME=outbound-v4-1")
    guard let descriptor = message.takeDescriptor() else {
      Issue.record("no descriptor arrived")
      return
    }
    var byte: UInt8 = 7
    let arrived = write(writing, &byte, 1) == 1 && read(descriptor.rawValue, &byte, 1) == 1
    #expect(arrived)
  }
}

@Suite("Descriptors that systemd kept")
struct StoredDescriptorsTests {
  private static func list(_ environment: [String: String]) -> [String] {
    StoredDescriptors.list(environment, process: 10).map { "\($0.number) \($0.name)" }
  }

  @Test("numbers go up from 3, with their names")
  func names() {
    #expect(Self.list(["LISTEN_PID": "10", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"]) == ["3 a", "4 b"])
    #expect(Self.list(["LISTEN_PID": "10", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a"]) == ["3 a", "4 unknown"])
    #expect(Self.list(["LISTEN_PID": "10", "LISTEN_FDS": "1"]) == ["3 unknown"])
  }

  @Test(
    "what is not meant for this process, or makes no sense, is nothing",
    arguments: [
      ["LISTEN_PID": "11", "LISTEN_FDS": "1"], ["LISTEN_FDS": "1"], ["LISTEN_PID": "10"],
      ["LISTEN_PID": "10", "LISTEN_FDS": "-1"], ["LISTEN_PID": "10", "LISTEN_FDS": "0"],
      ["LISTEN_PID": "10", "LISTEN_FDS": "999999999999"], ["LISTEN_PID": "10", "LISTEN_FDS": "x"],
    ])
  func hostile(environment: [String: String]) {
    #expect(Self.list(environment) == [])
  }
}
