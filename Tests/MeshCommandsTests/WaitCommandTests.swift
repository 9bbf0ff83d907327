import MeshTelemetry
import Synchronization
import Testing

@testable import MeshCommands

@Suite("martlet wait")
struct WaitCommandTests {
  private func agent(_ reports: EnrolReport...) -> FakeAgent {
    let agent = FakeAgent()
    agent.enrolments.withLock { $0 = reports }
    return agent
  }

  private let pending = EnrolReport(.pending, message: "its cgroup is not there yet")
  private let enrolled = EnrolReport(.enrolled, workload: "shop/web", cgroup: 5, message: "enrolled as shop/web")

  @Test("asks until it is enrolled")
  func enrolment() async throws {
    let agent = self.agent(self.pending, self.pending, self.enrolled)
    try await agent.serve { directory in
      let result = await CommandLineResult.of("wait", "web.service", "--run-dir", directory)
      #expect(result.status == .yes && result.out == "enrolled as shop/web\n", "\(result)")
      #expect(
        agent.enrolQuestions.withLock { $0 } == Array(repeating: .unit(name: "web.service", cgroup: nil), count: 3))
      let json = await CommandLineResult.of("wait", "--netns", "/run/netns/a", "--run-dir", directory, "-o", "json")
      #expect(json.status == .yes && json.out.contains("\"state\" : \"enrolled\""))
      #expect(agent.enrolQuestions.withLock { $0.last } == .namespace(path: "/run/netns/a"))
    }
  }

  @Test("says what was missing when the time is over; a condition fails the unit then")
  func timeout() async throws {
    let unknown = EnrolReport(.unknown, message: "no Workload names it", next: "write one")
    try await self.agent(unknown).serve { directory in
      let result = await CommandLineResult.of("wait", "web.service", "--run-dir", directory, "--timeout", "0")
      #expect(result.status == .no)
      #expect(
        result.errors == "martlet: web.service is not in the mesh after 0 s: no Workload names it; write one\n")
      let condition = await CommandLineResult.of(
        "wait", "web.service", "--run-dir", directory, "--timeout", "0", "--condition")
      #expect(condition.status == .failsUnit && condition.errors == result.errors)
    }
  }

  @Test("the cgroup of an earlier start does not count")
  func successor() async throws {
    let agent = self.agent(self.enrolled, EnrolReport(.enrolled, workload: "shop/web", cgroup: 6, message: "now"))
    try await agent.serve { directory in
      let wait = EnrolmentWait(
        socketPath: directory + "/agent.sock", seconds: 10, question: .unit(name: "web.service", cgroup: nil), cgroup: 6
      )
      let message = try await wait.run().message
      #expect(message == "now")
      agent.enrolments.withLock { $0 = [self.enrolled] }
      let failure = await #expect(throws: StatusError.self) {
        try await EnrolmentWait(socketPath: directory + "/agent.sock", seconds: 0, question: wait.question, cgroup: 6)
          .run()
      }
      #expect(failure?.message?.contains("has an earlier cgroup of that name") == true)
    }
  }

  @Test("without an agent it waits for one, and fails closed")
  func unreachable() async {
    let result = await CommandLineResult.of("wait", "web.service", "--run-dir", "/tmp/mt-nobody", "--timeout", "0")
    #expect(result.status == .unreachable)
    let condition = await CommandLineResult.of(
      "wait", "web.service", "--run-dir", "/tmp/mt-nobody", "--timeout", "0", "--condition")
    #expect(condition.status == .failsUnit)
  }

  @Test(
    "one subject, and one that can be",
    arguments: [
      [], ["web.service", "--netns", "/run/netns/a"], ["web"], ["--netns", "relative"], ["--netns", "/run/../etc"],
      ["web.service", "--timeout", "-1"],
    ] as [[String]])
  func usage(arguments: [String]) async {
    let result = await CommandLineResult.of(["wait"] + arguments)
    #expect(result.status == .usage, "\(result)")
  }
}
