/// What `martlet check` knows about a host. Gathered by `HostFacts.gather`, judged by `Preflight`.
struct HostFacts: Sendable, Hashable {
  /// `uname -r`.
  var kernel = ""
  var isRoot = false
  /// Bits of CapEff in /proc/self/status; nil if it cannot be read.
  var capabilities: UInt64?
  /// Where cgroup2 is mounted, if it is.
  var cgroup2: String?
  /// The cgroup root that is wanted, and whether it is a directory of cgroup2.
  var cgroupRoot = ""
  var cgroupRootIsCgroup2 = false
  /// The pin directory that is wanted, and whether it (or what exists above it) is in bpffs.
  var pinDir = ""
  var pinDirIsBPFFS = false
  var hasBTF = false
  var openFiles: UInt64 = 0
  var openFilesHard: UInt64 = 0
  /// Program types by the kernel's probe, `have_cgroup_sock_addr_prog_type` and the like; nil: not probed.
  var programTypes: [String: Bool]?
  /// Programs attached to the cgroup root: attach type and name; nil: not asked.
  var owners: [Owner]?
  /// Programs that are not found.
  var missingTools: [String] = []
  var bpfDir = ""
  /// Objects found in `bpfDir`; nil: there is no such directory.
  var objects: [String]?

  struct Owner: Sendable, Hashable {
    var attach: String
    var program: String
  }

  /// Capabilities that the agent needs (linux/capability.h).
  static let needed: [(name: String, bit: UInt64)] = [
    ("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_BPF", 39), ("CAP_PERFMON", 38), ("CAP_SYS_PTRACE", 19),
    ("CAP_KILL", 5), ("CAP_SETUID", 7), ("CAP_SETGID", 6), ("CAP_DAC_OVERRIDE", 1),
  ]

  /// Program types that the datapath consists of, by the names of bpftool's probe.
  static let programTypes = ["cgroup_sock_addr", "sock_ops", "cgroup_sockopt", "sk_lookup", "sched_cls"]

  /// Attach types of ours on the cgroup root.
  static let attachTypes = [
    "cgroup_inet4_connect", "cgroup_inet6_connect", "cgroup_sock_ops", "cgroup_inet4_getpeername",
    "cgroup_inet6_getpeername", "connect4", "connect6", "sock_ops", "getpeername4", "getpeername6",
  ]
}
