import Foundation
import MeshLinux
import Testing

@testable import MeshCommands

/// The commands that work on the kernel, on the real one: needs root, cgroup2, bpffs and objects in `.build/bpf`.
@Suite(.serialized) struct DatapathCommandsRootTests {
  private let name = "mt-commands-\(getpid())"
  private var pinDir: String { "/sys/fs/bpf/\(self.name)" }
  private let bpfDir = ".build/bpf"

  private func files(_ path: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
  }

  @Test("verify loads every program, attaches nothing and leaves nothing")
  func verify() async throws {
    let result = await CommandLineResult.of(
      "verify", "--pin-dir", self.pinDir, "--bpf-dir", self.bpfDir, "-o", "json")
    #expect(result.status == .yes, "\(result.errors)")
    let programs = try JSONDecoder().decode([VerifiedProgram].self, from: Data(result.out.utf8))
    #expect(
      Set(programs.map(\.name)).isSuperset(of: ["mesh_connect4", "mesh_connect6", "mesh_lookup", "mesh_sockops"]))
    #expect(programs.allSatisfy { $0.verifiedInstructions > 0 })
    #expect(!self.files("/sys/fs/bpf").contains { $0.hasPrefix(self.name) })
  }

  @Test("a budget that is exceeded is a no")
  func budget() async throws {
    let limits = "/tmp/\(self.name)-limits.json"
    try #"{"mesh_connect4": 1}"#.write(toFile: limits, atomically: true, encoding: .utf8)
    defer { try? FileManager.default.removeItem(atPath: limits) }
    let result = await CommandLineResult.of(
      "verify", "--pin-dir", self.pinDir, "--bpf-dir", self.bpfDir, "--limits", limits)
    #expect(result.status == .no)
    #expect(result.out.contains("OVER"))
  }

  @Test("attach, detach and purge leave the kernel as it was, and purge kills only in the cgroup that is named")
  func attachAndPurge() async throws {
    let root = try #require(MountTable.current.mountPoint(ofType: "cgroup2"))
    let cgroup = "\(root)/\(self.name)"
    let proxy = cgroup + "/proxy"
    try FileManager.default.createDirectory(atPath: proxy, withIntermediateDirectories: true)
    let attached = await CommandLineResult.of(
      "attach", "--pin-dir", self.pinDir, "--bpf-dir", self.bpfDir, "--cgroup-root", cgroup)
    #expect(attached.status == .yes, "\(attached.errors)")
    #expect(self.files(self.pinDir + "/v1/links").contains("connect4"))
    let detached = await CommandLineResult.of("detach", "--pin-dir", self.pinDir)
    #expect(detached.status == .yes, "\(detached.errors)")
    #expect(self.files(self.pinDir + "/v1/links").isEmpty)
    #expect(await CommandLineResult.of("detach", "--pin-dir", self.pinDir).status == .no)

    let inside = try self.sleeper(cgroup: proxy)
    let outside = try self.sleeper(cgroup: cgroup)
    let planned = await CommandLineResult.of(
      "purge", "--dry-run", "--pin-dir", self.pinDir, "--run-dir", "/nonexistent/mt", "--proxy-cgroup", proxy)
    #expect(planned.out.contains("would kill 1 processes in \(proxy)"))
    #expect(inside.isRunning && FileManager.default.fileExists(atPath: self.pinDir))
    let purged = await CommandLineResult.of(
      "purge", "--pin-dir", self.pinDir, "--run-dir", "/nonexistent/mt", "--proxy-cgroup", proxy)
    #expect(purged.status == .yes, "\(purged.errors)")
    inside.waitUntilExit()
    #expect(inside.terminationReason == .uncaughtSignal)
    #expect(outside.isRunning)
    #expect(!FileManager.default.fileExists(atPath: self.pinDir))
    #expect(!FileManager.default.fileExists(atPath: proxy))
    // A test runner may have SIGTERM ignored, and children inherit that.
    kill(outside.processIdentifier, SIGKILL)
    outside.waitUntilExit()
    for _ in 0..<100 where rmdir(cgroup) != 0 { usleep(10_000) }
    #expect(!FileManager.default.fileExists(atPath: cgroup))
  }

  @Test("purge finds the cgroups that the agent noted, kills in the proxy's, and removes both and the note")
  func purgeByNote() async throws {
    let root = try #require(MountTable.current.mountPoint(ofType: "cgroup2"))
    let cgroup = "\(root)/\(self.name)-noted"
    let run = "/tmp/\(self.name)-run"
    for path in [cgroup + "/agent", cgroup + "/proxy", run] {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    try InstanceCgroups(agent: cgroup + "/agent", proxy: cgroup + "/proxy").write(to: run)
    let inside = try self.sleeper(cgroup: cgroup + "/proxy")
    // Whoever may write the note would choose what is killed.
    chmod(run + "/cgroups", 0o666)
    let refused = await CommandLineResult.of("purge", "--dry-run", "--pin-dir", self.pinDir, "--run-dir", run)
    #expect(refused.status == .no && refused.errors.contains("can be written by others"))
    #expect(!refused.out.contains("would kill"))
    chmod(run + "/cgroups", 0o600)
    let purged = await CommandLineResult.of("purge", "--pin-dir", self.pinDir, "--run-dir", run)
    #expect(purged.status == .yes, "\(purged.errors)")
    inside.waitUntilExit()
    #expect(inside.terminationReason == .uncaughtSignal)
    #expect(self.files(cgroup).filter { !$0.contains(".") } == [])
    #expect(!FileManager.default.fileExists(atPath: run))
    rmdir(cgroup)
  }

  @Test("purge leaves alone what is not its own")
  func purgeRefuses() async throws {
    let root = try #require(MountTable.current.mountPoint(ofType: "cgroup2"))
    let result = await CommandLineResult.of(
      "purge", "--dry-run", "--pin-dir", "/sys/fs/bpf", "--run-dir", "/nonexistent/mt", "--proxy-cgroup", root)
    #expect(result.status == .no)
    #expect(result.out.isEmpty || result.out == "nothing to remove\n")
    #expect(result.errors.contains("/sys/fs/bpf is no directory below the root of a bpffs"))
    #expect(result.errors.contains("\(root) is no cgroup of its own"))
  }

  /// A process that ends by itself, in the cgroup.
  private func sleeper(cgroup: String) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sleep")
    process.arguments = ["30"]
    try process.run()
    try "\(process.processIdentifier)".write(toFile: cgroup + "/cgroup.procs", atomically: false, encoding: .utf8)
    return process
  }
}
