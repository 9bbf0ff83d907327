import CMeshABI
import Foundation
import MeshBase
import Testing

@testable import MeshBPF

/// Port 53 at the hooks: a name server of the test stands where the proxy's would be, another one outside; each answers with
/// its name.
@Suite(.serialized)
struct NamesHookRootTests {
  /// `MODE TARGET...`: what came back from where, one word each, or the error.
  private static let client = """
    import errno, socket, sys
    mode, targets = sys.argv[1], sys.argv[2:]
    family = socket.AF_INET6 if ":" in targets[0] else socket.AF_INET
    kind = socket.SOCK_STREAM if mode == "tcp" else socket.SOCK_DGRAM
    s = socket.socket(family, kind)
    s.settimeout(2)
    if mode == "source53": s.bind(("::" if ":" in targets[0] else "0.0.0.0", 53))
    if mode == "device": s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\\0")
    def port(t): return (t.rsplit(",", 1)[0], int(t.rsplit(",", 1)[1]))
    words = []
    try:
        if mode in ("connected", "device", "tcp"):
            for t in targets:
                s.connect(port(t))
                s.send(b"?")
                got, source = s.recvfrom(100)
                words.append(got.decode() + "@%s,%d" % (source or s.getpeername())[:2] + "=%s,%d" % s.getpeername()[:2])
        else:
            for t in targets: s.sendto(b"?", port(t))
            for t in targets:
                got, source = s.recvfrom(100)
                words.append(got.decode() + "@%s,%d" % source[:2])
    except socket.timeout: words.append("timeout")
    except OSError as e: words.append(errno.errorcode.get(e.errno, str(e)))
    print(*sorted(words))
    """

  /// `NAME PORT ADDRESS...`: answers its name to every datagram and connection.
  private static let server = """
    import socket, sys, threading
    name, port = sys.argv[1].encode(), int(sys.argv[2])
    def datagrams(s):
        while True:
            _, a = s.recvfrom(100)
            s.sendto(name, a)
    def streams(l):
        while True:
            c, _ = l.accept()
            c.recv(1)
            c.sendall(name)
            c.close()
    for a in sys.argv[3:]:
        family = socket.AF_INET6 if ":" in a else socket.AF_INET
        for kind, serve in ((socket.SOCK_DGRAM, datagrams), (socket.SOCK_STREAM, streams)):
            s = socket.socket(family, kind)
            s.bind((a, port))
            if kind == socket.SOCK_STREAM: s.listen(16)
            threading.Thread(target=serve, args=(s,), daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    """

  private func rig() throws -> Rig {
    let rig = try Rig.make()
    try rig.serve(
      words: rig.words(
        "client", [Commands.python, "-c", Self.server, "mesh", "15053", "127.0.0.1", "::1"], cgroup: "proxy"))
    try rig.serve(
      words: rig.words("server", [Commands.python, "-c", Self.server, "outside", "53", Rig.serverIP, Rig.serverIP6]))
    try self.lead(rig, flags: 0)
    return rig
  }

  private func lead(_ rig: Rig, flags: UInt32, port: UInt16 = 15053) throws {
    try rig.datapath.pods.put(
      try rig.cookie("client"),
      mesh_pod(
        workload: Rig.client, flags: flags, outbound_port_be: UInt16(15001).bigEndian, names_port_be: port.bigEndian,
        network: 0))
  }

  private func ask(_ rig: Rig, _ mode: String, _ targets: String..., cgroup: String = "app") throws -> String {
    try Commands.run(rig.words("client", [Commands.python, "-c", Self.client, mode] + targets, cgroup: cgroup))
      .trimmingCharacters(in: .newlines)
  }

