import CMeshABI
import Foundation
import MeshBase
import Testing

@testable import MeshBPF

/// The hooks end to end: real sockets in real namespaces, entries written by hand.
@Suite(.serialized)
struct HookRootTests {
  @Test("a service address leads to the endpoint; the client sees what it dialled, the server sees the client")
  func steer() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080", "\(Rig.serverIP6),8080")

    let v4 = try rig.probe("client", "connect \(Rig.vip) 80")
    #expect(v4.errno == 0)
    #expect(v4.peername == "\(Rig.vip),80")
    #expect(v4.seenPeer == Rig.clientIP)
    #expect(v4.seenLocal == "\(Rig.serverIP),8080")

    let v6 = try rig.probe("client", "connect \(Rig.vip6) 80")
    #expect(v6.errno == 0)
    #expect(v6.peername == "\(Rig.vip6),80")
    #expect(v6.seenPeer == Rig.clientIP6)

    let mapped = try rig.probe("client", "connect ::ffff:\(Rig.vip) 80")
    #expect(mapped.errno == 0)
    #expect(mapped.peername == "::ffff:\(Rig.vip),80")
    #expect(mapped.seenPeer == Rig.clientIP)

    let bound = try rig.probe("client", "connect \(Rig.vip) 80 --device eth0")
    #expect(bound.errno == 0)
    #expect(try rig.count(MESH_HOOK_LOOKUP, MESH_REASON_NONE) == 4)
    #expect(try rig.count(MESH_HOOK_CONNECT, MESH_REASON_NONE) == 4)
  }

  @Test("what may not be, fails in connect() at once with ECONNREFUSED and its reason")
  func refusals() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080")
    let refused = Int(ECONNREFUSED)
    func expect(_ target: String, _ reason: mesh_reason, _ comment: Comment) throws {
      let before = try rig.count(MESH_HOOK_CONNECT, reason)
      let answer = try rig.probe("client", "connect \(target)")
      #expect(answer.errno == refused, comment)
      #expect(answer.milliseconds < 100, comment)
      #expect(try rig.count(MESH_HOOK_CONNECT, reason) == before + 1, comment)
    }
    try rig.service("240.7.0.2", port: 80, id: 20, endpoint: nil)
    try expect("240.7.0.2 80", MESH_REASON_NO_ENDPOINT, "no ready endpoint")
    try expect("\(Rig.vip) 81", MESH_REASON_NO_SERVICE_PORT, "unknown port of a service")
    try expect("::ffff:\(Rig.vip) 81", MESH_REASON_NO_SERVICE_PORT, "the same, v4-mapped")
    try expect("240.7.0.99 80", MESH_REASON_UNKNOWN_VIP, "unknown address of the VIP range")
    try expect("fd6d:6573:6800::99 80", MESH_REASON_UNKNOWN_VIP, "the same in IPv6")
    try expect("\(Rig.serverIP) 15008", MESH_REASON_MESH_PORT, "a port of the mesh")
    try expect("\(Rig.clientIP) 15001", MESH_REASON_MESH_PORT, "its own, by its own address")
    try rig.rule(group: 3, allow: false)
    try rig.guardWorkload(Rig.server, group: 3)
    try expect("\(Rig.vip) 80", MESH_REASON_NOT_ALLOWED, "denied by policy")
    try rig.datapath.guards.delete(mesh_guard_key(generation: Rig.generation, workload: Rig.server))
    try expect("\(Rig.vip) 80", MESH_REASON_POLICY_MISSING, "policy is not there yet")
    rig.datapath.config.generation = 0
    try expect("\(Rig.vip) 80", MESH_REASON_NOT_READY, "nothing published yet")
    let loopback = try rig.probe("client", "connect 127.0.0.1 9")
    #expect(loopback.errno == refused)
    #expect(try rig.count(MESH_HOOK_CONNECT, MESH_REASON_NONE) >= 1, "loopback is untouched, even so")
  }

  @Test("a rule for one class and port is found before the one for everybody")
  func policy() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080", "\(Rig.serverIP),8081")
    try rig.datapath.classes.put(
      mesh_class_key(generation: Rig.generation, workload: Rig.client, family: 4, zero32: 0), 6)
    try rig.rule(group: 4, sourceClass: 6, port: 8080, allow: true)
    try rig.rule(group: 4, allow: false)
    try rig.guardWorkload(Rig.server, group: 4)
    #expect(try rig.probe("client", "connect \(Rig.serverIP) 8080").errno == 0)
    #expect(try rig.probe("client", "connect \(Rig.serverIP) 8081").errno == Int(ECONNREFUSED))
  }

  @Test("the relay gets the connection on loopback and reads the flow of the accepted socket")
  func relay() throws {
    let rig = try Rig.make()
    try rig.service("240.7.0.3", port: 80, id: 30, endpoint: Rig.serverIP, mode: MESH_MODE_PROXY)
    try rig.service("fd6d:6573:6800::3", port: 80, id: 31, endpoint: Rig.serverIP6, mode: MESH_MODE_PROXY)
    try rig.serve("client", "127.0.0.1,15001", "::1,15001", cgroup: "proxy")

    for (target, original, level) in [
      ("240.7.0.3", "240.7.0.3", "original4"), ("fd6d:6573:6800::3", "fd6d:6573:6800::3", "original6"),
      ("::ffff:240.7.0.3", "240.7.0.3", "original4"),
    ] {
      let answer = try rig.probe("client", "connect \(target) 80")
      #expect(answer.errno == 0, "\(target)")
      #expect(answer.peername == "\(target),80")
      let flow = try #require(answer.seenFlow, "\(target)")
      #expect(flow.original.matches(original))
      #expect(flow.original_port_be == UInt16(80).bigEndian)
      #expect(flow.source_workload == Rig.client)
      #expect(flow.tier == UInt8(MESH_TIER_RELAY.rawValue))
      #expect(flow.service == (original.contains(":") ? 31 : 30))
      let address = try #require(answer.seenBytes(level), "SO_ORIGINAL_DST of \(target)")
      #expect(Array(address[2..<4]) == [0, 80])
      if level == "original4" { #expect(Array(address[4..<8]) == [240, 7, 0, 3]) }
      #expect(answer.seenBytes("short") == nil, "a buffer that is too small gets no half a flow")
    }

    let bound = try rig.probe("client", "connect 240.7.0.3 80 --device eth0")
    #expect(bound.errno == 0, "a socket bound to a device reaches loopback")

    let direct = try rig.probe("client", "connect 127.0.0.1 15001")
    #expect(direct.errno == 0)
    #expect(direct.seenFlow == nil, "who dials the relay's own port has no flow")
    #expect(try rig.datapath.flows.count() == 0, "every handshake ended")
  }

  @Test("the destination refuses plaintext from outside by address, and admits what was steered")
  func outside() throws {
    let rig = try Rig.make()
    try rig.serve("server", "0.0.0.0,8080", "\(Rig.serverIP6),8080")
    #expect(try rig.probe("outside", "connect \(Rig.serverIP) 8080").errno == 0, "no policy")

    // Class 2: 10.77.0.13 and nobody else.
    try rig.datapath.networks.put(
      mesh_network_key(prefixlen: 32 + 128, generation: Rig.generation, address: Rig.address(Rig.outsideIP)), 2)
    try rig.datapath.classes.put(
      mesh_class_key(generation: Rig.generation, workload: Rig.client, family: 4, zero32: 0), 3)
    try rig.rule(group: 5, sourceClass: 2, allow: false)
    try rig.rule(group: 5, sourceClass: 3, allow: true)
    try rig.rule(group: 5, allow: false)
    try rig.guardWorkload(Rig.server, group: 5)
    let denied = try rig.probe("outside", "connect \(Rig.serverIP) 8080")
    #expect(denied.errno == Int(ECONNREFUSED), "a RST, at once")
    #expect(denied.milliseconds < 100)
    #expect(try rig.count(MESH_HOOK_LOOKUP, MESH_REASON_NOT_ALLOWED) == 1)
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == 0)
    // A client whose connect hook is not ours (another cgroup) is plaintext: its address decides (BP-11).
    let unhooked = try Commands.run([
      "nsenter", "--net=\(rig.namespacePath("client"))", Commands.python, Commands.probe, "connect", Rig.serverIP,
      "8080",
    ])
    #expect(try Answer(unhooked).errno == Int(ECONNREFUSED))

    try rig.rule(group: 5, sourceClass: 2, port: 8080, allow: true)
    #expect(try rig.probe("outside", "connect \(Rig.serverIP) 8080").errno == 0, "allowed by address and port")

    try Commands.ip("-n \(rig.prefix)server addr add 10.77.0.77/24 dev eth0")
    #expect(try rig.probe("outside", "connect 10.77.0.77 8080").errno == Int(ECONNREFUSED))
    #expect(try rig.count(MESH_HOOK_LOOKUP, MESH_REASON_UNKNOWN_ADDRESS) == 1)
    #expect(try rig.probe("outside", "connect \(Rig.serverIP) 15006").errno == Int(ECONNREFUSED))
    #expect(try rig.count(MESH_HOOK_LOOKUP, MESH_REASON_MESH_PORT) == 1)
    // Within the namespace nothing is asked.
    #expect(try rig.probe("server", "connect 127.0.0.1 8080").errno == 0)
    #expect(try rig.probe("server", "connect \(Rig.serverIP) 8080").errno == 0)
  }

  @Test("the proxy's cgroup dials only with tagged sockets")
  func untagged() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080")
    var status = stat()
    #expect(stat(rig.cgroup + "/proxy", &status) == 0)
    rig.datapath.config.configure { $0.proxy_cgroup = UInt64(status.st_ino) }
    let refused = try rig.probe("client", "connect \(Rig.serverIP) 8080", cgroup: "proxy")
    #expect(refused.errno == Int(ECONNREFUSED))
    #expect(try rig.count(MESH_HOOK_CONNECT, MESH_REASON_UNTAGGED) == 1)
    let elsewhere = try rig.probe("outside", "connect \(Rig.serverIP) 8080", cgroup: "proxy")
    #expect(elsewhere.errno == Int(ECONNREFUSED), "also from a namespace of no workload")
    #expect(try rig.probe("client", "connect \(Rig.serverIP) 8080").errno == 0, "others are not concerned")
    // The storage itself: written and read by descriptor.
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    try rig.datapath.tag(socket: socket, as: mesh_leg(workload: 7, leg: UInt32(MESH_LEG_OUTBOUND)))
    #expect(try rig.datapath.legs.get(socket)?.workload == 7)
  }

  @Test("TCP Fast Open and MPTCP are steered as well (BP-09, BP-10)")
  func otherWays() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080", "\(Rig.serverIP6),8080")
    for way in ["sendto", "option"] {
      // Twice: the first gets a cookie, the second sends data in the SYN.
      for _ in 0..<2 {
        let answer = try rig.probe("client", "connect \(Rig.vip) 80 --tfo \(way)")
        #expect(answer.errno == 0, "\(way)")
        #expect(answer.seenLocal == "\(Rig.serverIP),8080")
      }
    }
    let refused = try rig.probe("client", "connect \(Rig.vip) 81 --tfo sendto")
    #expect(refused.errno == Int(ECONNREFUSED))
    let several = try rig.probe("client", "connect \(Rig.vip) 80 --mptcp")
    // A kernel without MPTCP has nothing to steer.
    if !several.unsupported {
      #expect(several.errno == 0)
      #expect(several.seenLocal == "\(Rig.serverIP),8080")
      #expect(several.peername == "\(Rig.vip),80", "the outer socket's name, though a subflow was steered")
      let native = try rig.probe("client", "connect \(Rig.vip6) 80 --mptcp")
      #expect(native.peername == "\(Rig.vip6),80")
      let mapped = try rig.probe("client", "connect ::ffff:\(Rig.vip) 80 --mptcp")
      #expect(mapped.peername == "::ffff:\(Rig.vip),80")
      #expect(try rig.probe("client", "connect \(Rig.vip) 81 --mptcp").errno == Int(ECONNREFUSED))
    }
  }

  @Test("a socket that is connected, disconnected and connected elsewhere has the newest flow only (BP-07)")
  func reconnect() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080", "\(Rig.serverIP),8081")
    try rig.serve("outside", "\(Rig.outsideIP),9000")
    try rig.service("240.7.0.4", port: 80, id: 40, endpoint: Rig.serverIP, endpointPort: 8081)
    let answer = try rig.probe(
      "client", "reconnect \(Rig.vip),80 240.7.0.4,80 \(Rig.outsideIP),9000 \(Rig.vip),81 \(Rig.vip),80")
    let codes = answer.list("codes").compactMap { ($0 as? NSNumber)?.intValue }
    #expect(codes == [0, 0, 0, Int(ECONNREFUSED), 0])
    let peers = answer.list("peers").map { Answer.endpoint($0) }
    #expect(peers == ["\(Rig.vip),80", "240.7.0.4,80", "\(Rig.outsideIP),9000", nil, "\(Rig.vip),80"])
  }

  /// MARTLET_REUSES=100000 is the row's size. The kernel itself drops about one SYN of 5,000 reuses, also without any
  /// mesh, and sends it again after a second.
  @Test("one 4-tuple again and again to two services in turn: never the other's flow (BP-03)")
  func tupleReuse() throws {
    let rig = try Rig.make()
    try rig.service("240.7.0.3", port: 80, id: 30, endpoint: Rig.serverIP, mode: MESH_MODE_PROXY)
    try rig.service("240.7.0.4", port: 80, id: 40, endpoint: Rig.serverIP, mode: MESH_MODE_PROXY)
    try rig.serve("client", "127.0.0.1,15001", cgroup: "proxy")
    let count = ProcessInfo.processInfo.environment["MARTLET_REUSES"].flatMap { Int($0) } ?? 1000
    let answer = try rig.probe(
      "client", "reuse 127.0.0.1 240.7.0.3,80 240.7.0.4,80 --count \(count)", seconds: 60 + count / 100)
    #expect(try answer.number("wrong") == 0)
    #expect(try answer.number("errors") == 0)
    #expect(try rig.datapath.flows.count() == 0)
  }

  @Test("a flow that another generation decided is judged again at the destination")
  func generations() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080")
    // Allowed at connect by generation 5, published as such; the destination has 6, which denies.
    try rig.rule(group: 8, allow: false, generation: 6)
    try rig.guardWorkload(Rig.server, group: 8, generation: 6)
    try rig.datapath.flows.beside.put(
      mesh_tuple(
        local: Rig.address(Rig.serverIP), remote: Rig.address(Rig.clientIP), netns_cookie: 0,
        local_port_be: UInt16(8080).bigEndian, remote_port_be: UInt16(41_500).bigEndian, zero32: 0),
      Self.flow(generation: 5))
    rig.datapath.config.generation = 6
    let unhooked = try Commands.run([
      "nsenter", "--net=\(rig.namespacePath("client"))", Commands.python, Commands.probe, "connect", Rig.serverIP,
      "8080", "--source", "\(Rig.clientIP),41500",
    ])
    #expect(try Answer(unhooked).errno == Int(ECONNREFUSED))
    #expect(try rig.count(MESH_HOOK_LOOKUP, MESH_REASON_NOT_ALLOWED) == 1)
  }

  private static func flow(generation: UInt32) -> mesh_flow {
    var flow = mesh_flow()
    flow.source_workload = Rig.client
    flow.destination_workload = Rig.server
    flow.generation = generation
    flow.verdict = UInt8(MESH_VERDICT_ALLOW.rawValue)
    flow.tier = UInt8(MESH_TIER_KERNEL.rawValue)
    return flow
  }

  @Test("edge drops frames with a source that is not the workload's, and no others")
  func edge() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080", "\(Rig.serverIP6),8080")
    let interface = try rig.interface("client")
    try rig.datapath.veths.put(interface, mesh_veth(workload: Rig.client, v4_be: 0, v6: mesh_addr()))
    try onThread(in: rig.namespacePath("node")) { try rig.datapath.attachEdge(interface: interface) }
    try self.expectEdge(rig)
    // The same with the addresses in the veth's own row, as the agent writes it, and with a row that names another one.
    let v4 = UInt32(truncatingIfNeeded: Rig.address(Rig.clientIP).lo_be >> 32)
    for (first, second) in [(v4, Rig.address(Rig.clientIP6)), (v4 ^ 1 << 31, Rig.address("fd77::99"))] {
      try rig.datapath.veths.put(interface, mesh_veth(workload: Rig.client, v4_be: first, v6: second))
      try self.expectEdge(rig)
    }
    // A veth of nobody is not concerned.
    try rig.datapath.veths.delete(interface)
    #expect(try self.dropped(rig, "ipv4 --source \(Rig.outsideIP) --destination \(Rig.serverIP)") == 0)
    rig.datapath.detachEdge(interface: interface)
  }

  /// Frames that the edge drops of five.
  private func dropped(_ rig: Rig, _ arguments: String) throws -> UInt64 {
    let before = try rig.count(MESH_HOOK_EDGE, MESH_REASON_FORGED_SOURCE)
    _ = try rig.probe("client", "forge \(arguments)")
    return try rig.count(MESH_HOOK_EDGE, MESH_REASON_FORGED_SOURCE) - before
  }

  private func expectEdge(_ rig: Rig) throws {
    func dropped(_ arguments: String) throws -> UInt64 { try self.dropped(rig, arguments) }
    #expect(try dropped("ipv4 --source \(Rig.clientIP) --destination \(Rig.serverIP)") == 0)
    #expect(try dropped("ipv4 --source \(Rig.outsideIP) --destination \(Rig.serverIP)") == 5)
    #expect(try dropped("ipv4 --source \(Rig.serverIP) --destination \(Rig.serverIP)") == 5)
    #expect(try dropped("ipv4 --source 127.0.0.1 --destination \(Rig.serverIP)") == 5)
    #expect(try dropped("ipv4 --source 0.0.0.0 --destination 255.255.255.255") == 0)
    #expect(try dropped("ipv6 --source \(Rig.clientIP6) --destination \(Rig.serverIP6)") == 0)
    #expect(try dropped("ipv6 --source \(Rig.serverIP6) --destination ff02::1") == 5)
    #expect(try dropped("ipv6 --source ::ffff:\(Rig.clientIP) --destination \(Rig.serverIP6)") == 5)
    #expect(try dropped("advertisement --source \(Rig.clientIP6) --destination ff02::1 --target \(Rig.clientIP6)") == 0)
    #expect(try dropped("advertisement --source fe80::1 --destination ff02::1 --target \(Rig.serverIP6)") == 5)
    #expect(try dropped("hidden --source \(Rig.clientIP6) --destination ff02::1 --target \(Rig.serverIP6)") == 5)
    #expect(try dropped("arp --source \(Rig.clientIP) --destination \(Rig.serverIP)") == 0)
    #expect(try dropped("arp --source \(Rig.serverIP) --destination \(Rig.outsideIP)") == 5)
    #expect(try dropped("vlan") == 5)
    #expect(try dropped("other") == 5)
    // Ordinary traffic goes on: ARP, neighbour discovery, TCP.
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == 0)
    #expect(try rig.probe("client", "connect \(Rig.vip6) 80").errno == 0)
  }

  @Test("refusals and ends of connections come out of the ring with bytes, round trip and addresses")
  func events() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080")
    let collected = Collected()
    let reader = try rig.datapath.readEvents { collected.append($0) }
    let answer = try rig.probe("client", "connect \(Rig.vip) 80 --payload 100000")
    #expect(answer.errno == 0)
    _ = try rig.probe("client", "connect \(Rig.vip) 81")
    #expect(collected.wait(for: 2, seconds: 10))
    reader.stop()
    let events = collected.events
    let closed = try #require(events.first { $0.kind == MESH_EVENT_CLOSED.rawValue })
    #expect(closed.sent_bytes == 100_001)
    #expect(closed.received_bytes > 50)
    #expect(closed.rtt_us > 0)
    #expect(closed.flow.source.matches(Rig.clientIP))
    #expect(closed.flow.destination.matches(Rig.serverIP))
    #expect(closed.flow.original.matches(Rig.vip))
    #expect(closed.flow.service == 9)
    #expect(closed.flow.pid != 0)
    #expect(closed.time_ns > closed.flow.start_ns)
    let refused = try #require(events.first { $0.kind == MESH_EVENT_REFUSED.rawValue })
    #expect(refused.flow.reason == UInt8(MESH_REASON_NO_SERVICE_PORT.rawValue))
    #expect(refused.hook == MESH_HOOK_CONNECT.rawValue)
    let edges = try rig.datapath.edges.entries()
    let served = try #require(edges.first { $0.key.service == 9 && $0.key.reason == 0 })
    #expect(served.value.map(\.opened).reduce(0, +) == 1)
    #expect(served.value.map(\.closed).reduce(0, +) == 1)
    #expect(served.value.map(\.sent_bytes).reduce(0, +) == 100_001)
    #expect(try rig.datapath.pending.count() == 0)
    #expect(try rig.datapath.flows.count() == 0)
  }
}

