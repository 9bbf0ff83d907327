import Glibc
import MeshBase
import MeshTestSupport
import Testing

@testable import MeshLinux

@Suite(.serialized) struct ChildProcessRootTests {
  @Test(
    "A program starts in its cgroup and namespace, as another user, without groups, capabilities and new privileges")
  func privileges() throws {
    let world = try World("privileges")
    let pod = try world.node("a").pod("web")
    let child = try ChildProcess.spawn(
      ChildProcess.Configuration(
        "/bin/sleep", ["1000"], cgroup: pod.cgroup, namespace: pod.namespace,
        user: ChildProcess.User(uid: 65534, gid: 65533), noNewPrivileges: true))
    defer { _ = try? child.kill() }
    let status = try String(contentsOfSmallFile: "/proc/\(child.pid)/status")
    func value(_ key: String) -> [Substring] {
      status.split(separator: "\n").first { $0.hasPrefix("\(key):") }?.split { $0.isWhitespace }.dropFirst().map { $0 }
        ?? []
    }
    #expect(value("Uid") == Array(repeating: "65534", count: 4))
    #expect(value("Gid") == Array(repeating: "65533", count: 4))
    #expect(value("Groups") == [])
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
      #expect(value(set) == ["0000000000000000"], "\(set)")
    }
    #expect(value("NoNewPrivs") == ["1"])
    #expect(try pod.cgroup.processes() == [child.pid])
    #expect(try child.handle.cgroupPath().hasSuffix("/\(world.identifier)/a/web"))
    #expect(try NetworkNamespace.open(path: "/proc/\(child.pid)/ns/net") == pod.namespace)
    #expect(getpgid(child.pid) == child.pid)
  }

  @Test("Where the kernel cannot clone into a cgroup, the child moves itself before its program runs")
  func movesItself() throws {
    let world = try World("moves")
    let node = try world.node("a")
    var configuration = ChildProcess.Configuration("/bin/sleep", ["1000"], cgroup: node.cgroup)
    configuration.movesIntoCgroup = true
    let child = try ChildProcess.spawn(configuration)
    #expect(try node.cgroup.processes() == [child.pid])
    #expect(try child.kill())
    #expect(child.wait(milliseconds: 5000) == .signal(SIGKILL))
  }

  @Test("A restarted owner finds a listener in the process that holds it, by inode, and goes on with it")
  func adopts() throws {
    let world = try World("adopts")
    let pod = try world.node("a").pod("web", v4: "10.77.0.2")
    let holder: ChildProcess
    do {
      let listener = try pod.namespace.openListener(SocketEndpoint(.loopbackV4, 15001))
      holder = try ChildProcess.spawn(
        .init("/bin/sleep", ["1000"], descriptors: [20: listener.rawValue], cgroup: pod.cgroup))
    }
    defer { _ = try? holder.kill() }
    let record = try #require(try pod.namespace.sockets().first { $0.isListening })
    let handle = try ProcessHandle.open(pid: holder.pid)
    #expect(try handle.sockets() == [20: UInt64(record.inode)])
    var copied: [String] = []
    handle.copySockets(ports: [15001, 15053]) { listener, facts in
      copied.append("\(facts.isV4) \(facts.isDatagram) \(facts.local) \(listener.rawValue >= 0)")
      #expect(facts.cookie == pod.namespace.cookie)
    }
    #expect(copied == ["true false 127.0.0.1:15001 true"])
    handle.copySockets(ports: [15002]) { _, _ in copied.append("another port") }
    #expect(copied.count == 1)
    let copy = try handle.copyDescriptor(20)
    #expect(fcntl(copy.rawValue, F_GETFD) == FD_CLOEXEC)
    _ = try holder.kill()
    #expect(holder.wait(milliseconds: 5000) == .signal(SIGKILL))
    #expect(try pod.namespace.sockets() == [record])
    #expect(try pod.call("127.0.0.1:15001", timeout: .milliseconds(300)) == .timedOut)
    #expect(throws: MeshError.self) { _ = try handle.sockets() }
  }

  @Test("A cgroup that was removed and made anew under its name is not the one that was meant")
  func recreated() throws {
    let world = try World("recreated")
    let node = try world.node("a")
    let old = try Cgroup.create(under: node.cgroup, name: "x")
    #expect(try Cgroup.open(path: old.path) == old)
    try old.remove()
    try old.remove()
    #expect(!old.exists)
    let new = try Cgroup.create(under: node.cgroup, name: "x")
    #expect(new.id != old.id && new.exists && !old.exists)
    for attempt in [
      { try old.kill() }, { try old.add(pid: getpid()) }, { _ = try old.processes() }, { try old.freeze(true) },
      { _ = try ChildProcess.spawn(.init("/bin/true", cgroup: old)) },
    ] as [() throws -> Void] {
      #expect { try attempt() } throws: { ($0 as? MeshError)?.code == .notFound }
    }
    try old.remove()
    #expect(new.exists)
  }

  @Test("Processes are moved, frozen, thawed and killed; a cgroup tree with processes is not removed")
  func life() throws {
    let world = try World("life")
    let node = try world.node("a")
    let inner = try Cgroup.create(under: try Cgroup.create(under: node.cgroup, name: "x"), name: "y")
    let outer = try Cgroup.open(path: node.cgroup.path + "/x")
    let process = try node.start(["sleep", "1000"])
    try inner.add(pid: process.pid)
    #expect(try inner.processes() == [process.pid])
    #expect(try outer.isPopulated)
    try outer.freeze(true)
    #expect(process.isRunning)
    try outer.freeze(false)
    #expect { try outer.remove() } throws: { ($0 as? MeshError)?.code == .conflict }
    try outer.kill()
    #expect(process.child.wait(milliseconds: 5000) == .signal(SIGKILL))
    try outer.remove()
    #expect(!inner.exists && !outer.exists)
    #expect(throws: MeshError.self) { _ = try Cgroup.create(under: node.cgroup, name: "a/b") }
    #expect(throws: MeshError.self) { _ = try Cgroup.create(under: node.cgroup, name: "..") }
    #expect { _ = try Cgroup.open(path: "/tmp") } throws: { ($0 as? MeshError)?.code == .invalid }
  }

  @Test("A start in a frozen cgroup fails within seconds and leaves no process")
  func frozen() throws {
    let world = try World("frozen")
    let cgroup = try Cgroup.create(under: try world.node("a").cgroup, name: "x")
    try cgroup.freeze(true)
    #expect {
      _ = try ChildProcess.spawn(.init("/bin/sleep", ["1000"], cgroup: cgroup))
    } throws: {
      ($0 as? MeshError)?.code == .unavailable
    }
    #expect(try cgroup.processes() == [])
  }

  @Test("A child outlives the object that started it")
  func survives() throws {
    let world = try World("survives")
    let node = try world.node("a")
    let pid = try ChildProcess.spawn(.init("/bin/sleep", ["1000"], cgroup: node.cgroup)).pid
    #expect(try node.cgroup.processes() == [pid])
    let handle = try ProcessHandle.open(pid: pid)
    #expect(!handle.hasExited)
    try node.cgroup.kill()
    #expect(handle.waitForExit(milliseconds: 5000))
    #expect(waitpid(pid, nil, 0) == pid)
  }

  @Test("A Unix socket's peer is known by pid, user and cgroup")
  func peer() throws {
    let world = try World("peer")
    let pod = try world.node("a").pod("web")
    let path = world.newPath("sock")
    let listener = Descriptor(owning: socket(AF_UNIX, CInt(SOCK_STREAM.rawValue), 0))
    var name = sockaddr_un()
    name.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &name) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener.rawValue, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    #expect(bound == 0 && listen(listener.rawValue, 8) == 0 && chmod(path, 0o777) == 0)
    let process = try pod.start(
      [
        "python3", "-c", "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)",
        path,
      ],
      user: ChildProcess.User(uid: 65534, gid: 65534))
    let accepted = Descriptor(owning: accept(listener.rawValue, nil, nil))
    let peer = try PeerCredentials(ofSocket: accepted.rawValue)
    #expect(peer.pid == process.pid && peer.uid == 65534 && peer.gid == 65534)
    let handle = try PeerCredentials.process(ofSocket: accepted.rawValue)
    #expect(handle.pid == process.pid)
    #expect(try handle.cgroupPath().hasSuffix("/a/web"))
    try process.kill()
    #expect(handle.waitForExit(milliseconds: 5000))
  }
}
