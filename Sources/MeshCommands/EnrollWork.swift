import Glibc
import MeshBase
import MeshCompiler
import MeshLinux
import MeshSnapshot
import MeshStore

/// Writes and removes the two files of an enrolment. What fails is undone, so that a unit never waits for a Workload that
/// was not written.
struct EnrollWork {
  let options: EnrollOptions
  private(set) var report: EnrollReport

  private static let fileLimit = 1 << 20
  /// Others belong to an image, which is not running.
  private static let systemdDirectories = ["/etc/systemd/", "/run/systemd/", "/usr/lib/systemd/", "/lib/systemd/"]

  init(options: EnrollOptions, report: EnrollReport) {
    self.options = options
    self.report = report
  }

  mutating func enroll(_ enrolment: UnitEnrolment) throws(MeshError) {
    guard (try DiskFile.status(self.options.resources)) != nil else {
      throw MeshError(
        .notFound, self.options.resources, "is no directory of a control plane on this host",
        next: "give --resources; where the control plane runs elsewhere, write the Workload there (--dry-run prints it)"
      )
    }
    let present = try self.workload(of: enrolment)
    self.report.workload = (present ?? enrolment.workload).description
    let wrote: Bool
    if let present {
      self.report.notes.append("Workload \(present) names the unit already: it stays as it is")
      wrote = false
    } else {
      wrote = try self.write(enrolment.manifest, to: self.options.resourcePath, mark: enrolment.unit)
    }
    do throws(MeshError) {
      if !self.options.dryRun { try DiskFile.makeDirectory(self.options.dropInDirectory, mode: 0o755) }
      if try self.write(enrolment.dropIn, to: self.options.dropInPath, mark: enrolment.unit) { try self.reload() }
    } catch {
      if wrote, !self.options.dryRun { DiskFile.remove(self.options.resourcePath) }
      throw error
    }
    self.report.notes.append(
      "connections that the unit has open now are outside of the mesh: systemctl restart \(enrolment.unit) begins anew")
  }

  mutating func unenroll() throws(MeshError) {
    if try self.remove(self.options.dropInPath) {
      // Others' drop-ins keep it.
      if !self.options.dryRun { rmdir(self.options.dropInDirectory) }
      try self.reload()
    }
    _ = try self.remove(self.options.resourcePath)
    guard !self.report.steps.isEmpty else {
      throw MeshError(
        .notFound, self.options.unit,
        "martlet enroll has written nothing for it in \(self.options.unitDir) and "
          + self.options.resources, next: "what else names it is to be removed by hand")
    }
  }

  /// The Workload of another file that names the unit already. Throws if ours would not be accepted beside what is there.
  private func workload(of enrolment: UnitEnrolment) throws(MeshError) -> ResourceName? {
    let scratch = "/tmp/martlet-enroll-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).yaml"
    try DiskFile.write(Array(enrolment.manifest.utf8), to: scratch, mode: 0o600)
    defer { DiskFile.remove(scratch) }
    let there = try? ResourceFiles.compile([self.options.resources])
    let location: WorkloadLocation =
      enrolment.networkNamespace.map { .networkNamespace(path: $0) } ?? .systemdUnit(name: enrolment.unit)
    let own = try self.isOurs(self.options.resourcePath, enrolment.unit)
    let other = there?.snapshot.workloads.values.map(\.value).filter {
      $0.location == location && $0.node == enrolment.node && !(own && $0.name == enrolment.workload)
    }.map(\.name).min()
    if let other { return other }
    if !own, there?.snapshot.workloads[enrolment.workload] != nil {
      throw MeshError(
        .conflict, "Workload \(enrolment.workload)", "is there and is another",
        next: "give --name or --namespace, or change that one")
    }
    let alone = try ResourceFiles.compile([scratch])
    if let problem = alone.errors.first {
      throw MeshError(
        .invalid, problem.object, "the Workload would be refused",
        cause: "\(problem.position.path): \(problem.message)",
        next: problem.next)
    }
    return nil
  }

  /// True if it was not so already.
  private mutating func write(_ content: String, to path: String, mark unit: String) throws(MeshError) -> Bool {
    let bytes = Array(content.utf8)
    if try DiskFile.status(path, followLinks: false) != nil {
      guard try self.isOurs(path, unit) else {
        throw MeshError(
          .conflict, path, "is there, and martlet enroll did not write it", next: "move it away, or remove it")
      }
      if try DiskFile.read(path, limit: Self.fileLimit) == bytes {
        self.report.steps.append(.init(.keep, path))
        return false
      }
    }
    self.report.steps.append(.init(.write, path, content: content))
    guard !self.options.dryRun else { return true }
    // Hidden, so that no reader of the directory takes half of it.
    let slash = path.lastIndex(of: "/") ?? path.startIndex
    let beside = path[..<slash] + "/." + path[path.index(after: slash)...] + ".new"
    do throws(MeshError) {
      try DiskFile.write(bytes, to: String(beside), mode: 0o644)
      try DiskFile.rename(String(beside), to: path)
    } catch {
      DiskFile.remove(String(beside))
      throw error
    }
    return true
  }

  /// True if there was one of ours.
  private mutating func remove(_ path: String) throws(MeshError) -> Bool {
    guard try DiskFile.status(path, followLinks: false) != nil else { return false }
    guard try self.isOurs(path, self.options.unit) else {
      self.report.notes.append("\(path) was not written by martlet enroll: it stays")
      return false
    }
    self.report.steps.append(.init(.remove, path))
    if !self.options.dryRun { DiskFile.remove(path) }
    return true
  }

  private func isOurs(_ path: String, _ unit: String) throws(MeshError) -> Bool {
    guard try DiskFile.status(path, followLinks: false) != nil else { return false }
    return try DiskFile.read(path, limit: Self.fileLimit).starts(with: Array(UnitEnrolment.mark(unit).utf8))
  }

  private mutating func reload() throws(MeshError) {
    guard UnitFacts.hasSystemd, Self.systemdDirectories.contains(where: self.options.unitDir.hasPrefix) else { return }
    self.report.steps.append(.init(.run, "systemctl daemon-reload"))
    guard !self.options.dryRun else { return }
    let result = Tool.run(["systemctl", "daemon-reload"], seconds: 60)
    guard let result, result.status == 0 else {
      throw MeshError(
        .unavailable, "systemctl daemon-reload", "failed", cause: result?.errors,
        next: "run it, and look at its message")
    }
  }
}
