import Logging
import MeshBase
import MeshContainers
import MeshLinux
import MeshSnapshot
import MeshTelemetry

/// Workloads that are containers: which of them runs, and where its network namespace is.
extension Agent {
  var wantsContainers: Bool {
    self.locations.values.contains { if case .container = $0 { true } else { false } }
  }

  /// The watch of the containers sleeps until the first Workload names one.
  func wakeContainers() {
    if self.wantsContainers { self.containerBell.continuation.yield() }
  }

  /// Where the namespace of the workload's container is; nil if none runs that fits.
  func path(of selector: ContainerSelector, for name: ResourceName) -> String? {
    let chosen = self.chosenContainers[name.description]
    while case .running(let record) = self.containers.match(selector, preferring: chosen) {
      if let process = self.containerProcesses[record.id], process.pid == record.process,
        !process.waitForExit(milliseconds: 0)
      {
        if chosen != record.id {
          self.chosenContainers[name.description] = record.id
          self.saveContainers()
        }
        return "/proc/\(process.pid)/ns/net"
      }
      self.forgetProcess(of: record.id)
    }
    return nil
  }

  private func forgetProcess(of id: String) {
    self.containerProcesses[id] = nil
    self.containers.ended(id)
  }

  func heard(_ event: ContainerEvent) {
    self.containers.apply(event)
    if event.action == .made { self.saveContainers() }
  }

  func heard(_ listed: [ContainerRecord]) {
    self.report("podman does not tell of its containers", nil)
    let living = self.containerProcesses.filter { !$0.value.waitForExit(milliseconds: 0) }
    self.containers.list(listed, living: Set(living.keys))
    self.holdProcesses()
    self.saveContainers()
    self.publicationsAreStale = true
    guard self.isComplete else { return }
    let changed = self.followNamespaces()
    if self.followPublications() || changed {
      self.updateTables(self.tablesFollow ? Delta() : nil)
      self.scanSoon()
    }
  }

  /// Takes a handle of each process that has none. By it the number cannot come to mean another process; what it means when
  /// the handle is taken, its cgroup says, which bears the container's id.
  private func holdProcesses() {
    for record in self.containers.records {
      guard let pid = record.process else {
        self.containerProcesses[record.id] = nil
        continue
      }
      if self.containerProcesses[record.id]?.pid == pid { continue }
      if let handle = try? ProcessHandle.open(pid: pid), (try? handle.cgroupPath())?.contains(record.id) == true {
        self.containerProcesses[record.id] = handle
        self.hostWatch.follow(handle)
      } else {
        self.forgetProcess(of: record.id)
      }
    }
    for id in self.containerProcesses.keys where self.containers.containers[id] == nil {
      self.containerProcesses[id] = nil
    }
  }

  /// The runtime's hook says that the container is about to start. The process waits for the hook, so the number is its own.
  func note(container id: String, process: Int32, name: String?) {
    self.containers.created(id: id, process: process, name: name)
    if self.containerProcesses[id]?.pid != process || self.containerProcesses[id]?.waitForExit(milliseconds: 0) == true
    {
      self.containerProcesses[id] = try? ProcessHandle.open(pid: process)
      if let handle = self.containerProcesses[id] { self.hostWatch.follow(handle) }
    }
    self.saveContainers()
  }

  /// Says once of a container that it ran before it was enrolled, and what keeps the next one from it.
  func noteMissingHook(of name: ResourceName) {
    guard case .container(let selector) = self.locations[name], let id = self.chosenContainers[name.description],
      self.containers.beganWithoutHook(id)
    else { return }
    let error = MeshError(
      .conflict, "container \(selector)", "no OCI hook asked for it before it ran",
      next:
        "install -D -m 644 /usr/lib/martlet/oci-hook.json /usr/share/containers/oci/hooks.d/martlet.json, and restart it"
    )
    self.logger.warning(
      "a container ran before it was enrolled: its first calls were not steered",
      metadata: [LogKey.workload: "\(name)", LogKey.error: "\(error)"])
  }

  /// Workloads of this node that the container is; nil if too little is known of it to tell.
  func workloads(ofContainer id: String) -> [ResourceName]? {
    let record = self.containers.containers[id]
    var names: [ResourceName] = []
    var isUndetermined = false
    for (name, location) in self.locations {
      guard case .container(let selector) = location else { continue }
      switch selector.matches(id: id, name: record?.name, labels: record?.labels) {
      case true?: names.append(name)
      case nil: isUndetermined = true
      case false?: break
      }
    }
    return names.isEmpty && isUndetermined ? nil : names.sorted()
  }

  private var containersPath: String { self.configuration.runDirectory + "/containers" }
  private static let containersLimit = 16 << 20

  /// For the next agent, which may have nobody to ask: who runs here is enrolled before anything is let go.
  private func saveContainers() {
    let running = self.containers.records.filter { $0.process != nil }
    let ids = Set(running.map(\.id))
    self.chosenContainers = self.chosenContainers.filter { ids.contains($0.value) }
    let notes = ContainerNotes(running: running, chosen: self.chosenContainers)
    guard notes != self.savedContainers else { return }
    do throws(MeshError) {
      try DiskFile.write(try ReportCoding.encode(notes), to: self.containersPath + ".new", mode: 0o600)
      try DiskFile.rename(self.containersPath + ".new", to: self.containersPath)
      self.savedContainers = notes
      self.report("containers cannot be noted", nil)
    } catch {
      self.report("containers cannot be noted", error)
    }
  }

  /// What the predecessor noted, as far as it runs still.
  func restoreContainers() {
    guard let bytes = try? DiskFile.read(self.containersPath, limit: Self.containersLimit),
      let notes = try? ReportCoding.decode(ContainerNotes.self, from: bytes)
    else { return }
    self.containers = ContainerBoard(notes.running)
    self.chosenContainers = notes.chosen
    self.holdProcesses()
  }
}