extension HookRootTests {
  @Test(
    "bytes are exact, however a connection ends: close, half-close of either side, reset of either side",
    arguments: ["a", "c", "s", "k", "r"])
  func endings(how: String) throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080", "\(Rig.serverIP6),8080")
    let collected = Collected()
    let reader = try rig.datapath.readEvents { collected.append($0) }
    for (index, address) in [Rig.vip, Rig.vip6, Rig.vip].enumerated() {
      _ = try rig.probe("client", "end \(address) 80 \(how)")
      #expect(collected.wait(for: index + 1, seconds: 20))
    }
    reader.stop()
    #expect(collected.events.map(\.sent_bytes) == [5000, 5000, 5000])
    #expect(collected.events.map(\.received_bytes) == [1000, 1000, 1000])
  }

  @Test("a connect that fails has no bytes")
  func failedConnect() throws {
    let rig = try Rig.make()
    let collected = Collected()
    let reader = try rig.datapath.readEvents { collected.append($0) }
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == Int(ECONNREFUSED))
    #expect(collected.wait(for: 1, seconds: 20))
    reader.stop()
    let event = try #require(collected.events.first)
    #expect(event.kind == MESH_EVENT_CLOSED.rawValue)
    #expect(event.sent_bytes == 0)
    #expect(event.received_bytes == 0)
  }
}

