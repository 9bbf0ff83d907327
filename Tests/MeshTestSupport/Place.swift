import Glibc
import MeshBase
package import MeshLinux

/// A namespace and a cgroup that programs are started in.
package protocol Place: Sendable {
  var name: String { get }
  var world: World { get }
  /// Under /run/netns.
  var namespacePath: String { get }
  var namespace: NetworkNamespace { get }
  var cgroup: Cgroup { get }
}

/// What a finished program has said.
package struct Finished: Sendable, CustomStringConvertible {
  package var status: Termination
  package var stdout: String
  package var stderr: String

  package var isSuccess: Bool { self.status.isSuccess }

  package var description: String { "\(self.status)\nstdout: \(self.stdout)\nstderr: \(self.stderr)" }
}

extension Place {
  /// Starts a program in the namespace and the cgroup. It goes on until it ends, is stopped, or the World goes.
  package func start(
    _ command: [String], environment: [String: String] = [:], input: String? = nil,
    descriptors: [CInt: CInt] = [:], user: ChildProcess.User? = nil
  ) throws -> WorldProcess {
    try self.world.start(
      command, environment: environment, input: input, descriptors: descriptors, cgroup: self.cgroup,
      namespace: self.namespace, user: user)
  }

  /// Starts a program and waits for its end. One that takes longer is killed, and is an error that holds what it said.
  package func run(
    _ command: [String], environment: [String: String] = [:], input: String? = nil, timeout: Duration = .seconds(30)
  ) throws -> Finished {
    try self.start(command, environment: environment, input: input).finish(within: timeout)
  }

  /// Lines of ip(8), in one batch, in the namespace. The first that fails is an error.
  package func ip(_ commands: [String]) throws {
    let finished = try self.run(["ip", "-batch", "-"], input: commands.joined(separator: "\n") + "\n")
    guard finished.isSuccess else {
      throw MeshError(.internal, self.name, "ip \(commands) failed", cause: finished.description)
    }
  }
}

extension World {
  /// In the machine's own namespace, but in the World's cgroup.
  func ip(arguments: [String]) throws {
    let finished = try self.start(["ip"] + arguments, cgroup: self.cgroup).finish(within: .seconds(30))
    guard finished.isSuccess else {
      throw MeshError(.internal, "ip", "ip \(arguments) failed", cause: finished.description)
    }
  }

  func start(
    _ command: [String], environment: [String: String] = [:], input: String? = nil,
    descriptors: [CInt: CInt] = [:], cgroup: Cgroup, namespace: NetworkNamespace? = nil,
    user: ChildProcess.User? = nil
  ) throws -> WorldProcess {
    guard let program = command.first else { throw MeshError(.invalid, "command", "is empty") }
    let outputPath = self.newPath("out")
    let errorPath = self.newPath("err")
    let inputPath: String
    if let input {
      inputPath = self.newPath("in")
      try input.write(toFile: inputPath)
    } else {
      inputPath = "/dev/null"
    }
    let standardInput = try Descriptor.open(inputPath, O_RDONLY)
    let standardOutput = try Descriptor.open(outputPath, O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
    let standardError = try Descriptor.open(errorPath, O_WRONLY | O_CREAT | O_APPEND, mode: 0o644)
    var all = descriptors
    all[0] = standardInput.rawValue
    all[1] = standardOutput.rawValue
    all[2] = standardError.rawValue
    var variables = ["PATH": Self.path.joined(separator: ":"), "LC_ALL": "C.UTF-8"]
    if let home = getenv("HOME") { variables["HOME"] = String(cString: home) }
    variables.merge(environment) { $1 }
    let child = try ChildProcess.spawn(
      ChildProcess.Configuration(
        try Self.resolve(program), Array(command.dropFirst()), environment: variables, descriptors: all,
        cgroup: cgroup, namespace: namespace, user: user))
    return WorldProcess(child, command: command, world: self, outputPath: outputPath, errorPath: errorPath)
  }

  /// The system's programs before any that a developer has put before them.
  private static var path: [String] {
    let own = getenv("PATH").map { String(cString: $0).split(separator: ":").map(String.init) } ?? []
    return ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] + own
  }

  private static func resolve(_ program: String) throws -> String {
    if program.contains("/") { return program }
    for directory in self.path where access("\(directory)/\(program)", X_OK) == 0 { return "\(directory)/\(program)" }
    throw MeshError(.notFound, program, "there is no such program", next: "apt-get install it")
  }
}
