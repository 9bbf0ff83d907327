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
    if self.configuration.answersHost { self.prepareHostNames(now) }
    if self.rest.isNew(for: .named) { self.rest.keep(named: self.namesToFollow) }
    var changed = false
    for name in self.rest.named {
      guard let workload = self.enrolled[name] else { continue }
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

  private var namesToFollow: [ResourceName] {
    self.enrolled.compactMap { name, workload in
      guard !workload.isInHost else { return nil }
      return workload.local.names != nil || self.snapshot.workloads[name]?.value.resolvesNames == true ? name : nil
    }
  }

  private func prepareHostNames(_ now: Int64) {
    do throws(MeshError) {
      try self.naming.prepareHost(self.host, now: now)
    } catch {
      self.logger.error("the host's questions for names cannot be answered", metadata: [LogKey.error: "\(error)"])
    }
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
    let owner = Naming.Owner.workload(entry.name)
    guard self.naming.sockets[owner] != nil || entry.failureMode == .closed else { return nil }
    return NameSteering(takesLoopback: self.naming.choices[owner]?.takesLoopback ?? false)
  }

  /// After the tables were written: what is wanted no more is closed, and the proxy gets what it does not have.
  func settleNames() {
    var isEnded = false
    for owner in self.naming.choices.keys {
      guard case .workload(let name) = owner else {
        self.sendNames(of: owner, number: 0, cookie: self.host.cookie)
        continue
      }
      guard let workload = self.enrolled[name] else { continue }
      if workload.local.names == nil, self.snapshot.workloads[name]?.value.resolvesNames != true {
        self.naming.forget(name, cookie: workload.namespace.cookie)
        isEnded = true
      } else if workload.isAttached,
        let number = self.planner.identifiers.number(.workload, name.description)
      {
        self.sendNames(of: owner, number: number, cookie: workload.namespace.cookie)
      }
    }
    guard isEnded else { return }
    self.retainNames()
    self.followStore()
  }

  /// `number` 0: of no workload.
  private func sendNames(of owner: Naming.Owner, number: UInt32, cookie: UInt64) {
    for socket in self.naming.takeNew(owner) {
      let key = ListenerKey(workload: number, namespaceCookie: cookie, isV4: socket.isV4)
      do throws(MeshError) {
        try self.link?.sendNameListener(socket.descriptor.rawValue, isDatagram: socket.isDatagram, key)
      } catch {
        self.report("name listener cannot be handed over", error)
      }
    }
    if let servers = self.naming.takeServers(owner) {
      self.link?.useNameServers(servers, namespaceCookie: cookie)
      let list = servers.map(\.address.description).joined(separator: " ")
      self.logger.info("name servers", metadata: [LogKey.workload: "\(number)", "servers": "\(list)"])
    }
  }

  /// Sockets of workloads that are gone, or want names no more. Only a whole snapshot can tell which those are.
  func retainNames() {
    guard self.isComplete else { return }
    self.naming.dropAdopted()
    let cookies = self.naming.sockets.keys.compactMap { owner -> UInt64? in
      guard case .workload(let name) = owner else { return self.host.cookie }
      return self.enrolled[name]?.namespace.cookie
    }
    self.link?.retainNames(namespaceCookies: cookies)
  }
}
