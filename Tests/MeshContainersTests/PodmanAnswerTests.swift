import MeshBase
import Testing

@testable import MeshContainers

@Suite("What podman answers")
struct PodmanAnswerTests {
  private static let id = String(repeating: "be380dc16f30", count: 5) + "abcd"

  @Test("a list gives ids, names, labels and first processes")
  func list() throws {
    let text = """
      [{"Id":"\(Self.id)","Names":["web"],"Labels":{"app":"web","x":"y z"},"Pid":11001,"State":"running","Ports":null,"Size":null},
       {"Id":"aa","Names":["old"],"Labels":null,"Pid":0,"State":"exited","ExitCode":137},
       {"Id":"bb","Names":null,"Pid":7,"State":"stopped"}]
      """
    #expect(
      try PodmanAnswer.containers(Array(text.utf8)) == [
        ContainerRecord(id: Self.id, name: "web", labels: ["app": "web", "x": "y z"], process: 11001),
        ContainerRecord(id: "aa", name: "old", labels: [:]), ContainerRecord(id: "bb", name: nil, labels: [:]),
      ])
    #expect(try PodmanAnswer.containers(Array("[]".utf8)).isEmpty)
  }

  @Test("published TCP ports are read, ranges included; what is no port is left out")
  func publications() throws {
    func read(_ ports: String) throws -> [ContainerPublication] {
      try PodmanAnswer.containers(Array("[{\"Id\":\"aa\",\"Ports\":\(ports)}]".utf8)).first?.publications ?? []
    }
    let text = """
      [{"host_ip":"","container_port":80,"host_port":8080,"range":1,"protocol":"tcp"},
       {"host_ip":"127.0.0.1","container_port":7000,"host_port":9000,"range":3,"protocol":"udp,tcp"},
       {"host_ip":"","container_port":53,"host_port":53,"range":1,"protocol":"udp"},
       {"container_port":1,"host_port":65535}]
      """
    #expect(
      try read(text) == [
        ContainerPublication(host: "", hostPort: 8080, containerPort: 80, count: 1),
        ContainerPublication(host: "127.0.0.1", hostPort: 9000, containerPort: 7000, count: 3),
        ContainerPublication(host: "", hostPort: 65_535, containerPort: 1, count: 1),
      ])
    let long = String(repeating: "1", count: 65)
    for odd in [
      "null", "7", "{}", "{\"container_port\":0,\"host_port\":1}", "{\"container_port\":1,\"host_port\":65536}",
      "{\"container_port\":1,\"host_port\":-1}", "{\"container_port\":1,\"host_port\":2,\"range\":65535}",
      "{\"container_port\":65000,\"host_port\":1,\"range\":537}", "{\"container_port\":\"1\",\"host_port\":2}",
      "{\"container_port\":1,\"host_port\":2,\"range\":9223372036854775807}",
      "{\"container_port\":1,\"host_port\":2,\"host_ip\":\"\(long)\"}",
    ] {
      #expect(try read("[\(odd),{\"container_port\":1,\"host_port\":2}]").map(\.hostPort) == [2], "\(odd)")
    }
  }

  @Test("a container that is not as expected is left out, and hides no other")
  func odd() throws {
    let odd = [
      "null", "7", "\"web\"", "[]", "{}", "{\"Id\":7}", "{\"Id\":\"../x\"}", "{\"Id\":\"\"}", "{\"Id\":\"a b\"}",
      "{\"Id\":\"cc\",\"Pid\":\"1\"}", "{\"Id\":\"cc\",\"Pid\":1e400}", "{\"Id\":\"cc\",\"Pid\":18446744073709551616}",
      "{\"Id\":\"cc\",\"Labels\":{\"a\":1}}", "{\"Id\":\"cc\",\"Names\":[[]]}",
    ]
    for item in odd {
      let found = try PodmanAnswer.containers(Array("[\(item),{\"Id\":\"aa\",\"Pid\":5}]".utf8))
      #expect(found == [ContainerRecord(id: "aa", labels: [:], process: 5)], "\(item)")
    }
    // Numbers that are no process.
    for pid in ["-1", "0", "4294967296", "9223372036854775807"] {
      let found = try PodmanAnswer.containers(Array("[{\"Id\":\"aa\",\"Pid\":\(pid)}]".utf8))
      #expect(found == [ContainerRecord(id: "aa", labels: [:])], "\(pid)")
    }
  }

  @Test(
    "what is no list is an error, and nothing traps",
    arguments: [
      "", "{}", "null", "[", "[{\"Id\":\"aa\"}", "\u{0}", "{\"cause\":\"no such thing\"}",
      String(repeating: "[", count: 100_000),
      String(repeating: "[", count: 400) + String(repeating: "]", count: 400) + "x",
    ])
  func noList(text: String) {
    #expect(throws: MeshError.self) { try PodmanAnswer.containers(Array(text.utf8)) }
  }

  @Test("events: creation brings name and labels, removal the end; what happens inside is nothing")
  func events() {
    func event(_ action: String, type: String = "container") -> ContainerEvent? {
      let line = """
        {"status":"\(action)","id":"aa","Type":"\(type)","Action":"\(action)","Actor":{"ID":"aa","Attributes":{"app":"web",\
        "containerExitCode":"0","image":"i","name":"web","podId":""}},"scope":"local","time":1,"timeNano":2}
        """
      return PodmanAnswer.event(Array(line.utf8))
    }
    #expect(event("create") == ContainerEvent(.made, id: "aa", name: "web", labels: ["app": "web"]))
    #expect(event("remove") == ContainerEvent(.removed, id: "aa"))
    #expect(event("died") == ContainerEvent(.other, id: "aa"))
    #expect(event("exec") == nil)
    #expect(event("create", type: "image") == nil)
    for line in ["", "{", "[]", "{\"Type\":\"container\",\"Action\":\"create\",\"Actor\":{}}", "\u{ff}"] {
      #expect(PodmanAnswer.event(Array(line.utf8)) == nil, "\(line)")
    }
  }
}
