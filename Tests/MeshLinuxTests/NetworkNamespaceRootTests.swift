import Glibc
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

@Suite(.serialized) struct NetworkNamespaceRootTests {
  @Test("A listener inside of a namespace is reachable there, and there only")
  func listener() throws {
    let world = try World("listener")
    let node = try world.node("a")
    let pod = try node.pod("web", v4: "10.77.0.2", v6: "fd77::2")
    let other = try node.pod("other", v4: "10.77.0.3")
    let v4 = try pod.namespace.openListener(SocketEndpoint(.loopbackV4, 15001))
    let v6 = try pod.namespace.openListener(SocketEndpoint(.loopbackV6, 15001), backlog: 16)
    #expect(try NetworkNamespace.cookie(ofSocket: v4.rawValue) == pod.namespace.cookie)
    #expect(fcntl(v4.rawValue, F_GETFL) & O_NONBLOCK != 0)
    #expect(fcntl(v6.rawValue, F_GETFD) == FD_CLOEXEC)
    // The kernel completes the handshake; nobody answers.
    #expect(try pod.call("127.0.0.1:15001", timeout: .milliseconds(500)) == .timedOut)
    #expect(try pod.call("[::1]:15001", timeout: .milliseconds(500)) == .timedOut)
    #expect(try pod.call("10.77.0.2:15001") == .refused)
    #expect(try other.call("127.0.0.1:15001") == .refused)
    #expect(try other.call("10.77.0.2:15001") == .refused)
    #expect(try node.call("127.0.0.1:15001") == .refused)
    // Nobody may share the port, an any-address IPv6 listener does not take IPv4's.
    #expect { _ = try pod.namespace.openListener(SocketEndpoint(.loopbackV4, 15001)) } throws: {
      ($0 as? MeshError)?.code == .conflict
    }
    _ = try pod.namespace.openListener(SocketEndpoint(IPAddress(high: 0, low: 0), 8080))
    _ = try pod.namespace.openListener(SocketEndpoint(IPAddress(v4: 0), 8080))
    #expect(throws: MeshError.self) {
      _ = try pod.namespace.openListener(SocketEndpoint(address("10.99.9.9"), 8080))
    }
  }

  @Test("Each namespace has a cookie of its own; the same one opened twice is equal")
  func cookies() throws {
    let world = try World("cookies")
    let node = try world.node("a")
    let pod = try node.pod("web")
    let again = try NetworkNamespace.open(path: pod.namespacePath)
    #expect(again == pod.namespace && again.inode == pod.namespace.inode)
    #expect(pod.namespace != node.namespace)
    #expect(try NetworkNamespace.current().cookie != pod.namespace.cookie)
    #expect(try NetworkNamespace.current() == NetworkNamespace.current())
    let process = try pod.start(["sleep", "100"])
    #expect(try NetworkNamespace.open(path: "/proc/\(process.pid)/ns/net") == pod.namespace)
  }

  @Test("Streams are made in the namespace, unconnected, non-blocking, many at once")
  func streams() throws {
    let world = try World("streams")
    let pod = try world.node("a").pod("web", v4: "10.77.0.2")
    let one = try pod.namespace.openStream(isV4: false)
    #expect(try NetworkNamespace.cookie(ofSocket: one.rawValue) == pod.namespace.cookie)
    var cookies: [UInt64] = []
    var flags: [CInt] = []
    try pod.namespace.openStreams(isV4: true, count: 64) { socket in
      cookies.append((try? NetworkNamespace.cookie(ofSocket: socket.rawValue)) ?? 0)
      flags.append(fcntl(socket.rawValue, F_GETFL) & O_NONBLOCK)
    }
    #expect(cookies == Array(repeating: pod.namespace.cookie, count: 64))
    #expect(flags.allSatisfy { $0 != 0 })
  }

  @Test("A UDP socket that is bound is nobody else's; unconnected ones are made many at once")
  func datagrams() throws {
    let world = try World("datagrams")
    let pod = try world.node("a").pod("web", v4: "10.77.0.2", v6: "fd77::2")
    let v4 = try pod.namespace.openDatagrams(SocketEndpoint(.loopbackV4, 15053))
    let v6 = try pod.namespace.openDatagrams(SocketEndpoint(.loopbackV6, 15053))
    #expect(fcntl(v4.rawValue, F_GETFL) & O_NONBLOCK != 0 && fcntl(v4.rawValue, F_GETFD) == FD_CLOEXEC)
    for (socket, isV4) in [(v4.rawValue, true), (v6.rawValue, false)] {
      let copy = Descriptor(owning: fcntl(socket, F_DUPFD_CLOEXEC, 3))
      let (facts, others) = (copy.serving(ports: [15053]), copy.serving(ports: [15001]))
      #expect(facts?.isDatagram == true && facts?.isV4 == isV4 && facts?.cookie == pod.namespace.cookie)
      #expect(facts?.local == SocketEndpoint(.loopback(isV4: isV4), 15053))
      #expect(others == nil)
    }
    #expect { _ = try pod.namespace.openDatagrams(SocketEndpoint(.loopbackV4, 15053)) } throws: {
      ($0 as? MeshError)?.code == .conflict
    }
    // The other transport has the port still, and a socket without it serves nobody.
    let listener = try pod.namespace.openListener(SocketEndpoint(.loopbackV4, 15053))
    let listens = listener.serving(ports: [15053])
    #expect(listens?.isDatagram == false)
    let fresh = try pod.namespace.openStream(isV4: true)
    let nobody = fresh.serving(ports: [0, 15053])
    #expect(nobody == nil)
    var cookies: [UInt64] = []
    try pod.namespace.openDatagrams(isV4: false, count: 8) { socket in
      cookies.append((try? NetworkNamespace.cookie(ofSocket: socket.rawValue)) ?? 0)
    }
    #expect(cookies == Array(repeating: pod.namespace.cookie, count: 8))
  }

  @Test("A connection is seen from both ends and can be ended: its owner gets ECONNABORTED, its peer a reset")
  func destroy() throws {
    let world = try World("destroy")
    let node = try world.node("a")
    let web = try node.pod("web", v4: "10.77.0.2", v6: "fd77::2")
    let client = try node.pod("client", v4: "10.77.0.3", v6: "fd77::3")
    try web.startEcho(port: 80)
    for target in ["10.77.0.2", "fd77::2"] {
      let process = try client.start([
        "python3", "-uc",
        """
        import errno, socket, sys
        s = socket.create_connection((sys.argv[1], 80), 5)
        s.settimeout(20)
        print("connected")
        try:
            s.recv(1)
            print("end")
        except OSError as e: print(errno.errorcode[e.errno])
        """, target,
      ])
      #expect(eventually { process.stdout.hasPrefix("connected") })
      let mine = try client.namespace.sockets().filter { $0.state == .established }
      let record = try #require(mine.first { $0.remote == SocketEndpoint(address(target), 80) })
      #expect(record.inode != 0 && record.cookie != 0 && record.uid == 0)
      let theirs = try web.namespace.sockets()
      #expect(theirs.contains { $0.local == record.remote && $0.remote == record.local && $0.state == .established })
      #expect(theirs.filter { $0.isListening && $0.local.port == 80 }.count == 2)
      // Named by its cookie too: another socket with the same addresses is not meant.
      var stranger = record
      stranger.cookie &+= 1
      #expect(try !client.namespace.destroy(stranger))
      #expect(process.isRunning)
      #expect(try client.namespace.destroy(record))
      #expect(try process.finish(within: .seconds(10)).stdout == "connected\nECONNABORTED\n")
      #expect(try !client.namespace.destroy(record))
      #expect(
        try eventually {
          try !web.namespace.sockets().contains { $0.remote == record.local && $0.state == .established }
        })
    }
  }

  @Test("A listener that is ended is told by the poll of many, also if its error was read or somebody waits in it")
  func endedListeners() throws {
    let world = try World("ended-listeners")
    let pod = try world.node("a").pod("web")
    let quiet = try pod.namespace.openListener(SocketEndpoint(.loopbackV4, 1000))
    let busy = try pod.namespace.openListener(SocketEndpoint(.loopbackV6, 1001))
    let other = try pod.namespace.openListener(SocketEndpoint(.loopbackV4, 1002))
    let poll = try ListenerPoll([quiet.rawValue, busy.rawValue, other.rawValue])
    #expect(poll.ended() == [])
    let caller = try pod.start([
      "python3", "-uc", "import socket; s = socket.create_connection(('::1', 1001), 5); print('in'); s.recv(1)",
    ])
    #expect(eventually { caller.stdout.hasPrefix("in") })
    #expect(poll.ended() == [])
    for (port, ended) in [(UInt16(1000), [0]), (1001, [0, 1])] {
      let record = try #require(
        try pod.namespace.sockets().first { $0.isListening && $0.local.port == port })
      #expect(try pod.namespace.destroy(record))
      #expect(poll.ended() == ended)
      var error: CInt = 0
      var size = socklen_t(MemoryLayout<CInt>.size)
      _ = getsockopt(quiet.rawValue, SOL_SOCKET, SO_ERROR, &error, &size)
      #expect(poll.ended() == ended)
    }
    let (isQuiet, isBusy, isOther) = (quiet.isListening, busy.isListening, other.isListening)
    #expect(!isQuiet && !isBusy && isOther)
  }

  @Test("More sockets than the limit are an error, not a part of the truth")
  func limit() throws {
    let world = try World("limit")
    let pod = try world.node("a").pod("web")
    let listeners = ListenerHolder()
    for port in 1000..<1010 { listeners.add(try pod.namespace.openListener(SocketEndpoint(.loopbackV4, UInt16(port)))) }
    #expect(try pod.namespace.sockets(limit: 10).count == 10)
    #expect { _ = try pod.namespace.sockets(limit: 9) } throws: { ($0 as? MeshError)?.code == .exhausted }
  }

  @Test("A dump of 3,000 sockets is whole")
  func many() throws {
    let world = try World("many")
    let pod = try world.node("a").pod("web")
    let listeners = ListenerHolder()
    _ = try DescriptorLimit.raise()
    for port in 10_000..<13_000 {
      listeners.add(try pod.namespace.openListener(SocketEndpoint(.loopbackV4, UInt16(port))))
    }
    let ports = Set(try pod.namespace.sockets().map(\.local.port))
    #expect(ports == Set(10_000..<13_000))
  }

  @Test("200 namespaces made, opened, listed and removed leave no descriptor and no namespace")
  func cycles() throws {
    let world = try World("cycles")
    let node = try world.node("a")
    var before = 0
    for cycle in 0..<200 {
      let pod = try node.pod("p\(cycle)", v4: "10.77.1.\(cycle + 1)")
      do {
        let listener = try pod.namespace.openListener(SocketEndpoint(.loopbackV4, 15001))
        #expect(try pod.namespace.addresses().count == 1)
        #expect(try pod.namespace.peerInterfaces(in: node.namespace).count == 1)
        #expect(try pod.namespace.sockets().count == 1)
        #expect(listener.rawValue >= 0)
      }
      try pod.remove()
      if cycle == 0 { before = try Self.descriptors() }
    }
    // The pod of the last pass has gone with its descriptor, as that of the first had not when they were counted.
    #expect(try Self.descriptors() <= before)
    // Without namespaces no veth: the kernel takes them down a moment after the last descriptor.
    #expect(
      try eventually(within: .seconds(20)) {
        try !node.run(["ip", "-o", "link", "show", "type", "veth"]).stdout.contains("@")
      })
  }

  private static func descriptors() throws -> Int {
    try #require(
      opendir("/proc/self/fd").map { directory in
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        return count
      })
  }
}

/// Keeps listeners open for as long as a test runs.
private final class ListenerHolder {
  private var descriptors: [CInt] = []

  func add(_ descriptor: consuming Descriptor) { self.descriptors.append(descriptor.release()) }

  deinit { for descriptor in self.descriptors { close(descriptor) } }
}
