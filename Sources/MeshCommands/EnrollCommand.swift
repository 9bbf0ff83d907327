import ArgumentParser
import Glibc
import MeshBase
import MeshTelemetry

/// Where `enroll` writes and `unenroll` removes.
struct EnrollOptions: ParsableArguments {
  @Argument(help: ArgumentHelp("A service of systemd, such as web.service.", valueName: "unit")) var unit: String
  @Option(help: ArgumentHelp("Directory of the control plane's resources on this host.", valueName: "dir"))
  var resources = "/etc/martlet/mesh.d"
  @Option(help: ArgumentHelp("Directory of systemd's units.", valueName: "dir")) var unitDir = "/etc/systemd/system"
  @Flag(help: "Print what would be done.") var dryRun = false
  @OptionGroup var output: OutputOptions

  func validate() throws {
    guard SystemdUnit.isName(self.unit), self.unit.hasSuffix(".service") else {
      throw ValidationError("\(self.unit) is no name of a service, such as web.service or app@blue.service")
    }
  }

  var resourcePath: String { "\(self.resources)/\(UnitEnrolment.resourceFile(self.unit))" }
  var dropInDirectory: String { "\(self.unitDir)/\(UnitEnrolment.dropInDirectory(self.unit))" }
  var dropInPath: String { "\(self.dropInDirectory)/\(UnitEnrolment.dropInFile)" }
}

