import ArgumentParser
import MeshTelemetry

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Say whether this host is fit for the mesh. Changes nothing.",
    discussion: """
      Looks at the kernel (6.1 or later), user and capabilities, cgroup2, bpffs, BTF, the program types that the kernel \
      takes, programs of others at the hooks that the mesh uses (of --cgroup-root and the cgroups above it, of named network \
      namespaces, of the host's ends of veth pairs), limits, binaries and BPF objects. Needs no other tool. Each line is \
      ok, warn or fail; a line that is not ok says why it matters and what to do next. warn: it works without. Exit status 1 \
      if a line fails.

      EXAMPLES
        martlet check --bpf-dir .build/bpf
        martlet check -o json | jq '.[] | select(.state != "ok")'
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
