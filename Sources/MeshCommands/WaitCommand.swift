import ArgumentParser
import Glibc
import MeshBase
import MeshLinux
import MeshTelemetry

struct WaitCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "wait", abstract: "Wait until the mesh has enrolled a unit or a network namespace.",
    discussion: """
      Asks the agent to enrol it now, and returns when what it calls is steered. Run by a unit before its own program \
      (martlet enroll writes that), it closes the gap between the unit's start and its enrolment: run inside of the unit's \
      own cgroup, it returns only when that very cgroup is enrolled, not one of an earlier start. An agent that is not \
      there yet is waited for as well.

      Exit status: 0 enrolled, 1 not within the time, 2 wrong command line, 3 the agent cannot be reached. With --condition, \
      for ExecCondition= of a unit, 255 instead of 1, 2 and 3: systemd then fails the unit, and does not skip it silently.

      EXAMPLES
        martlet wait web.service
        martlet wait --netns /run/netns/web --timeout 10
      """)

  @Argument(help: ArgumentHelp("A systemd unit of this host.", valueName: "unit")) var unit: String?
  @Option(help: ArgumentHelp("A network namespace, as its Workload writes it.", valueName: "path")) var netns: String?
  @Option(help: ArgumentHelp("How long, in seconds.", valueName: "seconds")) var timeout: UInt32 = 60
  @Flag(help: "Fail with exit status 255, for ExecCondition= of a unit.") var condition = false
  @OptionGroup var instance: InstanceOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard (self.unit == nil) != (self.netns == nil) else {
      throw ValidationError("Give a unit, or a namespace with --netns.")
    }
  }

  func run() async throws {
    do {
      let own = self.unit.flatMap { OwnUnitCgroup(unit: $0) }
      var query: [String: String] = [:]
      query["unit"] = self.unit
      query["netns"] = self.netns
      query["cgroup"] = own?.path
      let question = try EnrolQuestion(query: query)
      let report = try await EnrolmentWait(
        socketPath: self.instance.socketPath, seconds: self.timeout, question: question, cgroup: own?.id
      ).run()
      Console.print(try Presentation.text(report, self.output.output) { $0.message })
    } catch  where self.condition {
      let message =
        (error as? StatusError)?.message ?? (error as? MeshError)?.description ?? "\(error)"
      throw StatusError(.failsUnit, message)
    }
  }
}

/// The cgroup of a unit that this process is in.
struct OwnUnitCgroup {
  /// Below the cgroup2 root.
  var path: String
  var id: UInt64

  /// Nil if this process is in no cgroup of that name.
  init?(unit: String) {
    guard let own = try? Cgroup.relativePath(ofProcess: getpid()), let path = Self.path(of: unit, in: own),
      let root = try? Cgroup.unified(), let cgroup = try? Cgroup.open(path: root.path + path)
    else { return nil }
    self.path = path
    self.id = cgroup.id
  }

  /// The part of a path that ends with the unit: processes may be in a child, as control processes of delegated units are.
  static func path(of unit: String, in own: String) -> String? {
    let parts = own.split(separator: "/")
    guard let index = parts.lastIndex(where: { $0 == unit }) else { return nil }
    return parts[...index].map { "/" + $0 }.joined()
  }
}

/// Asks again until it is so, or until the time is over.
struct EnrolmentWait {
  var socketPath: String
  var seconds: UInt32
  var question: EnrolQuestion
  /// What has to be enrolled, if the caller is in it: not an earlier one of the same name.
  var cgroup: UInt64?

  private static let firstPause = Duration.milliseconds(10)
  private static let longestPause = Duration.milliseconds(250)

  /// Throws what was missing at the end.
  func run() async throws -> EnrolReport {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(self.seconds)
    var pause = Self.firstPause
    while true {
      let left = (end - clock.now).components.seconds
      let failure: StatusError
      do {
        let report = try await self.ask(seconds: max(1, min(left, 5)))
        if report.state == .enrolled, self.cgroup == nil || report.cgroup == self.cgroup { return report }
        failure = StatusError(.no, self.text(report))
      } catch let error as StatusError {
        failure = error
      } catch let error as MeshError {
        // What is wrong with the question does not mend itself.
        guard error.code != .invalid, error.code != .notFound, error.code != .unsupported else { throw error }
        failure = StatusError(.no, error.description)
      }
      guard clock.now + pause < end else { throw failure }
      try await Task.sleep(for: pause)
      pause = min(pause * 2, Self.longestPause)
    }
  }

  private func ask(seconds: Int64) async throws -> EnrolReport {
    let client = AgentClient(socketPath: self.socketPath, seconds: seconds)
    let bytes = try await client.bytes(.post, "/v1/enrol", query: self.question.query)
    return try ReportCoding.decode(EnrolReport.self, from: bytes)
  }

  private func text(_ report: EnrolReport) -> String {
    let what =
      report.state == .enrolled
      ? "\(report.workload ?? "a Workload") has an earlier cgroup of that name" : report.message
    return "\(self.question.subject) is not in the mesh after \(self.seconds) s: \(what)"
      + (report.next.map { "; \($0)" } ?? "")
  }
}
