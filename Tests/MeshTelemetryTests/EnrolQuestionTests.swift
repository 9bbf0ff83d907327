import MeshBase
import MeshTelemetry
import Testing

@Suite("What is asked to be enrolled")
struct EnrolQuestionTests {
  @Test("comes back as it was asked")
  func roundTrip() throws {
    let questions: [EnrolQuestion] = [
      .unit(name: "web.service", cgroup: nil), .unit(name: "app@a.service", cgroup: "/x.slice/app@a.service"),
      .namespace(path: "/run/netns/web"),
    ]
    for question in questions {
      let query = Dictionary(
        uniqueKeysWithValues: question.query.compactMap { name, value in value.map { (name, $0) } })
      #expect(try EnrolQuestion(query: query) == question)
    }
  }

  @Test(
    "anything else is refused",
    arguments: [
      [:], ["unit": ""], ["unit": "web"], ["unit": "../web.service"], ["unit": "web.service", "netns": "/a"],
      ["unit": "web.service", "cgroup": "/system.slice"], ["unit": "web.service", "cgroup": "/../web.service"],
      ["unit": "web.service", "cgroup": "web.service"], ["netns": "run"], ["netns": "/run//a"], ["netns": "/a/../b"],
      ["netns": "/a\n"], ["netns": "/" + String(repeating: "a", count: 5000)],
    ] as [[String: String]])
  func refused(query: [String: String]) {
    #expect(throws: MeshError.self) { try EnrolQuestion(query: query) }
  }
}
