import Foundation
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// What is told about connections: flow records and metrics, against what the applications themselves counted.
@Suite("Telemetry", .serialized)
struct TelemetryRootTests {
  private typealias Trio = SpineRootTests.Trio
  private static let vip = SpineRootTests.vip

  /// Records about connections to this service, the oldest first.
  private func records(_ trio: Trio, _ filter: [String] = ["--service", "server"]) throws -> [[String: Any]] {
    let text = try trio.mesh.martlet(["observe", "--last", "1000", "-o", "json"] + filter).stdout
    return try text.split(separator: "\n").compactMap {
      try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any]
    }
  }

  /// The sum of all series of a metric whose labels are these.
  private func metric(_ trio: Trio, _ name: String, _ labels: [String: String]) throws -> Int {
    try trio.mesh.http("http://127.0.0.1:15020/metrics").split(separator: "\n").reduce(0) { sum, line in
      guard line.hasPrefix(name + "{"), labels.allSatisfy({ line.contains("\($0)=\"\($1)\"") }),
        let value = line.split(separator: " ").last.flatMap({ Int($0) })
      else { return sum }
      return sum + value
    }
  }

  private static let edge = [
    "reporter": "source", "source_workload": "client", "destination_workload": "server",
    "destination_service": "server.demo.svc.cluster.local",
    "source_principal": "spiffe://cluster.local/ns/demo/sa/client",
    "destination_principal": "spiffe://cluster.local/ns/demo/sa/server",
  ]

  @Test("a relayed request is one connection: one record and one count, of its service, with the bytes that curl saw")
  func relayedOnce() throws {
    try Trio.with(
      "relayonce",
      prepare: { mesh in
        let directory = mesh.world.directory + "/www"
        try DiskFile.makeDirectory(directory, mode: 0o755)
        try DiskFile.write([UInt8](repeating: 0x61, count: 100_000), to: directory + "/page", mode: 0o644)
      }
    ) { trio in
      let web = try trio.server.start(
        ["python3", "-m", "http.server", "9001", "--directory", trio.mesh.world.directory + "/www"])
      try trio.server.waitForListener(port: 9001, process: web)
      try trio.mesh.apply(
        trio.resources(Manifest.allow("client", to: "server"))
          .replacingOccurrences(of: "targetPort: 9000", with: "targetPort: 9001"))
      let isThere = try eventually(within: .seconds(20)) {
        try trio.mesh.martlet(["show", "services", "-o", "yaml"]).stdout.contains("8080:9001")
          && trio.client.run(["curl", "-s", "-m", "5", "http://\(Self.vip):80/page"]).stdout.count == 100_000
      }
      #expect(isThere)
      let before = try self.records(trio, ["--service", "server"]).count
      let opened = try self.metric(trio, "istio_tcp_connections_opened_total", Self.edge)
      let closed = try self.metric(trio, "istio_tcp_connections_closed_total", Self.edge)
      let sent = try self.metric(trio, "istio_tcp_sent_bytes_total", Self.edge)
      let received = try self.metric(trio, "istio_tcp_received_bytes_total", Self.edge)

      let curl = try trio.client.run([
        "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{size_request} %{size_header} %{size_download}",
        "http://\(Self.vip):8080/page",
      ])
      let sizes = curl.stdout.split(separator: " ").compactMap { Int($0) }
      try #require(sizes.count == 3, "\(curl)")

      var records: [[String: Any]] = []
      let isTold = try eventually(within: .seconds(20)) {
        records = Array(try self.records(trio).dropFirst(before)).filter { $0["tier"] as? String == "relay" }
        return !records.isEmpty
      }
      #expect(isTold)
      let all = try self.records(trio, [])
      #expect(all.filter { $0["tier"] as? String == "relay" }.count == 1, "\(all)")
      let record = try #require(records.first)
      #expect(record["kind"] as? String == "closed")
      #expect(record["service"] as? String == "demo/server")
      #expect(record["dialled"] as? String == "\(Self.vip):8080")
      #expect(record["policy"] as? String == "demo/server-callers")
      #expect(record["sentBytes"] as? Int == sizes[0])
      #expect(record["receivedBytes"] as? Int == sizes[1] + sizes[2])
      #expect(record["durationMicroseconds"] as? Int ?? 0 > 0)
      let source = record["source"] as? [String: Any]
      #expect(source?["workload"] as? String == "demo/client")
      #expect(source?["identity"] as? String == "spiffe://cluster.local/ns/demo/sa/client")
      let destination = record["destination"] as? [String: Any]
      #expect(destination?["workload"] as? String == "demo/server")
      #expect(destination?["address"] as? String == "10.77.0.3:9001")

      #expect(try self.metric(trio, "istio_tcp_connections_opened_total", Self.edge) == opened + 1)
      #expect(try self.metric(trio, "istio_tcp_connections_closed_total", Self.edge) == closed + 1)
      #expect(try self.metric(trio, "istio_tcp_sent_bytes_total", Self.edge) == sent + sizes[0])
      #expect(try self.metric(trio, "istio_tcp_received_bytes_total", Self.edge) == received + sizes[1] + sizes[2])
      #expect(try self.metric(trio, "martlet_connections_opened_total", ["tier": "relay"]) == 1)
      #expect(
        try self.metric(trio, "istio_tcp_connections_opened_total", ["destination_service": "unknown"]) == 0)
    }
  }

  @Test("a relayed call that policy refuses is one refusal, of its service")
  func relayedRefusal() throws {
    try Trio.with("relayrefused") { trio in
      #expect(try trio.intruder.call("\(Self.vip):8080") != .answer("hello"))
      let isTold = try eventually(within: .seconds(20)) { try !self.records(trio).isEmpty }
      #expect(isTold)
      // The client's half has ended by now: it is not told beside the refusal.
      var open = ""
      let isOver = try eventually(within: .seconds(20)) {
        open = try trio.mesh.martlet(["show", "connections", "-o", "json"]).stdout
        return !open.contains("demo/intruder")
      }
      #expect(isOver, "\(open)")
      let records = try self.records(trio, [])
      #expect(records.count == 1, "\(records)")
      #expect(records.first?["kind"] as? String == "refused")
      #expect(records.first?["tier"] as? String == "relay")
      #expect(records.first?["service"] as? String == "demo/server")
      #expect(records.first?["policy"] as? String == "demo/server-callers")
    }
  }

  @Test("a relayed call whose endpoint takes no connections is told, and counted as none")
  func relayedInVain() throws {
    try Trio.with(
      "relayinvain",
      prepare: { mesh in
        let yaml = String(decoding: try DiskFile.read(mesh.resources + "/mesh.yaml", limit: 1 << 20), as: UTF8.self)
        try mesh.apply(yaml.replacingOccurrences(of: "targetPort: 9000", with: "targetPort: 9099"))
      }
    ) { trio in
      #expect(try trio.client.call("\(Self.vip):8080") != .answer("hello"))
      var records: [[String: Any]] = []
      let isTold = try eventually(within: .seconds(20)) {
        records = try self.records(trio)
        return !records.isEmpty
      }
      #expect(isTold)
      for record in records {
        #expect(record["kind"] as? String == "closed")
        #expect(record["tier"] as? String == "relay")
        #expect(record["sentBytes"] as? Int == 0)
        #expect((record["destination"] as? [String: Any])?["address"] as? String == "10.77.0.3:9099")
      }
      #expect(try self.metric(trio, "istio_tcp_connections_opened_total", Self.edge) == 0)
      #expect(try self.metric(trio, "istio_tcp_connections_closed_total", Self.edge) == 0)
    }
  }

  @Test(
    "bytes of a connection are told while it is open, in both tiers, and once at its end", arguments: [80, 8080])
  func openBytes(port: Int) throws {
    try Trio.with("openbytes\(port)") { trio in
      let held = try trio.client.start(["python3", "-c", Programs.heldTransfer, Self.vip, "\(port)", "1000000"])
      #expect(eventually(within: .seconds(20)) { held.stdout.contains("open") }, "\(held.stderr)")
      for name in ["istio_tcp_sent_bytes_total", "istio_tcp_received_bytes_total"] {
        // What was acknowledged: the last acknowledgement may take its time.
        #expect(try eventually(within: .seconds(30)) { try self.metric(trio, name, Self.edge) == 1_000_000 }, "\(name)")
      }
      #expect(try self.metric(trio, "istio_tcp_connections_opened_total", Self.edge) == 1)
      #expect(try self.metric(trio, "istio_tcp_connections_closed_total", Self.edge) == 0)
      let listed = try trio.mesh.martlet(["show", "connections", "-o", "json"]).stdout
      let connections = try #require(try JSONSerialization.jsonObject(with: Data(listed.utf8)) as? [[String: Any]])
      #expect(connections.count == 1, "\(listed)")
      #expect(connections.first?["sentBytes"] as? Int == 1_000_000)
      #expect(connections.first?["service"] as? String == "demo/server")
      try held.child.signal(15)
      #expect(
        try eventually(within: .seconds(20)) {
          try self.metric(trio, "istio_tcp_connections_closed_total", Self.edge) == 1
        })
      #expect(try self.metric(trio, "istio_tcp_sent_bytes_total", Self.edge) == 1_000_000)
      #expect(try self.metric(trio, "istio_tcp_received_bytes_total", Self.edge) == 1_000_000)
    }
  }

  @Test("a call to a workload of this node that is not enrolled says so")
  func notEnrolled() throws {
    try Trio.with("notenrolled") { trio in
      let absent = """
        ---
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: absent, namespace: demo}
        spec: {node: a, serviceAccount: absent, addresses: [10.77.0.7], networkNamespace: /run/netns/martlet-not-there}

        """
      try trio.mesh.apply(trio.resources(Manifest.allow("client", to: "server")) + absent)
      let isTold = try eventually(within: .seconds(20)) {
        guard try trio.client.call("10.77.0.7:80", timeout: .seconds(1)) == .refused else { return false }
        return try self.records(trio, ["--reason", "not_enrolled"]).first != nil
      }
      #expect(isTold)
      let explain = try trio.mesh.martlet(["explain", "demo/client", "10.77.0.7:80"])
      #expect(explain.stdout.contains("not_enrolled"), "\(explain)")
    }
  }
}

extension Programs {
  /// Sends so many bytes to an echo server, reads them back, prints `open` and waits.
  static let heldTransfer = """
    import socket, sys, threading, time
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
    size = int(sys.argv[3])
    threading.Thread(target=lambda: s.sendall(b"x" * size), daemon=True).start()
    left = size
    while left > 0:
        left -= len(s.recv(min(left, 65536)))
    print("open", flush=True)
    time.sleep(300)
    """
}