  @Test("questions are led to the name server, and its answers seem to come from whom was asked")
  func led() throws {
    let rig = try self.rig()
    #expect(try self.ask(rig, "connected", "8.8.8.8,53") == "mesh@8.8.8.8,53=8.8.8.8,53")
    #expect(try self.ask(rig, "unconnected", "8.8.8.8,53") == "mesh@8.8.8.8,53")
    #expect(try self.ask(rig, "tcp", "8.8.8.8,53") == "mesh@8.8.8.8,53=8.8.8.8,53")
    #expect(try self.ask(rig, "device", "8.8.8.8,53") == "mesh@8.8.8.8,53=8.8.8.8,53")
    #expect(try self.ask(rig, "connected", "2001:db8::8,53") == "mesh@2001:db8::8,53=2001:db8::8,53")
    #expect(try self.ask(rig, "unconnected", "2001:db8::8,53") == "mesh@2001:db8::8,53")
    // One socket, each family of its own, and several servers of one family: the last one answers for all.
    #expect(
      try self.ask(rig, "unconnected", "2001:db8::8,53", "::ffff:8.8.8.8,53")
        == "mesh@2001:db8::8,53 mesh@::ffff:8.8.8.8,53")
    #expect(try self.ask(rig, "unconnected", "8.8.8.8,53", "8.8.4.4,53") == "mesh@8.8.4.4,53 mesh@8.8.4.4,53")
    #expect(try self.ask(rig, "connected", "8.8.8.8,53", "8.8.4.4,53").hasSuffix(" mesh@8.8.8.8,53=8.8.8.8,53"))
    // Also while nothing is published: the name server itself waits.
    rig.datapath.config.generation = 0
    #expect(try self.ask(rig, "tcp", "8.8.8.8,53") == "mesh@8.8.8.8,53=8.8.8.8,53")
  }

  @Test("what is no question of the workload's is left alone")
  func leftAlone() throws {
    let rig = try self.rig()
    let outside = "outside@\(Rig.serverIP),53"
    // A name server's own socket.
    #expect(try self.ask(rig, "source53", "\(Rig.serverIP),53") == outside)
    // The proxy's.
    var status = stat()
    #expect(stat(rig.cgroup + "/proxy", &status) == 0)
    rig.datapath.config.configure { $0.proxy_cgroup = UInt64(status.st_ino) }
    #expect(try self.ask(rig, "unconnected", "\(Rig.serverIP),53", cgroup: "proxy") == outside)
    #expect(try self.ask(rig, "connected", "\(Rig.serverIP),53", cgroup: "proxy") == outside + "=\(Rig.serverIP),53")
    #expect(try self.ask(rig, "connected", "\(Rig.serverIP),53") == "mesh@\(Rig.serverIP),53=\(Rig.serverIP),53")
    // Loopback, unless it is asked for.
    #expect(try self.ask(rig, "connected", "127.0.0.53,53") == "ECONNREFUSED")
    #expect(try self.ask(rig, "tcp", "127.0.0.53,53") == "ECONNREFUSED")
    try self.lead(rig, flags: UInt32(MESH_POD_NAMES_LOOPBACK))
    #expect(try self.ask(rig, "connected", "127.0.0.53,53") == "mesh@127.0.0.53,53=127.0.0.53,53")
    #expect(try self.ask(rig, "unconnected", "::1,53") == "mesh@::1,53")
    #expect(try self.ask(rig, "tcp", "127.0.0.53,53") == "mesh@127.0.0.53,53=127.0.0.53,53")
    // A name server that is a service of the mesh is called by TCP as one.
    try rig.service("240.7.0.53", port: 53, id: 53, endpoint: Rig.serverIP, endpointPort: 53)
    #expect(try self.ask(rig, "tcp", "240.7.0.53,53") == "outside@240.7.0.53,53=240.7.0.53,53")
    // Another port, and a workload that does not want names.
    #expect(try self.ask(rig, "connected", "127.0.0.1,5353") == "ECONNREFUSED")
    try self.lead(rig, flags: 0, port: 0)
    #expect(try self.ask(rig, "unconnected", "\(Rig.serverIP),53") == outside)
    #expect(try self.ask(rig, "tcp", "\(Rig.serverIP),53") == outside + "=\(Rig.serverIP),53")
  }

  @Test("an adoption keeps leading, and a hook that somebody detaches is found and put back")
  func adoption() throws {
    let rig = try self.rig()
    try rig.adopt()
    #expect(try self.ask(rig, "unconnected", "8.8.8.8,53") == "mesh@8.8.8.8,53")
    // A process knows what it has attached itself.
    try rig.datapath.attach(cgroup: rig.cgroup)
    let link = try BPFLink.pinned("sendmsg4", path: rig.datapath.pins.linkPath("sendmsg4"))
    link.detach()
    #expect(rig.datapath.faults().map(\.description) == ["sendmsg4 detached"])
    try rig.datapath.attach(cgroup: rig.cgroup)
    #expect(rig.datapath.faults().isEmpty)
    #expect(try self.ask(rig, "unconnected", "8.8.8.8,53") == "mesh@8.8.8.8,53")
  }
}