/// Events as they come, for a test to wait for. Protected by the condition's lock.
final class Collected: @unchecked Sendable {
  private let condition = NSCondition()
  private var all: [mesh_event] = []

  var events: [mesh_event] { self.condition.withLock { self.all } }

  func append(_ events: [mesh_event]) {
    self.condition.withLock {
      self.all += events
      self.condition.broadcast()
    }
  }

  func wait(for count: Int, seconds: Double) -> Bool {
    let deadline = Date(timeIntervalSinceNow: seconds)
    return self.condition.withLock {
      while self.all.count < count {
        if !self.condition.wait(until: deadline) { return self.all.count >= count }
      }
      return true
    }
  }
}

/// Runs `body` on a thread of its own that has entered a network namespace and ends with it.
func onThread(in namespace: String, _ body: @escaping () throws -> Void) throws {
  nonisolated(unsafe) var result: Result<Void, any Error> = .success(())
  nonisolated(unsafe) let body = body
  let done = DispatchSemaphore(value: 0)
  let thread = Thread {
    defer { done.signal() }
    result = Result {
      let descriptor = open(namespace, O_RDONLY | O_CLOEXEC)
      defer { close(descriptor) }
      // Glibc's module does not show setns.
      let setns = unsafeBitCast(
        dlsym(nil, "setns"), to: (@convention(c) (CInt, CInt) -> CInt)?.self)
      let newNetwork: CInt = 0x4000_0000
      guard let setns, setns(descriptor, newNetwork) == 0 else {
        throw Commands.Failure(description: "cannot enter \(namespace): \(errno)")
      }
      try body()
    }
  }
  thread.start()
  done.wait()
  try result.get()
}
