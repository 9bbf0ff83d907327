import ArgumentParser
import Foundation
import Glibc
import MeshBPF
import MeshBase
import MeshTelemetry

struct AttachCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attach", abstract: "Load, pin and attach the BPF programs by hand.",
    discussion: """
      Loads the objects of --bpf-dir as a transaction, pins maps and links below --pin-dir, attaches connect, sockops, \
      getpeername and the hooks of datagrams to --cgroup-root, and sk_lookup to each --netns. What is pinned there already is adopted: maps stay, \
      programs are exchanged in place. The maps are empty after a first load, so nobody is governed until an agent fills \
      them. The agent does all this itself; this is for those who look for a fault. Fails while an agent owns --pin-dir.

      EXAMPLE
        martlet attach --pin-dir /sys/fs/bpf/probe --cgroup-root /sys/fs/cgroup/probe --bpf-dir .build/bpf
      """)

  @OptionGroup var datapath: DatapathOptions
  @Option(
    help: ArgumentHelp("Attach sk_lookup there as well; a name in /run/netns. May be given again.", valueName: "name"))
  var netns: [String] = []

  func run() throws {
    guard let root = self.datapath.cgroupRoot ?? MountTable.current.mountPoint(ofType: "cgroup2") else {
      throw MeshError(.unsupported, "cgroup2", "is not mounted", next: "martlet check")
    }
    let (kernel, adopted) = try KernelDatapath.open(
      objects: self.datapath.bpfDir, pinDirectory: self.datapath.pinDir)
    try kernel.attach(cgroup: root)
    for name in self.netns {
      let descriptor = open("/run/netns/" + name, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else {
        throw MeshError(.notFound, name, "is no network namespace", cause: String(cString: strerror(errno)))
      }
      defer { close(descriptor) }
      try kernel.attachLookup(namespace: descriptor, name: name)
    }
    Console.print("\(adopted ? "adopted" : "loaded") \(self.datapath.pinDir), attached to \(root)")
  }
}

struct DetachCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detach", abstract: "Detach every BPF program of an instance; its maps stay.",
    discussion: """
      Traffic is not decided by the mesh afterwards: what was refused passes. martlet attach attaches the programs again \
      over the same maps; martlet purge removes the maps too. Fails while an agent owns --pin-dir.

      EXAMPLE
        martlet detach --pin-dir /sys/fs/bpf/probe
      """)

  @OptionGroup var datapath: DatapathOptions

  func run() throws {
    guard MountTable.current.isBelow(self.datapath.pinDir, type: "bpf") else {
      throw StatusError(.no, "nothing is pinned in \(self.datapath.pinDir)")
    }
    let pins = try PinDirectory(path: self.datapath.pinDir)
    var count = 0
    for layout in pins.layouts() {
      let directory = "\(pins.path)/\(layout)/links"
      for name in (try? FileManager.default.contentsOfDirectory(atPath: directory))?.sorted() ?? [] {
        let path = "\(directory)/\(name)"
        try BPFLink.pinned(name, path: path).detach()
        guard unlink(path) == 0 else {
          throw MeshError(.internal, path, "cannot be removed", cause: String(cString: strerror(errno)))
        }
        Console.print("detached \(name)")
        count += 1
      }
      for name in pins.detachFilters(layout: layout) {
        Console.print("detached \(name)")
        count += 1
      }
    }
    if count == 0 { throw StatusError(.no, "nothing is attached through \(self.datapath.pinDir)") }
  }
}

/// What `verify` says of one program.
struct VerifiedProgram: TableReport, Hashable {
  var name: String
  var verifiedInstructions: UInt64
  var limit: UInt64?
  var withinLimit: Bool

  init(name: String, verifiedInstructions: UInt64, limit: UInt64?) {
    self.name = name
    self.verifiedInstructions = verifiedInstructions
    self.limit = limit
    self.withinLimit = limit.map { verifiedInstructions <= $0 } ?? true
  }

  static var columns: [String] { ["PROGRAM", "LOAD", "VERIFIED", "LIMIT", "VERDICT"] }
  var cells: [String] {
    [
      self.name, "ok", String(self.verifiedInstructions), self.limit.map { String($0) } ?? "-",
      self.limit == nil ? "no limit" : self.withinLimit ? "ok" : "OVER",
    ]
  }

  /// Budgets by program name, from `limits.json`: an object of numbers.
  static func limits(_ json: Data) throws(MeshError) -> [String: UInt64] {
    do {
      return try JSONDecoder().decode([String: UInt64].self, from: json)
    } catch {
      throw MeshError(.invalid, "limits.json", "is not an object of program names and numbers", cause: "\(error)")
    }
  }
}

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Load every BPF program into this kernel, and compare its cost with its budget.",
    discussion: """
      Loads the objects of --bpf-dir under a pin directory of its own beside --pin-dir, attaches nothing, and removes it \
      again. Prints the instructions that the verifier processed for each program and the budget from limits.json (in \
      --bpf-dir, or --limits). Exit status 1 if the verifier refuses a program, with its last lines, or if one is over its \
      budget.

      EXAMPLE
        martlet verify --bpf-dir .build/bpf --limits bpf/limits.json
      """)

  @OptionGroup var datapath: DatapathOptions
  @OptionGroup var output: OutputOptions
  @Option(help: ArgumentHelp("File of budgets. Default: limits.json in --bpf-dir, if it is there.", valueName: "file"))
  var limits: String?

  func run() throws {
    let file = self.limits ?? self.datapath.bpfDir + "/limits.json"
    var limits: [String: UInt64] = [:]
    if let data = FileManager.default.contents(atPath: file) {
      limits = try VerifiedProgram.limits(data)
    } else if self.limits != nil {
      throw MeshError(.notFound, file, "cannot be read")
    }
    let directory = "\(self.datapath.pinDir)-verify-\(getpid())"
    let programs: [ProgramStatus]
    do {
      // The scope ends the ownership of the lock before the directory is removed.
      defer { Self.remove(directory) }
      programs = try KernelDatapath.load(objects: self.datapath.bpfDir, pinDirectory: directory).programStatus()
    }
    let rows = programs.map {
      VerifiedProgram(
        name: $0.name, verifiedInstructions: UInt64($0.verifiedInstructions), limit: limits[$0.name])
    }
    Console.print(try Presentation.text(rows, self.output.output, table: Presentation.table))
    if rows.contains(where: { !$0.withinLimit }) { throw StatusError(.no) }
  }

  private static func remove(_ directory: String) {
    do throws(MeshError) {
      try KernelDatapath.purge(pinDirectory: directory)
    } catch {
      Console.complain("martlet: \(error)")
    }
    rmdir(directory)
  }
}
