import Glibc
import MeshBase
import MeshLinux
import Testing

@testable import MeshCommands

/// Directories of resources and of units that go away.
private struct Scratch {
  let root: String
  var resources: String { self.root + "/mesh.d" }
  var units: String { self.root + "/units" }
  var resource: String { self.resources + "/enrolled-web.service.yaml" }
  var dropIn: String { self.units + "/web.service.d/50-martlet.conf" }

  static func with(_ body: (Scratch) async throws -> Void) async throws {
    let scratch = Scratch(root: "/tmp/mt-enroll-\(getpid())-\(UInt32.random(in: 0...UInt32.max))")
    for path in [scratch.root, scratch.resources, scratch.units] { mkdir(path, 0o700) }
    do {
      try await body(scratch)
    } catch {
      scratch.remove()
      throw error
    }
    scratch.remove()
  }

  private func remove() {
    for path in [self.resource, self.dropIn, self.resources + "/other.yaml"] { unlink(path) }
    for path in [self.units + "/web.service.d", self.units, self.resources, self.root] { rmdir(path) }
  }

  func enroll(_ more: String...) async -> CommandLineResult {
    await .of(
      ["enroll", "web.service", "--force", "--node", "n1", "--run-dir", self.root] + self.places + more)
  }

  func unenroll(_ more: String...) async -> CommandLineResult {
    await .of(["unenroll", "web.service"] + self.places + more)
  }

  private var places: [String] { ["--resources", self.resources, "--unit-dir", self.units] }

  func text(_ path: String) -> String? { try? String(decoding: DiskFile.read(path, limit: 65_536), as: UTF8.self) }
}

@Suite("martlet enroll and unenroll")
struct EnrollCommandTests {
  @Test("write a Workload and a drop-in, again without a change, and remove both")
  func there() async throws {
    try await Scratch.with { scratch in
      let first = await scratch.enroll("--port", "http=8080", "--namespace", "shop")
      #expect(first.status == .yes, "\(first.errors)")
      #expect(first.out.contains("write \(scratch.resource)\nwrite \(scratch.dropIn)\n"))
      #expect(scratch.text(scratch.resource)?.contains("systemdUnit: \"web.service\"") == true)
      #expect(scratch.text(scratch.dropIn)?.contains("ExecCondition=+/") == true)
      #expect(scratch.text(scratch.dropIn)?.contains(" --run-dir \(scratch.root) %n\n") == true)
      let check = await CommandLineResult.of("dryrun", "-f", scratch.resources)
      #expect(check.status == .yes && check.out.contains("shop/web"), "\(check)")

      let second = await scratch.enroll("--port", "http=8080", "--namespace", "shop", "-o", "json")
      #expect(
        second.status == .yes && second.out.contains("\"action\" : \"keep\"") && !second.out.contains("\"write\""))
      let changed = await scratch.enroll("--port", "http=9090", "--namespace", "shop")
      #expect(changed.out.contains("write \(scratch.resource)\nkeep \(scratch.dropIn)\n"), "\(changed)")

      let undone = await scratch.unenroll()
      #expect(undone.status == .yes)
      #expect(undone.out == "remove \(scratch.dropIn)\nremove \(scratch.resource)\n")
      #expect(access(scratch.units + "/web.service.d", F_OK) != 0 && access(scratch.resource, F_OK) != 0)
      #expect(await scratch.unenroll().status == .no)
    }
  }

  @Test("--dry-run prints both files and writes none")
  func dryRun() async throws {
    try await Scratch.with { scratch in
      let result = await scratch.enroll("--client-only", "--dry-run")
      #expect(result.status == .yes)
      #expect(result.out.contains("would write \(scratch.resource)\n    # Written by martlet enroll"))
      #expect(result.out.contains("      ports: []\n"))
      #expect(access(scratch.resource, F_OK) != 0 && access(scratch.units + "/web.service.d", F_OK) != 0)
    }
  }

  @Test("a Workload that names the unit stays as it is, and only the drop-in is written")
  func present() async throws {
    try await Scratch.with { scratch in
      let other = """
        apiVersion: martlet.dev/v1alpha1
        kind: Workload
        metadata: {name: front, namespace: shop}
        spec: {node: n1, systemdUnit: web.service, ports: [{name: http, port: 80}]}
        """
      try DiskFile.write(Array(other.utf8), to: scratch.resources + "/other.yaml", mode: 0o644)
      let result = await scratch.enroll()
      #expect(result.status == .no && result.errors.contains("--client-only"), "no port is known: \(result)")
      let second = await scratch.enroll("--client-only")
      #expect(second.status == .yes && second.out.contains("Workload shop/front names the unit already"), "\(second)")
      #expect(access(scratch.resource, F_OK) != 0 && access(scratch.dropIn, F_OK) == 0)
    }
  }

  @Test("refuses what would not be accepted, and leaves nothing behind")
  func refusals() async throws {
    try await Scratch.with { scratch in
      let bad: [([String], String)] = [
        (["--port", "http=15001"], "belongs to the mesh"), (["--port", "UPPER=80"], "no name of a port"),
        (["--port", "x=0"], "is no port"), (["--name", "Web", "--client-only"], "no valid name"),
        (["--label", "app", "--client-only"], "is no label"),
        (["--node", "a b", "--client-only"], "no name of a node"),
        (["--martlet", "martlet", "--client-only"], "no absolute path"),
      ]
      for (options, message) in bad {
        let result = await CommandLineResult.of(
          [
            "enroll", "web.service", "--force", "--resources", scratch.resources, "--unit-dir", scratch.units,
            "--run-dir",
            scratch.root,
          ] + options)
        #expect(result.status == .usage && result.errors.contains(message), "\(options): \(result)")
      }
      #expect(access(scratch.resource, F_OK) != 0 && access(scratch.dropIn, F_OK) != 0)
      #expect(await CommandLineResult.of("enroll", "web.socket").status == .usage)
      #expect(await CommandLineResult.of("enroll", "../web.service").status == .usage)
      let ssh = await CommandLineResult.of(
        "enroll", "web.service", "--port", "22", "--resources", scratch.resources, "--unit-dir", scratch.units)
      #expect(
        ssh.status == .no && (ssh.errors.contains("serves SSH") || ssh.errors.contains("does not know it")), "\(ssh)")
    }
  }

  @Test(
    "files of somebody else are neither replaced nor removed, and the Workload goes when the drop-in cannot be written")
  func foreign() async throws {
    try await Scratch.with { scratch in
      mkdir(scratch.units + "/web.service.d", 0o755)
      try DiskFile.write(Array("[Service]\n".utf8), to: scratch.dropIn, mode: 0o644)
      let result = await scratch.enroll("--client-only")
      #expect(result.status == .no && result.errors.contains("martlet enroll did not write it"))
      #expect(access(scratch.resource, F_OK) != 0)
      #expect(await scratch.unenroll().status == .no)
      #expect(scratch.text(scratch.dropIn) == "[Service]\n")
    }
  }
}
