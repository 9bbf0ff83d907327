import Foundation
import MeshBPF
import MeshBase
import MeshTelemetry
import Testing

@testable import MeshCommands

@Suite struct PreflightTests {
  private var fit: HostFacts {
    var facts = HostFacts()
    facts.kernel = "6.1.0-44-amd64"
    facts.isRoot = true
    facts.capabilities = 0x1ff_ffff_ffff
    facts.cgroup2 = "/sys/fs/cgroup"
    facts.cgroupRoot = "/sys/fs/cgroup"
    facts.cgroupRootIsCgroup2 = true
    facts.pinDir = "/sys/fs/bpf/martlet"
    facts.pinDirIsBPFFS = true
    facts.hasBTF = true
    facts.openFilesHard = 1_048_576
    facts.programTypes = ["sk_lookup": true, "sock_ops": true]
    facts.owners = [HookOwner(hook: "connect4", program: "mesh_connect4")]
    facts.bpfDir = "/b"
    facts.objects = ["connect.bpf.o"]
    return facts
  }

  private func states(_ change: (inout HostFacts) -> Void) -> [String: HealthCheck.State] {
    var facts = self.fit
    change(&facts)
    let checks = Preflight(facts: facts).checks
    for check in checks where check.state == .fail || check.name == "other owners" && check.state != .ok {
      #expect(check.next != nil, "\(check.name)")
    }
    return Dictionary(uniqueKeysWithValues: checks.filter { $0.state != .ok }.map { ($0.name, $0.state) })
  }

  @Test("a fit host passes every check")
  func fitHost() { #expect(self.states { _ in }.isEmpty) }

  @Test("each lack fails its own line, with a next step")
  func lacks() {
    #expect(self.states { $0.kernel = "6.0.19" } == ["kernel": .fail])
    #expect(self.states { $0.kernel = "5.15.0" } == ["kernel": .fail])
    #expect(self.states { $0.kernel = "7.0-rc1" }.isEmpty)
    #expect(self.states { $0.kernel = "linux" } == ["kernel": .warn])
    #expect(self.states { $0.isRoot = false } == ["user": .fail])
    #expect(self.states { $0.capabilities = 0x1ff_ffff_ffff & ~(1 << 39) } == ["capabilities": .fail])
    #expect(self.states { $0.capabilities = nil } == ["capabilities": .warn])
    #expect(self.states { $0.cgroup2 = nil } == ["cgroup2": .fail])
    #expect(self.states { $0.cgroupRootIsCgroup2 = false } == ["cgroup2": .fail])
    #expect(self.states { $0.pinDirIsBPFFS = false } == ["bpffs": .fail])
    #expect(self.states { $0.hasBTF = false } == ["btf": .fail])
    #expect(self.states { $0.programTypes?["sk_lookup"] = false } == ["program types": .fail])
    #expect(self.states { $0.programTypes = nil } == ["program types": .warn])
    #expect(self.states { $0.owners = nil } == ["other owners": .warn])
    #expect(self.states { $0.openFilesHard = 20_000 } == ["open files": .warn])
    #expect(self.states { $0.openFilesHard = 1024 } == ["open files": .fail])
    #expect(self.states { $0.missingTools = ["iperf3"] } == ["binaries": .warn])
    #expect(self.states { $0.objects = nil } == ["bpf objects": .fail])
    #expect(self.states { $0.objects = [] } == ["bpf objects": .fail])
  }

  @Test("others on our hooks are named; many are counted")
  func owners() {
    var facts = self.fit
    facts.owners?.append(HookOwner(hook: "connect4", program: "cil_sock4_connect"))
    let check = Preflight(facts: facts).checks.first { $0.name == "other owners" }
    #expect(check?.state == .warn)
    #expect(check?.message.hasPrefix("also attached: cil_sock4_connect at connect4;") == true)
    #expect(check?.next?.contains("rewrites addresses") == true)
    facts.owners = (0..<10).map { HookOwner(hook: "ingress of v\($0)", program: "x") }
    let many = Preflight(facts: facts).checks.first { $0.name == "other owners" }
    #expect(many?.message.contains("x at ingress of v7 and 2 more;") == true)
  }

  @Test("what the kernel writes is read")
  func reading() {
    #expect(HostFacts.capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n") == 0x1ff_ffff_ffff)
    #expect(HostFacts.capabilities("Name:\tx\n") == nil)
  }

  @Test("the mount that holds a path is the longest above it")
  func mounts() {
    let table = MountTable(
      """
      / / ext4 rw 0 0
      bpf /sys/fs/bpf bpf rw 0 0
      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
      x /mnt/a\\040b tmpfs rw 0 0
      broken
      """)
    #expect(table.mountPoint(ofType: "cgroup2") == "/sys/fs/cgroup/unified")
    #expect(table.mount(ofResolved: "/sys/fs/bpf/martlet")?.type == "bpf")
    #expect(table.mount(ofResolved: "/sys/fs/bpfx")?.type == "ext4")
    #expect(table.mount(ofResolved: "/mnt/a b/c")?.type == "tmpfs")
    #expect(!table.isBelow("/nonexistent/path", type: "bpf"))
  }

  @Test("this host's facts can be gathered")
  func gather() {
    let facts = HostFacts.gather(pinDir: "/sys/fs/bpf/martlet", cgroupRoot: nil, bpfDir: "/nonexistent")
    #expect(!facts.kernel.isEmpty)
    #expect(facts.openFilesHard > 0)
    #expect(facts.objects == nil)
  }
}

@Suite struct BenchResultTests {
  @Test("the ratio is the median of the rounds' ratios")
  func ratio() {
    let result = BenchResult(
      seconds: 2, streams: 1,
      rounds: [.init(direct: 10e9, mesh: 9e9), .init(direct: 20e9, mesh: 20e9), .init(direct: 5e9, mesh: 5.5e9)])
    #expect(result.ratioMedian == 1)
    #expect(result.directMedian == 10e9)
    #expect(BenchResult.median([]) == 0)
    #expect(BenchResult.median([1, 3]) == 2)
    #expect(
      result.text == """
        ROUND   DIRECT GBIT/S  MESH GBIT/S  RATIO
        1               10.00         9.00  0.900
        2               20.00        20.00  1.000
        3                5.00         5.50  1.100
        median          10.00         9.00  1.000
        ratio of mesh to direct: median 1.000, at least 0.900 with 95 % confidence (few rounds: take 15)

        """)
  }

