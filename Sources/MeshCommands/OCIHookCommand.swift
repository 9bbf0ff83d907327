import ArgumentParser
import Glibc
import MeshBase
import MeshContainers
import MeshLinux
import MeshSnapshot
import MeshTelemetry

struct OCIHookCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "oci-hook", abstract: "A hook of container runtimes: a container starts when the mesh has it.",
    discussion: """
      For the stage createRuntime of the OCI runtime specification: reads the container's state on standard input, asks the \
      agent to enrol it, and returns when what the container will call is steered. A container that no Workload of this \
      node names is let pass at once. One that has a Workload and cannot be enrolled within --timeout fails to start, and so \
      does every container while no agent can be asked, unless --without-agent pass says otherwise.

      podman runs it by a file in /usr/share/containers/oci/hooks.d: /usr/lib/martlet/oci-hook.json is one. See
      docs/install.md.

      EXAMPLE
        install -D -m 644 /usr/lib/martlet/oci-hook.json /usr/share/containers/oci/hooks.d/martlet.json

      Exit status: 0 enrolled, or not of the mesh; 1 not within the time; 2 no state on standard input; 3 no agent.
      """)

  enum WithoutAgent: String, ExpressibleByArgument, CaseIterable, Sendable {
    case fail
    case pass
  }

  @Option(help: ArgumentHelp("How long, in seconds.", valueName: "seconds")) var timeout: UInt32 = 20
  @Option(help: ArgumentHelp("What happens to containers while no agent answers: fail or pass.", valueName: "what"))
  var withoutAgent = WithoutAgent.fail
  @OptionGroup var instance: InstanceOptions

  func run() async throws {
    let state = try OCIState(try Self.standardInput())
    let question = EnrolQuestion.container(
      id: state.id, process: state.process, name: Conmon.name(ofContainer: state.id, from: getppid()))
    do {
      let report = try await EnrolmentWait(
        socketPath: self.instance.socketPath, seconds: self.timeout, question: question, takesUnknown: true
      ).run()
      // Runtimes show what a hook says only if it fails.
      Console.print(report.message)
    } catch let error as StatusError where error.status == .unreachable && self.withoutAgent == .pass {
      Console.complain("martlet: \(error.message ?? "no agent"): the container starts outside of the mesh")
    }
  }

  /// At most what a state may have, and one byte more.
  private static func standardInput() throws(MeshError) -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while bytes.count <= OCIState.limit {
      let count = read(STDIN_FILENO, &chunk, chunk.count)
      if count < 0 {
        if errno == EINTR { continue }
        throw MeshError(.invalid, "standard input", "cannot be read", cause: String(cString: strerror(errno)))
      }
      if count == 0 { break }
      bytes += chunk[..<count]
    }
    return bytes
  }
}

/// podman's monitor of a container, which started the runtime that started the hook: its command line has the container's
/// name. The API cannot be asked for it now: podman holds the container's lock until the hook has ended.
enum Conmon {
  private static let levels = 8
  private static let commandLimit = 1 << 20

  /// Nil if no monitor is among the ancestors.
  static func name(ofContainer id: String, from process: Int32) -> String? {
    var process = process
    for _ in 0..<self.levels where process > 1 {
      if let bytes = try? DiskFile.read("/proc/\(process)/cmdline", limit: self.commandLimit),
        let name = self.name(ofContainer: id, in: bytes)
      {
        return name
      }
      guard let status = try? DiskFile.read("/proc/\(process)/status", limit: 65_536),
        let parent = self.parent(in: String(decoding: status, as: UTF8.self))
      else { return nil }
      process = parent
    }
    return nil
  }

  /// `conmon … -c ID … -n NAME …`, words divided by NUL.
  static func name(ofContainer id: String, in commandLine: [UInt8]) -> String? {
    let words = commandLine.split(separator: 0, omittingEmptySubsequences: false).map {
      String(decoding: $0, as: UTF8.self)
    }
    guard let program = words.first, program == "conmon" || program.hasSuffix("/conmon") else { return nil }
    func value(of option: String) -> String? {
      guard let index = words.firstIndex(of: option), index + 1 < words.count else { return nil }
      return words[index + 1]
    }
    guard value(of: "-c") == id, let name = value(of: "-n"), ContainerSelector.isName(name) else { return nil }
    return name
  }

  /// From text of /proc/PID/status (proc(5)).
  static func parent(in status: String) -> Int32? {
    for line in status.split(separator: "\n") where line.hasPrefix("PPid:") {
      return Int32(line.dropFirst("PPid:".count).drop { $0 == "\t" || $0 == " " })
    }
    return nil
  }
}
