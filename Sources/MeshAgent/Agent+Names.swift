import Logging
import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux
import MeshSnapshot

/// Workloads that resolve names of the mesh: sockets in their namespaces, for the proxy to answer on, and who is asked for
/// other names. A socket is there before the tables lead a question to it, and goes after they do so no more.
extension Agent {
  /// Looks at every enrolled workload, before the tables are planned. True if what they say changes.
  func followNames() -> Bool {
    let now = MonotonicClock.milliseconds
    var changed = false
    for (name, workload) in self.enrolled where !workload.isInHost {
      var steering: NameSteering?
      if let entry = self.snapshot.workloads[name]?.value, entry.resolvesNames {
        steering = self.prepareNames(entry, workload, now)
      }
      guard steering != workload.local.names else { continue }
      self.enrolled[name]?.local.names = steering
      changed = true
    }
    return changed
  }

  /// Without sockets questions are refused, or left alone if the workload is declared open.
  private func prepareNames(
    _ entry: WorkloadEntry, _ workload: EnrolledWorkload, _ now: Int64
  ) -> NameSteering? {
    do throws(MeshError) {
      try self.naming.prepare(entry, in: workload.namespace, now: now)
    } catch {
      self.logger.error(
        "names cannot be answered", metadata: [LogKey.workload: "\(entry.name)", LogKey.error: "\(error)"])
    }
    guard self.naming.sockets[entry.name] != nil || entry.failureMode == .closed else { return nil }
    return NameSteering(takesLoopback: self.naming.choices[entry.name]?.takesLoopback ?? false)
  }

  /// After the tables were written: what is wanted no more is closed, and the proxy gets what it does not have.
  func settleNames() {
    var isEnded = false
    for name in self.naming.choices.keys {
      guard let workload = self.enrolled[name] else { continue }
      if workload.local.names == nil, self.snapshot.workloads[name]?.value.resolvesNames != true {
        self.naming.forget(name, cookie: workload.namespace.cookie)
        isEnded = true
      } else if workload.isAttached {
        self.sendNames(of: workload)
      }
    }
    guard isEnded else { return }
    self.retainNames()
    self.followStore()
  }

  private func sendNames(of workload: EnrolledWorkload) {
    guard let number = self.planner.identifiers.number(.workload, workload.name.description) else { return }
    let cookie = workload.namespace.cookie
    for socket in self.naming.takeNew(workload.name) {
      let key = ListenerKey(workload: number, namespaceCookie: cookie, isV4: socket.isV4)
      do throws(MeshError) {
        try self.link?.sendNameListener(socket.descriptor.rawValue, isDatagram: socket.isDatagram, key)
      } catch {
        self.report("name listener cannot be handed over", error)
      }
    }
    if let servers = self.naming.takeServers(workload.name) {
      self.link?.useNameServers(servers, namespaceCookie: cookie)
      self.logger.info(
        "name servers",
        metadata: [
          LogKey.workload: "\(workload.name)",
          "servers": "\(servers.map(\.address.description).joined(separator: " "))",
        ])
    }
  }

  /// Sockets of workloads that are gone, or want names no more. Only a whole snapshot can tell which those are.
  func retainNames() {
    guard self.isComplete else { return }
    self.naming.dropAdopted()
    self.link?.retainNames(
      namespaceCookies: self.enrolled.values.filter { self.naming.sockets[$0.name] != nil }.map(\.namespace.cookie))
  }
}