  @Test("the bound is below the median, within the samples, and the same for the same samples")
  func bound() {
    // 0.93 to 1.07, out of order.
    let values: [Double] = [
      1.0, 1.07, 0.99, 1.06, 0.98, 1.05, 0.97, 1.04, 0.96, 1.03, 0.95, 1.02, 0.94, 1.01, 0.93,
    ]
    let bound = BenchResult.lowerBound(values)
    #expect(bound == BenchResult.lowerBound(values))
    // Of 15 ordered samples the 95 % interval of the median begins at the 4th, by the binomial distribution.
    #expect((0.95...0.97).contains(bound), "\(bound)")
    #expect(BenchResult.lowerBound([]) == 0)
    #expect(BenchResult.lowerBound([0.5]) == 0.5)
  }

  @Test("iperf3's JSON is read; its errors are ours")
  func iperf() throws {
    #expect(try BenchResult.bitsPerSecond(#"{"end":{"sum_received":{"bits_per_second":1.5e9}}}"#) == 1.5e9)
    #expect(throws: MeshError.self) { try BenchResult.bitsPerSecond(#"{"error":"unable to connect"}"#) }
    #expect(throws: MeshError.self) { try BenchResult.bitsPerSecond("") }
    #expect(throws: MeshError.self) { try BenchResult.bitsPerSecond("{}") }
  }
}

@Suite struct VerifiedProgramTests {
  @Test("limits are an object of numbers")
  func limits() throws {
    #expect(try VerifiedProgram.limits(.init(#"{"mesh_connect4": 400}"#.utf8)) == ["mesh_connect4": 400])
    #expect(throws: MeshError.self) { try VerifiedProgram.limits(.init("[]".utf8)) }
    #expect(!VerifiedProgram(name: "a", verifiedInstructions: 5, limit: 4).withinLimit)
    #expect(VerifiedProgram(name: "a", verifiedInstructions: 5, limit: nil).withinLimit)
  }
}
