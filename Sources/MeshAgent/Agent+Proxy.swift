import CMeshABI
import Logging
import MeshBPF
import MeshBase
import MeshDatapath
import MeshLink
import MeshLinux
import MeshSnapshot
import MeshTelemetry

/// What the proxy says, and what it is given.
extension Agent {
  func handle(_ event: ProxyLinkEvent) {
    switch event {
    case .connected(let process, let version):
      self.proxy.state = .running
      self.proxy.pid = UInt32(clamping: process)
      self.proxy.version = version
      self.logger.info("proxy connected", metadata: [LogKey.process: "\(process)", LogKey.version: "\(version)"])
      self.proveIdentities()
      self.handOverListeners()
      self.naming.proxyConnected()
      self.settleNames()
      self.retainListeners()
    case .applied(let revision):
      self.proxy.appliedRevision = revision
    case .rejected(let revision, let message):
      self.report(
        "proxy refuses a revision",
        MeshError(.invalid, "proxy", "refuses revision \(revision)", cause: message, next: "use one version of both"))
    case .stockWanted(let request):
      self.sendStock(request)
    case .listenerAccepted:
      break
    case .stats(let stats):
      self.note(stats)
    case .nameStats(let counts): self.nameStats = counts
    case .requests(let counts):
      let names = self.names.current
      for count in counts { self.requests.add(count, source: names.workload(count.series.source)) }
    case .costs(let costs):
      let names = self.names.current
      self.bills.add(costs) { names.workload($0) }
    case .upstreams(let isFirst, let states): self.note(states, isFirst: isFirst)
    case .disconnected(let process):
      self.endpointStates = [:]
      self.proxy.state = .restarting
      self.logger.warning("proxy disconnected", metadata: [LogKey.process: "\(process)"])
    // `supervise` has those.
    case .aside: break
    }
  }

  /// Listeners of workloads that are gone end with their connections. Only a whole snapshot can tell which those are.
  func retainListeners() {
    guard self.isComplete else { return }
    self.link?.retainListeners(
      namespaceCookies: self.enrolled.values.map(\.namespace.cookie)
        + (self.hostListeners.isEmpty ? [] : [self.host.cookie]))
    self.retainNames()
  }

  /// The proxy counts what it refuses; the agent says it, at most once a second for each reason.
  private func note(_ stats: ProxyStats) {
    let before = Dictionary(self.proxyStats.refused.map { ($0.reason, $0.count) }, uniquingKeysWith: +)
    for refused in stats.refused where refused.count > before[refused.reason] ?? 0 {
      self.logger.notice(
        "proxy refused connections",
        metadata: [
          LogKey.reason: "\(refused.reason)", LogKey.count: "\(refused.count - (before[refused.reason] ?? 0))",
        ])
    }
    self.proxyStats = stats
  }

  /// Who the numbers of enrolled workloads are, if that was not said yet.
  func tellNames() {
    for (name, workload) in self.enrolled {
      guard let number = self.planner.identifiers.number(.workload, name.description), number != workload.toldNumber
      else { continue }
      self.enrolled[name]?.toldNumber = number
      self.link?.name(workload: number, name)
    }
  }

  /// To whoever serves.
  func handOverListeners() {
    for name in self.enrolled.keys { self.enrolled[name]?.toldNumber = nil }
    self.tellNames()
    for workload in self.enrolled.values where workload.isAttached { self.sendListeners(of: workload) }
    self.sendGateway()
  }

  func listeners(of workload: EnrolledWorkload) -> [(key: ListenerKey, listener: RelayListener)] {
    guard let number = self.planner.identifiers.number(.workload, workload.name.description) else { return [] }
    return workload.listeners.map { listener in
      // Those of the host's namespace belong to no workload: they go when the last one there does.
      let key = ListenerKey(
        workload: workload.isInHost ? 0 : number, namespaceCookie: workload.namespace.cookie, isV4: listener.isV4,
        isTunnel: listener.isTunnel)
      return (key, listener)
    }
  }

  func sendListeners(of workload: EnrolledWorkload) {
    for (key, listener) in self.listeners(of: workload) {
      do throws(MeshError) {
        try self.link?.sendListener(listener.descriptor.rawValue, key)
      } catch {
        self.report("listener cannot be handed over", error)
      }
    }
  }

  /// Fresh sockets in the namespace of the workload, each tagged with it: the proxy can dial with nothing else.
  func sendStock(_ request: StockRequest, to process: Int32? = nil) {
    guard let name = self.planner.identifiers.name(.workload, request.workload).flatMap({ ResourceName($0) }),
      let workload = self.enrolled[name]
    else { return }
    // Into another namespace the proxy asks by the address that it wants to reach there.
    var place = workload
    var leg = UInt32(MESH_LEG_OUTBOUND)
    if let destination = request.destination {
      guard let owner = self.planner.resolved.workload(at: destination)?.name, let found = self.enrolled[owner],
        !found.isInHost, !request.isForNames
      else { return }
      (place, leg) = (found, UInt32(MESH_LEG_INBOUND))
    }
    let count = Int(min(request.count, 256))
    var tagged: [CInt] = []
    var failure: MeshError?
    func tag(_ descriptor: consuming Descriptor) {
      let raw = descriptor.release()
      do throws(MeshError) {
        try self.kernel.tag(socket: raw, as: mesh_leg(workload: request.workload, leg: leg))
        tagged.append(raw)
      } catch {
        // Untagged it would be refused at connect: it must not reach the proxy.
        _ = Descriptor(owning: raw)
        failure = error
      }
    }
    do throws(MeshError) {
      if request.isForNames {
        try place.namespace.openDatagrams(isV4: request.isV4, count: count, tag)
      } else {
        try place.namespace.openStreams(isV4: request.isV4, count: count, tag)
      }
    } catch {
      failure = error
    }
    self.report("upstream sockets cannot be made", failure)
    if !tagged.isEmpty, request.isForNames {
      self.link?.sendNameStock(
        tagged,
        ListenerKey(
          workload: request.workload, namespaceCookie: place.namespace.cookie, isV4: request.isV4), to: process)
    } else if !tagged.isEmpty {
      self.link?.sendStock(
        tagged, workload: request.workload, leg: UInt8(leg), isV4: request.isV4, destination: request.destination,
        namespaceCookie: place.namespace.cookie, to: process)
    }
  }
}
