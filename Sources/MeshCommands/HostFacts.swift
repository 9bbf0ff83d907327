import MeshBPF

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
  /// Program types of the datapath, and whether the kernel takes them; nil: it could not be asked, see `programTypesProblem`.
  var programTypes: [String: Bool]?
  var programTypesProblem: String?
  /// Programs at the hooks that the mesh uses; nil: the kernel could not be asked, see `ownersProblem`.
  var owners: [HookOwner]?
  var ownersProblem: String?
  /// Programs that are not found.
  var missingTools: [String] = []
  var bpfDir = ""
  /// Objects found in `bpfDir`; nil: there is no such directory.
  var objects: [String]?

  /// Capabilities that the agent needs (linux/capability.h).
  static let needed: [(name: String, bit: UInt64)] = [
    ("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_BPF", 39), ("CAP_PERFMON", 38), ("CAP_SYS_PTRACE", 19),
    ("CAP_KILL", 5), ("CAP_SETUID", 7), ("CAP_SETGID", 6), ("CAP_DAC_OVERRIDE", 1),
  ]
}
