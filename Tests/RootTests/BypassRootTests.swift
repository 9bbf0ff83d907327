import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// Unusual sockets, and the mesh's own ports. Rows BP-05 to BP-13.
@Suite("Ways around", .serialized)
struct BypassRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  private func variant(_ pod: WorldPod, _ mode: String, _ host: String, _ port: UInt16) throws -> String {
    let done = try pod.run(["python3", "-c", Programs.variantCall, mode, host, "\(port)"], timeout: .seconds(15))
    return done.isSuccess ? String(done.stdout.dropLast()) : "\(done)"
  }

  @Test(
    "BP-06, BP-09, BP-10: v4-mapped, Fast Open, Multipath and device-bound sockets are steered and judged like all others"
  )
  func sockets() throws {
    try Trio.with("variants") { trio in
      let mapped = "::ffff:\(Self.vip)"
      for (mode, host) in [
        ("tcp", mapped), ("fastopen", Self.vip), ("fastopen", mapped), ("mptcp", Self.vip), ("mptcp", mapped),
        ("device", Self.vip),
      ] {
        for port: UInt16 in [80, 8080] {
          #expect(try self.variant(trio.client, mode, host, port) == "hello", "\(mode) \(host) \(port)")
        }
        let refused = try self.variant(trio.intruder, mode, host, 80)
        #expect(refused == "ECONNREFUSED", "\(mode) \(host): \(refused)")
      }
      #expect(try self.variant(trio.intruder, "tcp", "::ffff:10.77.0.3", 9000) == "ECONNREFUSED")
      #expect(try self.variant(trio.intruder, "fastopen", "10.77.0.3", 9000) == "ECONNREFUSED")
      #expect(try self.variant(trio.intruder, "mptcp", "10.77.0.3", 9000) == "ECONNREFUSED")
    }
  }

  @Test("BP-05: a forged source does not leave the workload; a raw SYN with its own source meets policy as plaintext")
  func raw() throws {
    try Trio.with("raw") { trio in
      func count(_ hook: String, _ reason: String) throws -> Int {
        let line = try trio.mesh.metrics().split(separator: "\n").first {
          $0.hasPrefix("martlet_hook_decisions_total{hook=\"\(hook)\",reason=\"\(reason)\"}")
        }
        return line?.split(separator: " ").last.flatMap { Int($0) } ?? 0
      }
      func send(from source: String) throws {
        let sent = try trio.intruder.run(["python3", "-c", Programs.rawSyns, source, "10.77.0.3", "9000", "20"])
        #expect(sent.stdout == "sent\n", "\(sent)")
      }
      // The neighbour is known first, so that the packets are not lost for want of it.
      #expect(try trio.intruder.call("10.77.0.3:9000") == .refused)
      let (forged, judged) = (try count("edge", "forged_source"), try count("lookup", "not_allowed"))
      try send(from: "10.77.0.2")
      #expect(try eventually { try count("edge", "forged_source") >= forged + 20 })
      #expect(try count("lookup", "not_allowed") == judged)
      try send(from: "10.77.0.4")
      #expect(try eventually { try count("lookup", "not_allowed") >= judged + 20 })
      let half = try trio.server.namespace.sockets().filter { $0.local.port == 9000 && !$0.isListening }
      #expect(half.isEmpty, "\(half)")
    }
  }

  @Test("BP-07: a socket that is disconnected by AF_UNSPEC and connected elsewhere is judged each time")
  func again() throws {
    try Trio.with("again") { trio in
      let targets = [
        "\(Self.vip):80", "\(Self.vip):81", "10.77.0.3:9000", "\(Self.vip):8080", "240.240.0.9:80", "\(Self.vip):80",
      ]
      let client = try trio.client.run(["python3", "-c", Programs.reconnects] + targets, timeout: .seconds(60))
      #expect(
        client.stdout.split(separator: "\n") == [
          "hello \(Self.vip) 80", "ECONNREFUSED", "hello 10.77.0.3 9000", "hello \(Self.vip) 8080", "ECONNREFUSED",
          "hello \(Self.vip) 80",
        ], "\(client)")
      let intruder = try trio.intruder.run(
        ["python3", "-c", Programs.reconnects, "10.77.0.4:9", "\(Self.vip):80", "10.77.0.3:9000"], timeout: .seconds(60)
      )
      #expect(
        intruder.stdout.split(separator: "\n") == ["ECONNREFUSED", "ECONNREFUSED", "ECONNREFUSED"], "\(intruder)")
    }
  }

  @Test("BP-08: a connect by io_uring is steered and judged like any other")
  func ring() throws {
    try Trio.with("ring") { (trio: Trio) throws in
      func call(_ pod: WorldPod, _ host: String, _ port: UInt16) throws -> String {
        let done = try pod.run(["python3", "-c", Programs.ringCall, host, "\(port)"], timeout: .seconds(20))
        return done.isSuccess ? String(done.stdout.dropLast()) : "\(done)"
      }
      for port: UInt16 in [80, 8080] { #expect(try call(trio.client, Self.vip, port) == "hello") }
      #expect(try call(trio.client, "10.77.0.3", 9000) == "hello")
      #expect(try call(trio.client, Self.vip, 81) == "ECONNREFUSED")
      #expect(try call(trio.intruder, Self.vip, 80) == "ECONNREFUSED")
      #expect(try call(trio.intruder, "10.77.0.3", 9000) == "ECONNREFUSED")
    }
  }

  @Test("BP-11: a socket that another process hands over keeps the identity of the namespace it was made in")
  func handedOver() throws {
    try Trio.with("handed") { (trio: Trio) throws in
      func call(madeIn maker: WorldPod, usedIn user: WorldPod, _ target: [String]) throws -> String {
        let path = trio.mesh.world.newPath("sock")
        let giver = try maker.start(["python3", "-c", Programs.giveSocket, path])
        #expect(eventually { giver.stdout.contains("ready") })
        let done = try user.run(["python3", "-c", Programs.useSocket, path] + target, timeout: .seconds(20))
        try giver.kill()
        return done.isSuccess ? String(done.stdout.dropLast()) : "\(done)"
      }
      for target in [[Self.vip, "80"], ["10.77.0.3", "9000"]] {
        #expect(try call(madeIn: trio.intruder, usedIn: trio.client, target) == "ECONNREFUSED")
        #expect(try call(madeIn: trio.client, usedIn: trio.intruder, target) == "hello")
      }
    }
  }

  @Test("BP-07: UDP is left alone: connected, unconnected, in batches, and connected again")
  func udp() throws {
    try Trio.with("udp") { trio in
      let server = try trio.server.start(["python3", "-c", Programs.udpEcho, "7000"])
      #expect(eventually { server.stdout.contains("ready") })
      for pod in [trio.client, trio.intruder] {
        #expect(try self.variant(pod, "udp", "10.77.0.3", 7000) == "hello")
        for mode in ["sendto", "sendmmsg", "udpagain"] {
          #expect(try self.variant(pod, mode, "10.77.0.3", 7000) == "hello", "\(mode)")
        }
      }
    }
  }

  @Test("BP-11: a socket made before enrolment is steered, and a connection made before it is judged anew")
  func before() throws {
    try Trio.with("before") { trio in
      let late = try trio.mesh.node.pod("late", v4: "10.77.0.9", v6: "fd77::9")
      let policies =
        Manifest.allowBlocks("10.77.0.9/32", to: "server") + Manifest.deny("late", to: "server")
      try trio.mesh.apply(trio.resources(policies))
      #expect(try eventually { try late.call("10.77.0.3:9000", timeout: .seconds(1)) == .answer("hello") })
      let held = try late.start(["python3", "-c", Programs.heldConnection, "10.77.0.3", "9000"])
      let service = try late.start(["python3", "-c", Programs.earlySocket, Self.vip, "80"])
      let direct = try late.start(["python3", "-c", Programs.earlySocket, "10.77.0.3", "9000"])
      #expect(
        eventually { held.stdout.contains("open") && service.stdout.contains("made") && direct.stdout.contains("made") }
      )
      // Without a workload nobody is `late`, so that its address counts. With one the identity is denied.
      try trio.mesh.apply(trio.resources(policies) + Manifest.workload("late", late))
      #expect(eventually { held.stdout.contains("ended") }, "\(held.stdout)")
      for socket in [service, direct] {
        try socket.child.signal(10)
        #expect(eventually { socket.stdout.contains("error ECONNREFUSED") }, "\(socket.stdout)")
      }
    }
  }

  @Test("BP-12: the mesh's own ports close on whoever dials them, and no connection to an upstream comes of it")
  func ownPorts() throws {
    try Trio.with("ownports") { trio in
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      func opened() throws -> [Substring] {
        try trio.mesh.http("http://127.0.0.1:15020/metrics").split(separator: "\n")
          .filter { $0.hasPrefix("istio_tcp_connections_opened_total") }
      }
      #expect(try eventually { try !opened().isEmpty })
      let before = try opened()
      for port: UInt16 in [15001, 15006, 15008] {
        for host in ["127.0.0.1", "::1", "10.77.0.2"] {
          // As root and as an ordinary user; accepted by the proxy's listener, it finds no flow and closes.
          for mode in ["tcp", "uid1000"] {
            let outcome = try self.variant(trio.client, mode, host, port)
            let closed = ["ECONNREFUSED", "ECONNRESET", "EPIPE", "ENOTCONN", ""]
            #expect(closed.contains(outcome), "own \(mode) \(host):\(port): \(outcome)")
          }
        }
        for (mode, host) in [("tcp", "10.77.0.3"), ("uid1000", "10.77.0.3"), ("tcp", "fd77::3"), ("tcp", Self.vip)] {
          let outcome = try self.variant(trio.client, mode, host, port)
          #expect(outcome == "ECONNREFUSED", "from another pod: \(mode) \(host):\(port): \(outcome)")
        }
        // The destination refuses a caller without identity.
        let host = try trio.mesh.node.call("10.77.0.3:\(port)", timeout: .seconds(5))
        #expect(host == .refused, "from the host: \(host)")
      }
      #expect(try opened() == before)
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
    }
  }

  @Test(
    "BP-13: services that lead to a mesh port, to themselves or to another service are refused when they are applied")
  func loops() throws {
    try Trio.with("loops") { trio in
      let before = try trio.mesh.proxies()
      try trio.mesh.apply(
        trio.resources(Manifest.allow("client", to: "server"))
          + Manifest.bareService("meshport", ip: "240.0.0.30", endpoint: "10.77.0.3", port: 15001)
          + Manifest.bareService("itself", ip: "240.0.0.32", endpoint: "240.0.0.32", port: 8080)
          + Manifest.bareService("another", ip: "240.0.0.33", endpoint: Self.vip, port: 80))
      #expect(try eventually { try trio.mesh.martlet(["show", "services"]).stdout.contains("240.0.0.33") })
      let told = trio.mesh.control?.stderr ?? ""
      #expect(told.contains("port 15001 belongs to the mesh itself"))
      #expect(
        told.contains("EndpointSlice demo/itself-1: endpoints[0]: address 240.0.0.32 belongs to Service demo/itself"))
      #expect(told.contains("address \(Self.vip) belongs to Service demo/server"))
      // The service of the mesh port was refused as a whole, so that its address is nobody's.
      for target in ["240.0.0.30:80", "240.0.0.30:8080"] {
        let outcome = try trio.client.call(target, timeout: .seconds(1))
        if case .answer = outcome { Issue.record("\(target): \(outcome)") }
      }
      // The others have no endpoint: refused in connect().
      for target in ["240.0.0.32:80", "240.0.0.32:8080", "240.0.0.33:80", "240.0.0.33:8080"] {
        #expect(try trio.client.call(target, timeout: .seconds(5)) == .refused, "\(target)")
      }
      #expect(try trio.client.call("\(Self.vip):8080") == .answer("hello"))
      #expect(try trio.mesh.proxies() == before)
      // No connection goes round and round: the proxy's own one to the service does not come back to it.
      let relayed = try trio.client.namespace.sockets().count { $0.local.port == 15001 && !$0.isListening }
      #expect(relayed <= 2, "\(relayed)")
    }
  }
}

