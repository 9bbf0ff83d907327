import Foundation
import Glibc

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
    facts.missingTools = ["martletd", "martlet-proxy", "martlet-control", "iperf3", "bpftool"].filter {
      // The proxy is for the agent alone: an installation keeps it out of PATH.
      Tool.find($0) == nil && access("/usr/libexec/" + $0, X_OK) != 0
    }
    facts.bpfDir = bpfDir
    facts.objects = (try? FileManager.default.contentsOfDirectory(atPath: bpfDir))?.filter { $0.hasSuffix(".bpf.o") }
    if let probe = Tool.run(["bpftool", "-j", "feature", "probe", "kernel"], seconds: 30), probe.status == 0 {
      facts.programTypes = self.programTypes(probe.output)
    }
    if facts.cgroupRootIsCgroup2,
      let shown = Tool.run(["bpftool", "-j", "cgroup", "show", facts.cgroupRoot], seconds: 10), shown.status == 0
    {
      facts.owners = self.owners(shown.output)
    }
    return facts
  }

  static func capabilities(_ status: String) -> UInt64? {
    status.split(separator: "\n").first { $0.hasPrefix("CapEff:") }
      .flatMap { UInt64($0.dropFirst(7).drop { $0 == "\t" || $0 == " " }, radix: 16) }
  }

  static func programTypes(_ json: String) -> [String: Bool]? {
    struct Probe: Decodable {
      var programTypes: [String: Bool]?
      enum CodingKeys: String, CodingKey { case programTypes = "program_types" }
    }
    return (try? JSONDecoder().decode(Probe.self, from: Data(json.utf8)))?.programTypes
  }

  static func owners(_ json: String) -> [Owner]? {
    struct Line: Decodable {
      var attachType: String?
      var name: String?
      enum CodingKeys: String, CodingKey {
        case attachType = "attach_type"
        case name
      }
    }
    if json.allSatisfy(\.isWhitespace) { return [] }
    return (try? JSONDecoder().decode([Line].self, from: Data(json.utf8)))?.map {
      Owner(attach: $0.attachType ?? "?", program: $0.name ?? "?")
    }
  }

  /// `path`, or the nearest directory above it that exists.
  private static func existing(_ path: String) -> String {
    var path = path
    while !FileManager.default.fileExists(atPath: path), path.count > 1, path.hasPrefix("/") {
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
