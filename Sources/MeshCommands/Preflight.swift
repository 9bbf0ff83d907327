import MeshBPF
import MeshBase
import MeshTelemetry

/// Whether a host is fit for the mesh: facts in, one line a check out.
struct Preflight: Sendable {
  var facts: HostFacts

  var checks: [HealthCheck] {
    [
      self.kernel, self.root, self.capabilities, self.cgroup, self.pins, self.btf, self.programTypes, self.owners,
      self.files, self.tools, self.objects,
    ]
  }

  private var kernel: HealthCheck {
    let numbers = self.facts.kernel.split { !$0.isASCII || !$0.isNumber }.prefix(2).compactMap { Int($0) }
    guard numbers.count == 2 else {
      return HealthCheck("kernel", .warn, "release \"\(self.facts.kernel)\" is not understood; 6.1 is needed")
    }
    // bpf_link at tc came with 6.6: before, a filter on a clsact qdisc does the same.
    let edge = (numbers[0], numbers[1]) >= (6, 6) ? "tcx links" : "clsact filters"
    return (numbers[0], numbers[1]) >= (6, 1)
      ? HealthCheck("kernel", .ok, "\(self.facts.kernel), veths are guarded by \(edge)")
      : HealthCheck(
        "kernel", .fail, "\(self.facts.kernel) is older than 6.1, whose BPF features the programs need",
        next: "boot a kernel from 6.1 on")
  }

  private var root: HealthCheck {
    self.facts.isRoot
      ? HealthCheck("user", .ok, "root")
      : HealthCheck(
        "user", .fail, "not root: only root may load programs and enter namespaces", next: "run it with sudo")
  }

  private var capabilities: HealthCheck {
    guard let held = self.facts.capabilities else {
      return HealthCheck("capabilities", .warn, "/proc/self/status cannot be read")
    }
    let missing = HostFacts.needed.filter { held & (1 << $0.bit) == 0 }.map(\.name)
    return missing.isEmpty
      ? HealthCheck("capabilities", .ok, "all that are needed")
      : HealthCheck(
        "capabilities", .fail,
        "missing: \(missing.joined(separator: ", ")); the agent loads programs, enters namespaces and starts the proxy",
        next: "grant them: a container needs --privileged, a unit no CapabilityBoundingSet that lacks them")
  }

  private var cgroup: HealthCheck {
    guard let mount = self.facts.cgroup2 else {
      return HealthCheck(
        "cgroup2", .fail, "not mounted: the programs that decide at connect are attached to cgroups",
        next: "mount -t cgroup2 none /sys/fs/cgroup/unified")
    }
    guard self.facts.cgroupRootIsCgroup2 else {
      return HealthCheck(
        "cgroup2", .fail, "\(self.facts.cgroupRoot) is no directory of cgroup2, so no program can be attached to it",
        next: "give --cgroup-root below \(mount)")
    }
    return HealthCheck("cgroup2", .ok, "mounted at \(mount), programs go to \(self.facts.cgroupRoot)")
  }

  private var pins: HealthCheck {
    self.facts.pinDirIsBPFFS
      ? HealthCheck("bpffs", .ok, self.facts.pinDir)
      : HealthCheck(
        "bpffs", .fail, "\(self.facts.pinDir) is not in a bpffs: pins there keep the programs while the agent restarts",
        next: "mount -t bpf bpf /sys/fs/bpf")
  }

  private var btf: HealthCheck {
    self.facts.hasBTF
      ? HealthCheck("btf", .ok, "/sys/kernel/btf/vmlinux")
      : HealthCheck(
        "btf", .fail, "/sys/kernel/btf/vmlinux is missing: the loader describes programs and maps to the kernel by it",
        next: "use a kernel with CONFIG_DEBUG_INFO_BTF=y")
  }

  private var programTypes: HealthCheck {
    guard let types = self.facts.programTypes else {
      return HealthCheck(
        "program types", .warn, "the kernel was not asked: \(self.facts.programTypesProblem ?? "no answer")",
        next: "run it as root, or load the programs with martlet verify")
    }
    let missing = types.filter { !$0.value }.keys.sorted()
    return missing.isEmpty
      ? HealthCheck("program types", .ok, types.keys.sorted().joined(separator: ", "))
      : HealthCheck(
        "program types", .fail, "the kernel refuses \(missing.joined(separator: ", ")), of which the datapath consists",
        next: "use a kernel with CONFIG_BPF_SYSCALL, CONFIG_CGROUP_BPF, CONFIG_NET_CLS_BPF and CONFIG_INET")
  }

  private var owners: HealthCheck {
    guard let owners = self.facts.owners else {
      return HealthCheck(
        "other owners", .warn, "the hooks were not asked: \(self.facts.ownersProblem ?? "no answer")",
        next: "run it as root")
    }
    let others = owners.filter { !$0.program.hasPrefix("mesh_") }
    guard !others.isEmpty else {
      return HealthCheck(
        "other owners", .ok, "nobody else on our hooks: \(self.facts.cgroupRoot), named namespaces, veths")
    }
    let shown = others.prefix(8).map { "\($0.program) at \($0.hook)" }.joined(separator: ", ")
    return HealthCheck(
      "other owners", .warn,
      "also attached: \(shown)" + (others.count > 8 ? " and \(others.count - 8) more" : "")
        + "; they run beside ours and may refuse or rewrite what ours decided",
      next: "switch off what rewrites addresses (Cilium's socket balancer); the rest may stay")
  }

  private var files: HealthCheck {
    // The agent holds three listeners and a stock of sockets for each workload.
    let wanted: UInt64 = 65_536
    if self.facts.openFilesHard >= wanted { return HealthCheck("open files", .ok, "limit \(self.facts.openFilesHard)") }
    let next = "set LimitNOFILE=\(wanted) in martletd.service, or ulimit -n \(wanted)"
    return HealthCheck(
      "open files", self.facts.openFilesHard < 4096 ? .fail : .warn,
      "hard limit \(self.facts.openFilesHard), \(wanted) wanted: listeners and sockets of each workload are held",
      next: next)
  }

  private var tools: HealthCheck {
    self.facts.missingTools.isEmpty
      ? HealthCheck("binaries", .ok, "all found")
      : HealthCheck(
        "binaries", .warn,
        "not in PATH: \(self.facts.missingTools.joined(separator: ", ")); iperf3 is for martlet bench only",
        next: "scripts/build makes ours; apt-get install iperf3")
  }

  private var objects: HealthCheck {
    guard let objects = self.facts.objects else {
      return HealthCheck(
        "bpf objects", .fail, "\(self.facts.bpfDir) is not there: the agent loads its programs from it",
        next: "scripts/build makes them; give --bpf-dir")
    }
    return objects.isEmpty
      ? HealthCheck(
        "bpf objects", .fail, "no *.bpf.o in \(self.facts.bpfDir)", next: "scripts/build makes them; give --bpf-dir")
      : HealthCheck("bpf objects", .ok, "\(objects.count) in \(self.facts.bpfDir)")
  }
}
