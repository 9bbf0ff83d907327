import ArgumentParser
import MeshTelemetry

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Say whether this host is fit for the mesh. Changes nothing.",
    discussion: """
      Looks at the kernel (6.1 or later), user and capabilities, cgroup2, bpffs, BTF, program types (through bpftool, if it \
      is there), programs of others on the hooks that the mesh uses, limits, binaries and BPF objects. Each line is ok, \
      warn or fail, with the next step. Exit status 1 if a line fails.

      EXAMPLE
        martlet check --bpf-dir .build/bpf
      """)

  @OptionGroup var datapath: DatapathOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let facts = HostFacts.gather(
      pinDir: self.datapath.pinDir, cgroupRoot: self.datapath.cgroupRoot, bpfDir: self.datapath.bpfDir)
    let checks = Preflight(facts: facts).checks
    Console.print(try Presentation.text(checks, self.output.output, table: Presentation.table))
    if checks.contains(where: { $0.state == .fail }) { throw StatusError(.no) }
  }
}
