import Foundation
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Status back: what an agent finds out about its workloads, and what becomes of it.
@Suite("Readiness", .serialized)
struct ReadinessRootTests {
  private typealias Trio = SpineRootTests.Trio
  static let vip = SpineRootTests.vip

  private static let check =
    "readiness: {tcp: {port: 9000}, periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 2, successThreshold: 1}"
  /// Two periods, one timeout, and what the tables take.
  static let bound = Duration.seconds(4)

  private static func checked(_ name: String, _ pod: WorldPod, app: String = "server") -> String {
    """
    ---
    apiVersion: martlet.dev/v1alpha1
    kind: Workload
    metadata: {name: \(name), namespace: demo, labels: {app: \(app)}}
    spec: {node: a, serviceAccount: \(name), networkNamespace: \(pod.namespacePath), \(Self.check)}

    """
  }

  /// NAME → what the control plane says, as `READY REASON`.
  private func statuses(_ mesh: Mesh) throws -> [String: String] {
    let text = try mesh.node.run([
      Mesh.binaries + "/martlet", "get", "workloads", "--api-socket", mesh.runDirectory + "/api.sock", "-o", "json",
    ])
    // Nobody answers while the control plane is started anew, and then it has nothing yet.
    if !text.isSuccess { return [:] }
    guard let list = try JSONSerialization.jsonObject(with: Data(text.stdout.utf8)) as? [[String: Any]] else {
      throw MeshError(.invalid, "get workloads", "\(text)")
    }
    return Dictionary(
      list.map { one in
        let detail = one["detail"] as? String ?? ""
        let reason = "\(one["reason"] ?? "")" + (detail.isEmpty ? "" : "(\(detail))")
        return ("\(one["name"] ?? "")", "\(one["ready"] ?? "") \(reason)")
      }, uniquingKeysWith: { first, _ in first })
  }

  func said(_ mesh: Mesh, _ name: String, _ wanted: String, within: Duration = .seconds(10)) throws {
    var last: [String: String] = [:]
    let isSaid = try eventually(within: within) {
      last = try self.statuses(mesh)
      return last["demo/" + name]?.hasPrefix(wanted) == true
    }
    #expect(isSaid, "\(name) is not \(wanted) but \(last)\nagent: \(mesh.agent?.stderr.suffix(3000) ?? "")")
  }