struct EnrollCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "enroll", abstract: "Put a systemd service of this host into the mesh.",
    discussion: """
      Writes a Workload for the unit into the resources of the control plane on this host, and a drop-in \
      UNIT.d/50-martlet.conf for systemd with which the unit starts only when the agent has enrolled it: not one of its \
      calls is made before. If the mesh does not have it within --timeout, the unit fails to start.

      Without --port the ports are those that the unit listens on now; only declared ports are governed by policy. \
      --client-only is for a unit that nobody calls. A Workload that names the unit already is kept as it is. A unit with \
      NetworkNamespacePath= is enrolled by its namespace. Port 22 and the SSH service need --force: a policy could lock \
      you out. What the unit has open now stays outside of the mesh until it is restarted.

      Exit status: 0 done, 1 refused or failed, 2 wrong command line.

      EXAMPLES
        martlet enroll web.service
        martlet enroll web.service --namespace shop --port http=8080 --label app=web --dry-run
      """)

  @OptionGroup var options: EnrollOptions
  @Option(help: ArgumentHelp("Name of the Workload (default: of the unit).", valueName: "name")) var name: String?
  @Option(help: ArgumentHelp("Its namespace.", valueName: "name")) var namespace = "default"
  @Option(help: ArgumentHelp("Its service account (default: its name).", valueName: "name")) var serviceAccount: String?
  @Option(help: ArgumentHelp("A label; app=NAME unless given.", valueName: "key=value")) var label: [String] = []
  @Option(help: ArgumentHelp("A port that it serves, 8080 or http=8080.", valueName: "port")) var port: [String] = []
  @Flag(help: "It serves nothing.") var clientOnly = false
  @Option(help: ArgumentHelp("Name of this node (default: the agent's, else the host's).", valueName: "name"))
  var node: String?
  @Option(help: ArgumentHelp("How long the unit waits, in seconds.", valueName: "seconds")) var timeout: UInt32 = 60
  @Option(help: ArgumentHelp("Command that the drop-in calls (default: this one).", valueName: "path"))
  var martlet: String?
  @Flag(help: "Also what administers this host, and what systemd does not know.") var force = false
  @OptionGroup var instance: InstanceOptions

  func validate() throws {
    guard !self.clientOnly || self.port.isEmpty else { throw ValidationError("--client-only has no --port.") }
  }

  func run() async throws {
    let facts = UnitFacts.gather(self.options.unit)
    var report = EnrollReport(unit: self.options.unit, dryRun: self.options.dryRun)
    let enrolment = try await self.enrolment(facts, &report)
    var work = EnrollWork(options: self.options, report: report)
    try work.enroll(enrolment)
    Console.print(try Presentation.text(work.report, self.options.output.output) { $0.text })
  }

  private func enrolment(_ facts: UnitFacts, _ report: inout EnrollReport) async throws -> UnitEnrolment {
    let unit = self.options.unit
    if facts.properties["LoadState"] == "not-found", !self.force {
      throw MeshError(
        .notFound, unit, "systemd does not know it", next: "write the unit first, or give --force")
    }
    if ["martletd.service", "martlet-control.service"].contains(unit) {
      throw MeshError(.conflict, unit, "is the mesh itself", next: "enroll another unit")
    }
    let namespace = facts.properties["NetworkNamespacePath"]
    if namespace == nil, facts.properties["PrivateNetwork"] == "yes" {
      throw MeshError(
        .unsupported, unit, "has PrivateNetwork=yes: it calls nobody and nobody calls it",
        next: "give it a namespace with NetworkNamespacePath=, or the host's")
    }
    let ports = try self.ports(facts, isInHost: namespace == nil)
    let ssh = UnitFacts.sshPorts()
    if !self.force, UnitFacts.isSSH(unit) || (namespace == nil && ports.contains { ssh.contains($0.number) }) {
      throw MeshError(
        .conflict, unit, "serves SSH: a policy for it could lock you out of this host",
        next: "leave it out of the mesh, or give --force")
    }
    if facts.properties["ExecCondition"] != nil, !(facts.properties["ExecCondition"] ?? "").contains(" wait ") {
      report.notes.append("the unit has conditions of its own (ExecCondition=), which run before it is enrolled")
    }
    guard let name = self.name ?? UnitEnrolment.name(of: unit),
      let workload = ResourceName(namespace: self.namespace, name: name)
    else {
      throw MeshError(.invalid, unit, "gives no valid name of a Workload", next: "give --name and --namespace")
    }
    return UnitEnrolment(
      unit: unit, workload: workload, node: await self.nodeName(), serviceAccount: self.serviceAccount ?? name,
      labels: try self.labels(), ports: ports, networkNamespace: namespace,
      executable: try self.executable(), runDirectory: self.instance.runDir, timeout: self.timeout)
  }

  private func ports(_ facts: UnitFacts, isInHost: Bool) throws(MeshError) -> [UnitEnrolment.Port] {
    var ports: [UnitEnrolment.Port] = []
    for text in self.port { ports.append(try UnitEnrolment.port(text)) }
    if !ports.isEmpty || self.clientOnly { return ports }
    let found = facts.listening.filter { !MeshPort.all.contains($0) }
    guard !found.isEmpty || !isInHost else {
      throw MeshError(
        .notFound, self.options.unit, "does not listen on any port now",
        next: "give --port for what it serves, or --client-only if nobody calls it")
    }
    return found.map { UnitEnrolment.Port(name: "port-\($0)", number: $0) }
  }

  private func labels() throws(MeshError) -> [String: String] {
    var labels: [String: String] = [:]
    for text in self.label {
      let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, !parts[0].isEmpty else {
        throw MeshError(.invalid, "label", "\"\(text)\" is no label", next: "write one like app=web")
      }
      labels[parts[0]] = parts[1]
    }
    return labels
  }

  private func nodeName() async -> String {
    if let node = self.node { return node }
    let client = AgentClient(socketPath: self.instance.socketPath, seconds: 5)
    if let status = try? await client.get(AgentStatus.self, "/v1/status") { return status.node }
    var buffer = [CChar](repeating: 0, count: 256)
    guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
    return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private func executable() throws(MeshError) -> String {
    if let path = self.martlet {
      guard path.hasPrefix("/") else {
        throw MeshError(.invalid, "--martlet", "\(path) is no absolute path", next: "systemd needs one")
      }
      return path
    }
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    guard count > 0 else { return "/usr/bin/martlet" }
    return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

struct UnenrollCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unenroll", abstract: "Undo martlet enroll.",
    discussion: """
      Removes the drop-in first, then the Workload: the unit can be started at every moment between. Files that martlet \
      enroll did not write, or that bear its mark no longer, are left alone. Exit status 1: there is nothing to undo.

      EXAMPLE
        martlet unenroll web.service
      """)

  @OptionGroup var options: EnrollOptions

  func run() throws {
    var work = EnrollWork(
      options: self.options, report: EnrollReport(unit: self.options.unit, dryRun: self.options.dryRun))
    try work.unenroll()
    Console.print(try Presentation.text(work.report, self.options.output.output) { $0.text })
  }
}
