import MeshBase
import MeshTelemetry
import Testing

@testable import MeshCommands

@Suite("The files of an enrolled unit")
struct UnitEnrolmentTests {
  private func enrolment(_ unit: String = "web.service") throws -> UnitEnrolment {
    UnitEnrolment(
      unit: unit, workload: try #require(ResourceName(namespace: "shop", name: "web")), node: "host-1",
      serviceAccount: "web", labels: ["tier": "front \"1\""], ports: [.init(name: "http", number: 8080)],
      networkNamespace: nil, executable: "/usr/bin/martlet", runDirectory: "/run/martlet", timeout: 60)
  }

  @Test("the Workload names unit, node, account, labels and ports")
  func manifest() throws {
    #expect(
      try self.enrolment().manifest == """
        # Written by martlet enroll; martlet unenroll web.service removes it.
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata:
          name: web
          namespace: shop
          labels:
            "app": "web"
            "tier": "front \\"1\\""
        spec:
          node: "host-1"
          serviceAccount: "web"
          systemdUnit: "web.service"
          ports:
            - {name: "http", port: 8080}

        """)
  }

  @Test("the drop-in waits before everything else of the unit, as root, and fails the unit")
  func dropIn() throws {
    #expect(
      try self.enrolment().dropIn == """
        # Written by martlet enroll; martlet unenroll web.service removes it.
        # The unit starts when the mesh has enrolled it, or fails to start.
        [Unit]
        Wants=martlet-workloads.target
        After=martlet-workloads.target

        [Service]
        ExecCondition=+/usr/bin/martlet wait --condition --timeout 60 %n

        """)
    var other = try self.enrolment()
    other.networkNamespace = "/run/netns/we b%"
    other.runDirectory = "/run/m2"
    other.executable = "/opt/ma$rt/martlet"
    #expect(
      other.dropIn.contains(
        "ExecCondition=+/opt/ma$$rt/martlet wait --condition --timeout 60 --run-dir /run/m2 --netns \"/run/netns/we b%%\"\n"
      ))
    #expect(
      other.manifest.contains("  networkNamespace: \"/run/netns/we b%\"\n") && !other.manifest.contains("systemdUnit"))
  }

  @Test("a unit that serves nothing says so")
  func clientOnly() throws {
    var other = try self.enrolment()
    other.ports = []
    #expect(other.manifest.hasSuffix("  ports: []\n"))
  }

  @Test(
    "names of Workloads come from names of units",
    arguments: [
      ("web.service", "web"), ("app@blue.service", "app-blue"), ("My_App.v2.service", "my-app-v2"),
      ("a\\x2db.service", "a-x2db"), ("@.service", nil), ("-.service", nil),
    ])
  func name(unit: String, expected: String?) {
    #expect(UnitEnrolment.name(of: unit) == expected)
  }

  @Test("ports have a name or get one; what is none is refused")
  func ports() throws {
    #expect(try UnitEnrolment.port("8080") == .init(name: "port-8080", number: 8080))
    #expect(try UnitEnrolment.port("http=80") == .init(name: "http", number: 80))
    for text in ["", "0", "65536", "http=", "=80", "http=80=1", "-1", "http"] {
      #expect(throws: MeshError.self, "\(text)") { try UnitEnrolment.port(text) }
    }
  }

  @Test("a process knows its unit's cgroup by its own, also from a child of it")
  func ownCgroup() {
    #expect(OwnUnitCgroup.path(of: "web.service", in: "/system.slice/web.service") == "/system.slice/web.service")
    #expect(
      OwnUnitCgroup.path(of: "web.service", in: "/a.slice/web.service/.control") == "/a.slice/web.service")
    #expect(OwnUnitCgroup.path(of: "web.service", in: "/system.slice/webb.service") == nil)
    #expect(OwnUnitCgroup.path(of: "web.service", in: "/") == nil)
  }

  @Test("what systemctl show prints is read, empty values left out")
  func properties() {
    #expect(
      UnitFacts.parse("LoadState=loaded\nControlGroup=/x=y\nNetworkNamespacePath=\nnonsense\n") == [
        "LoadState": "loaded", "ControlGroup": "/x=y",
      ])
  }
}