  @Test(
    "an endpoint that stops listening under load leaves within the check's bound, costs nothing after, and comes back")
  func leavesAndReturns() throws {
    let world = try World("ready")
    defer { try? world.close() }
    let node = try world.node("a")
    let client = try node.pod("client", v4: "10.77.0.2")
    let pods = [try node.pod("first", v4: "10.77.0.3"), try node.pod("second", v4: "10.77.0.5")]
    func serve(_ pod: WorldPod) throws -> WorldProcess {
      let server = try pod.start(["python3", "-c", Programs.nameServer, "9000", pod.name])
      try pod.waitForListener(port: 9000, process: server)
      return server
    }
    var servers = try pods.map(serve)
    let mesh = try Mesh(world, node: node)
    try mesh.apply(
      Manifest.workload("client", client) + Manifest.service("server", ip: Self.vip)
        + pods.map { Self.checked($0.name, $0) }.joined())
    try mesh.start()
    for pod in pods { try self.said(mesh, pod.name, "yes Ready") }
    func load(_ port: Int) throws -> WorldProcess {
      let loop = try client.start(["python3", "-c", Programs.askLoop, Self.vip, "\(port)", "20"])
      #expect(
        eventually { loop.stdout.contains("first") && loop.stdout.contains("second") }, "\(loop.stdout.suffix(300))")
      return loop
    }
    for round in 0..<2 {
      let before = [try load(80), try load(8080)]
      let gone = ContinuousClock.now
      try servers[0].kill()
      try self.said(mesh, "first", "no CheckFailed(ECONNREFUSED)", within: Self.bound)
      #expect(ContinuousClock.now - gone < Self.bound + .seconds(1))
      for loop in before { try loop.stop() }
      // From now on nothing is lost, in either tier.
      let after = try [80, 8080].map { try client.start(["python3", "-c", Programs.askLoop, Self.vip, "\($0)", "20"]) }
      for loop in after {
        #expect(eventually { loop.stdout.split(separator: "\n").count >= 100 })
        let lines = try loop.stop().stdout.split(separator: "\n")
        #expect(lines.allSatisfy { $0 == "second" }, "\(round): \(lines.filter { $0 != "second" }.prefix(5))")
      }
      servers[0] = try serve(pods[0])
      try self.said(mesh, "first", "yes Ready", within: Self.bound)
      // It comes back under load, and that costs nothing either.
      let back = [try load(80), try load(8080)]
      for loop in back {
        let lines = try loop.stop().stdout.split(separator: "\n")
        #expect(
          lines.allSatisfy { $0 == "first" || $0 == "second" }, "\(round): \(lines.filter { $0.hasPrefix("failed") })")
      }
    }
    // None left: refused at once, as without endpoints.
    for server in servers { try server.kill() }
    for pod in pods { try self.said(mesh, pod.name, "no CheckFailed(ECONNREFUSED)", within: Self.bound) }
    for port in [80, 8080] { #expect(try client.call("\(Self.vip):\(port)") == .refused) }
    let services = try mesh.martlet(["show", "services", "-o", "yaml"]).stdout
    #expect(services.contains("CheckFailed(ECONNREFUSED)"), "\(services)")
    #expect(try mesh.martlet(["explain", "demo/client", "\(Self.vip):80"]).stdout.contains("no_endpoint"))
  }

  @Test("connections that are open go on when their endpoint becomes unready")
  func openGoesOn() throws {
    try Trio.with("readyopen") { trio in
      let mesh = trio.mesh
      // A server that stops listening and keeps what it has accepted.
      let server = try trio.server.start(["python3", "-c", Self.closingServer, "9001"])
      try trio.server.waitForListener(port: 9001, process: server)
      let manifest =
        Manifest.workload("client", trio.client) + Manifest.workload("intruder", trio.intruder)
        + Self.checked("server", trio.server).replacingOccurrences(of: "port: 9000", with: "port: 9001")
        + Manifest.service("server", ip: Self.vip, target: 9001) + Manifest.allow("client", to: "server")
      try mesh.apply(manifest)
      try self.said(mesh, "server", "yes Ready")
      let held = try [80, 8080].map { port in
        let process = try trio.client.start(["python3", "-c", Programs.heldConnection, Self.vip, "\(port)"])
        #expect(eventually { process.stdout.contains("open") }, "\(process.stderr)")
        return process
      }
      let generation = try self.generation(mesh)
      try server.child.signal(10)
      try self.said(mesh, "server", "no CheckFailed(ECONNREFUSED)", within: Self.bound)
      #expect(try trio.client.call("\(Self.vip):80") == .refused)
      for process in held {
        try process.child.signal(10)
        #expect(eventually { process.stdout.contains("alive") }, "\(process.stdout)")
      }
      // Nothing of policy was written anew for it.
      #expect(try self.generation(mesh) == generation)
      let log = mesh.agent?.stderr ?? ""
      #expect(!log.contains("connection cut"))
    }
  }

  private func generation(_ mesh: Mesh) throws -> String {
    let metrics = try mesh.metrics().split(separator: "\n")
    return metrics.first { $0.hasPrefix("martlet_datapath_generation ") }.map(String.init) ?? ""
  }

  @Test("reasons: not there, not yet, cannot be, fails; the agent's restart takes nobody out, its absence is told")
  func reasons() throws {
    try Trio.with("readywhy") { trio in
      let mesh = trio.mesh
      let absent = """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: absent, namespace: demo}
        spec: {node: a, networkNamespace: /run/netns/martlet-not-there}
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: odd, namespace: demo}
        spec: {node: a, networkNamespace: /etc/passwd}
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: far, namespace: demo}
        spec: {node: b, networkNamespace: /run/netns/far}
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: plain, namespace: demo}
        spec: {node: a, addresses: [192.0.2.7]}

        """
      let server = Self.checked("server", trio.server)
      let lazy = Self.checked("intruder", trio.intruder, app: "lazy")
      try mesh.apply(
        Manifest.workload("client", trio.client) + server + lazy + Manifest.service("server", ip: Self.vip) + absent)
      for (name, wanted) in [
        ("server", "yes Ready"), ("client", "yes Ready"), ("absent", "no NotEnrolled("),
        ("odd", "no EnrolmentFailed("), ("far", "unknown NoAgent("), ("plain", "unknown NotWatched("),
        // It was there without a check before, and so counted as ready until this one failed.
        ("intruder", "no CheckFailed(ECONNREFUSED)"),
      ] { try self.said(mesh, name, wanted) }
      let table = try mesh.node.run([
        Mesh.binaries + "/martlet", "get", "workloads", "demo/server", "--api-socket", mesh.runDirectory + "/api.sock",
      ])
      #expect(table.isSuccess && table.stdout.contains("10.77.0.3") && table.stdout.contains("READY"), "\(table)")
      let none = try mesh.node.run([
        Mesh.binaries + "/martlet", "get", "workloads", "nobody", "--api-socket", mesh.runDirectory + "/api.sock",
      ])
      #expect(none.status == .code(1))
      let nowhere = try mesh.node.run([
        Mesh.binaries + "/martlet", "get", "workloads", "--api-socket", mesh.runDirectory + "/nothing.sock",
      ])
      #expect(nowhere.status == .code(3) && nowhere.stderr.contains("nothing.sock"), "\(nowhere)")

      // The check passed before the restart: no call fails while the new agent has not checked yet.
      #expect(try eventually { try DiskFile.status(mesh.stateDirectory + "/agent/snapshot") != nil })
      Thread.sleep(forTimeInterval: 1)
      let loop = try trio.client.start(["python3", "-c", Programs.connectLoop, Self.vip, "80", "8080"])
      #expect(eventually { loop.stdout.contains("ok") })
      try mesh.killAgent()
      #expect(
        try eventually {
          try mesh.node.run([
            Mesh.binaries + "/martlet", "get", "workloads", "--api-socket", mesh.runDirectory + "/api.sock",
          ]).stdout.contains("(agent away)")
        })
      // What it said last is what is known.
      #expect(try self.statuses(mesh)["demo/server"] == "yes Ready")
      try mesh.startAgent()
      try mesh.waitUntilReady()
      try self.said(mesh, "intruder", "no CheckPending(ECONNREFUSED)")
      let done = try loop.stop()
      #expect(!done.stdout.contains("failed"), "\(done.stdout.suffix(500))")
      // The control plane's restart: it is told again, without anybody leaving.
      try mesh.killControl()
      try mesh.startControl()
      try self.said(mesh, "server", "yes Ready")
      try self.said(mesh, "absent", "no NotEnrolled(")
      #expect(try trio.client.call("\(Self.vip):80") == .answer("hello"))
    }
  }

  @Test(
    "workloads in the host's namespace are ready while their own processes answer on the port, whatever policy says")
  func host() throws {
    let world = try World("readyhost")
    defer { try? world.close() }
    let node = try world.node("a")
    let unit = try node.unit("api.service")
    let client = try node.pod("client", v4: "10.77.0.2")
    let mesh = try Mesh(world, node: node)
    try mesh.apply(
      Manifest.workload("client", client) + Manifest.service("api", ip: Self.vip, target: 9100)
        + Manifest.allow("client", to: "api")
          + """
          ---
          apiVersion: martlet.dev/v1alpha1
          kind: Workload
          metadata: {name: api, namespace: demo, labels: {app: api}}
          spec:
            node: a
            systemdUnit: api.service
            ports: [{name: api, port: 9100}]
            readiness: {tcp: {port: 9100}, periodSeconds: 1, failureThreshold: 2}

          """)
    // Another process of the host has the port.
    let squatter = try node.startEcho(port: 9100)
    try mesh.start()
    try self.said(mesh, "api", "no CheckPending(another process")
    #expect(try client.call("\(Self.vip):80") == .refused)
    try squatter.kill()
    try self.said(mesh, "api", "no CheckPending(ECONNREFUSED)")
    let server = try unit.startEcho(port: 9100)
    try self.said(mesh, "api", "yes Ready", within: Self.bound)
    #expect(try eventually { try client.call("\(Self.vip):80") == .answer("hello") })
    try server.kill()
    try self.said(mesh, "api", "no CheckFailed(ECONNREFUSED)", within: Self.bound)
    #expect(try client.call("\(Self.vip):80") == .refused)
    // It listens and accepts nobody: the checks themselves fill its queue, as callers would.
    let deaf = try unit.start(["python3", "-c", Self.deafServer, "9100"])
    #expect(eventually { deaf.stdout.contains("listens") }, "\(deaf.stderr)")
    try self.said(mesh, "api", "yes Ready", within: Self.bound)
    try self.said(mesh, "api", "no CheckFailed(timeout)", within: .seconds(15))
    try deaf.kill()
    // On loopback alone, which policy governs as well.
    let local = try unit.start(["python3", "-c", Self.closingServer, "9100", "127.0.0.1"])
    try self.said(mesh, "api", "yes Ready", within: Self.bound)
    try local.kill()
    try self.said(mesh, "api", "no CheckFailed(ECONNREFUSED)", within: Self.bound)
    // The checks left nothing behind, and were never told as anybody's calls.
    #expect(
      try mesh.martlet(["show", "connections", "-o", "json"]).stdout.contains("\"destinationPort\" : 9100") == false)
  }

  /// Listens and accepts nothing.
  private static let deafServer = """
    import socket, sys, time
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(("0.0.0.0", int(sys.argv[1])))
    l.listen(1)
    print("listens", flush=True)
    time.sleep(600)
    """

  /// Echoes; SIGUSR1 closes the listener and nothing else.
  private static let closingServer = """
    import os, select, signal, socket, sys
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind((sys.argv[2] if len(sys.argv) > 2 else "0.0.0.0", int(sys.argv[1])))
    l.listen(128)
    r, w = os.pipe()
    os.set_blocking(w, False)
    signal.set_wakeup_fd(w)
    signal.signal(signal.SIGUSR1, lambda *a: None)
    open_ = [l, r]
    while True:
        for s in select.select(open_, [], [])[0]:
            if s == r:
                os.read(r, 1)
                open_.remove(l)
                l.close()
                break
            if s is l:
                open_.append(l.accept()[0])
                continue
            try: b = s.recv(65536)
            except OSError: b = b""
            if b: s.sendall(b)
            else:
                open_.remove(s)
                s.close()
    """
}