extension Manifest {
  static func deny(_ caller: String, to app: String) -> String {
    """
    ---
    apiVersion: security.istio.io/v1
    kind: AuthorizationPolicy
    metadata: {name: \(app)-denied, namespace: demo}
    spec:
      selector: {matchLabels: {app: \(app)}}
      action: DENY
      rules:
        - from: [{source: {principals: ["cluster.local/ns/demo/sa/\(caller)"]}}]

    """
  }

  /// Without a selector: one endpoint by its address. Port 80 in the kernel, port 8080 through the proxy.
  static func bareService(_ name: String, ip: String, endpoint: String, port: UInt16) -> String {
    """
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: \(name), namespace: demo}
    spec:
      clusterIP: \(ip)
      ports:
        - {name: plain, port: 80, targetPort: \(port)}
        - {name: relayed, port: 8080, targetPort: \(port), appProtocol: http}
    ---
    apiVersion: discovery.k8s.io/v1
    kind: EndpointSlice
    metadata: {name: \(name)-1, namespace: demo, labels: {kubernetes.io/service-name: \(name)}}
    addressType: IPv4
    ports: [{name: plain, port: \(port), protocol: TCP}, {name: relayed, port: \(port), protocol: TCP}]
    endpoints:
      - addresses: [\(endpoint)]

    """
  }

  /// Whose address the control plane chooses.
  static func addresslessService(_ name: String, app: String) -> String {
    """
    ---
    apiVersion: v1
    kind: Service
    metadata: {name: \(name), namespace: demo}
    spec:
      selector: {app: \(app)}
      ports: [{name: plain, port: 80, targetPort: 9000}]

    """
  }

  /// Splits port 80 of `service` between two services.
  static func split(_ service: String, _ first: String, _ firstWeight: Int, _ second: String, _ secondWeight: Int)
    -> String
  {
    """
    ---
    apiVersion: gateway.networking.k8s.io/v1alpha2
    kind: TCPRoute
    metadata: {name: split, namespace: demo}
    spec:
      parentRefs:
        - {group: "", kind: Service, name: \(service), port: 80}
      rules:
        - backendRefs:
            - {name: \(first), port: 80, weight: \(firstWeight)}
            - {name: \(second), port: 80, weight: \(secondWeight)}

    """
  }
}
