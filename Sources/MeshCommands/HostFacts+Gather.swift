import Foundation
import Glibc
import MeshBPF
import MeshBase

extension HostFacts {
  /// Asks this host. Changes nothing; what cannot be found out stays unset.
  static func gather(pinDir: String, cgroupRoot: String?, bpfDir: String) -> HostFacts {
    var facts = HostFacts()
    facts.kernel = self.line("/proc/sys/kernel/osrelease") ?? ""
    facts.isRoot = geteuid() == 0
    facts.capabilities = self.capabilities(self.text("/proc/self/status") ?? "")
    let mounts = MountTable.current
    facts.cgroup2 = mounts.mountPoint(ofType: "cgroup2")
    facts.cgroupRoot = cgroupRoot ?? facts.cgroup2 ?? ""
    facts.cgroupRootIsCgroup2 = mounts.mount(of: facts.cgroupRoot)?.type == "cgroup2"
    facts.pinDir = pinDir
    facts.pinDirIsBPFFS = mounts.mount(of: self.existing(pinDir))?.type == "bpf"
    facts.hasBTF = FileManager.default.fileExists(atPath: "/sys/kernel/btf/vmlinux")
    var limit = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
      facts.openFiles = UInt64(limit.rlim_cur)
      facts.openFilesHard = UInt64(limit.rlim_max)
    }
    facts.missingTools = ["martletd", "martlet-proxy", "martlet-control", "iperf3"].filter {
      // The proxy is for the agent alone: an installation keeps it out of PATH.
      Tool.find($0) == nil && access("/usr/libexec/" + $0, X_OK) != 0
    }
    facts.bpfDir = bpfDir
    facts.objects = (try? FileManager.default.contentsOfDirectory(atPath: bpfDir))?.filter { $0.hasSuffix(".bpf.o") }
    facts.askKernel()
    return facts
  }

  static func capabilities(_ status: String) -> UInt64? {
    status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
      .flatMap { UInt64($0.dropFirst(7).drop { $0 == "\t" || $0 == " " }, radix: 16) }
  }

  /// Which programs the kernel takes, and whose are at our hooks: of the cgroup root, of named network namespaces, of this
  /// namespace's interfaces.
  private mutating func askKernel() {
    do throws(MeshError) {
      self.programTypes = Dictionary(
        try HookOwners.programTypes().map { ($0.name, $0.isSupported) }, uniquingKeysWith: { first, _ in first })
    } catch {
      self.programTypesProblem = "\(error)"
    }
    do throws(MeshError) {
      var owners: [HookOwner] = []
      if self.cgroupRootIsCgroup2 { owners += try HookOwners.ofCgroup(self.cgroupRoot) }
      let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns"))?.sorted() ?? []
      // One that is going away while we look is no matter.
      for name in names.prefix(1000) {
        owners += (try? HookOwners.ofNamespace("/run/netns/" + name, name: name)) ?? []
      }
      for (index, name) in Self.interfaces().prefix(1000) { owners += try HookOwners.ofInterface(index, name: name) }
      self.owners = owners
    } catch {
      self.ownersProblem = "\(error)"
    }
  }

  /// Interfaces of this network namespace that stand on another one, as the host's ends of veth pairs do: the mesh attaches
  /// to no others.
  private static func interfaces() -> [(UInt32, String)] {
    ((try? FileManager.default.contentsOfDirectory(atPath: "/sys/class/net")) ?? []).sorted().compactMap { name in
      let index = if_nametoindex(name)
      let link = self.line("/sys/class/net/\(name)/iflink").flatMap { UInt32($0) }
      return index == 0 || link == index ? nil : (index, name)
    }
  }

  /// `path`, or the nearest directory above it that exists.
  private static func existing(_ path: String) -> String {
    var path = AbsolutePath.of(path, in: FileManager.default.currentDirectoryPath)
    while !FileManager.default.fileExists(atPath: path), path.count > 1 {
      path = (path as NSString).deletingLastPathComponent
    }
    return path
  }

  private static func text(_ path: String) -> String? {
    FileManager.default.contents(atPath: path).map { String(decoding: $0, as: UTF8.self) }
  }

  private static func line(_ path: String) -> String? {
    self.text(path)?.split(separator: "\n").first.map(String.init)
  }
}
