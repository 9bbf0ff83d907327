import ArgumentParser
import MeshBase

/// The paths of one instance of the mesh. Several can share a kernel, each under its own.
struct InstanceOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Directory of agent.sock and the other sockets.", valueName: "dir"))
  var runDir = "/run/martlet"

  var socketPath: String { self.runDir + "/agent.sock" }
}

/// Paths for commands that work on the kernel themselves.
struct DatapathOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Directory in bpffs that holds the pins.", valueName: "dir"))
  var pinDir = "/sys/fs/bpf/martlet"

  @Option(
    help: ArgumentHelp(
      "Directory in cgroup2 that programs are attached to. Default: where cgroup2 is mounted.", valueName: "dir"))
  var cgroupRoot: String?

  @Option(help: ArgumentHelp("Directory of the compiled BPF objects.", valueName: "dir"))
  var bpfDir = "/usr/lib/martlet/bpf"
}

enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable {
  case table
  case json
  case yaml
}

struct OutputOptions: ParsableArguments {
  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      "How to print: table, json or yaml. Names of fields in json and yaml are stable.", valueName: "format"))
  var output = OutputFormat.table
}
