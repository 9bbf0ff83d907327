import Logging
import MeshBase
import MeshLink
import MeshNet
import MeshPolicy
import MeshRouting
import MeshSnapshot
import MeshTelemetry
import Synchronization

/// Ties the tunnels of other nodes to what the agent says: with what workloads prove who they are, which of them live here, and who
/// may call them. May be called from any thread; what the loops ask was made when it changed.
final class ProxyTunnels: Sendable {
  let certificates = CertificateShelf()
  private let identities = Mutex(ProxyIdentities())
  private let state = Mutex(State())
  private let logger: Logger

  fileprivate struct State {
    var access = InboundAccess()
    /// Of enrolled workloads, by the agent's numbers.
    var names: [UInt32: ResourceName] = [:]
    /// Of those with a namespace of their own.
    var cookies: [UInt32: UInt64] = [:]
    var hostCookie: UInt64 = 0
    var trustDomain = ""
    var residents: [UInt32: TunnelEntrance.Resident] = [:]
    var residentsByName: [String: TunnelEntrance.Resident] = [:]
  }

  init(logger: Logger) { self.logger = logger }

  // MARK: what the agent says

  /// True: who was let in may not be any more (`denies`).
  func use(_ snapshot: Snapshot) -> Bool {
    var mayDiffer = false
    self.change { state in
      let access = InboundAccess(snapshot)
      mayDiffer = access.mayDiffer(from: state.access, about: state.names.values)
      state.access = access
      state.trustDomain = snapshot.config?.value.trustDomain ?? ""
    }
    return mayDiffer
  }

  /// What came through a tunnel would not be let in now.
  func denies(_ flow: AcceptedFlow) -> Bool {
    guard let peer = flow.peer, let address = flow.peerAddress, let target = flow.chosen else { return false }
    let question = TunnelEntrance.Question(
      source: peer, sourceAddress: address, workload: flow.sourceWorkload, destination: target)
    return self.judge(question) != .allow
  }

  func name(workload: UInt32, _ name: ResourceName) { self.change { $0.names[workload] = name } }

  func withdraw(workload: UInt32) {
    self.change { state in
      state.names[workload] = nil
      state.cookies[workload] = nil
    }
  }

  /// Where a listener is tells where its workload is.
  func place(_ key: ListenerKey) {
    self.change { state in
      if key.workload == 0 {
        state.hostCookie = key.namespaceCookie
      } else {
        state.cookies[key.workload] = key.namespaceCookie
      }
    }
  }

  func use(_ material: IdentityMaterial) {
    self.identities.withLock { identities in
      identities.materials[material.identity] = material
      self.put([material], trust: identities.trust)
    }
    self.change { _ in }
  }

  func trust(_ domains: [TrustMaterial]) {
    self.identities.withLock { identities in
      identities.trust = domains
      self.put(Array(identities.materials.values), trust: domains)
    }
    self.change { _ in }
  }

  func retain(_ kept: [SPIFFEID]) {
    self.identities.withLock { identities in
      let kept = Set(kept)
      identities.materials = identities.materials.filter { kept.contains($0.key) }
      self.certificates.retain(kept)
    }
    self.change { _ in }
  }

  private func put(_ materials: [IdentityMaterial], trust: [TrustMaterial]) {
    for material in materials {
      // Without a root nobody is believed: it waits for one.
      guard let domain = trust.first(where: { $0.trustDomain == material.identity.trustDomain }), !domain.roots.isEmpty
      else { continue }
      do throws(MeshError) {
        self.certificates.put(
          try CertificateShelf.Pair(
            identity: material.identity,
            TLSMaterial(chain: material.chain, key: material.key, roots: domain.roots)))
      } catch {
        self.logger.error("a certificate cannot be used", metadata: [LogKey.error: "\(error)"])
      }
    }
  }

  private func change(_ body: (inout State) -> Void) {
    self.state.withLock { state in
      body(&state)
      state.settle(self.certificates)
    }
  }

  // MARK: what the loops ask

  /// For the listener of one workload, or of all that are reached at the host's own addresses.
  func entrance(_ key: ListenerKey) -> TunnelEntrance {
    let workload = key.workload
    return TunnelEntrance(
      trustDomain: { [weak self] in self?.state.withLock { $0.trustDomain } ?? "" },
      residents: { [weak self] in
        self?.state.withLock { state in
          if workload == 0 { return .several(state.residentsByName) }
          return state.residents[workload].map { .one($0) } ?? .several([:])
        } ?? .several([:])
      },
      judge: { [weak self] in self?.judge($0) ?? .deny(reason: "not_ready") })
  }

  private func judge(_ question: TunnelEntrance.Question) -> TunnelEntrance.Verdict {
    let (access, name) = self.state.withLock { ($0.access, $0.names[question.workload]) }
    guard let name else { return .deny(reason: "withdrawn") }
    let verdict = access.verdict(
      source: question.source, address: question.sourceAddress, to: name, port: question.destination.port)
    return verdict.isAllowed
      ? .allow : .deny(reason: verdict.reason.word, policy: verdict.policy.map { $0.description })
  }
}

/// What the agent gave, to be put together again when one half changes.
private struct ProxyIdentities {
  var materials: [SPIFFEID: IdentityMaterial] = [:]
  var trust: [TrustMaterial] = []
}

extension ProxyTunnels.State {
  fileprivate mutating func settle(_ certificates: CertificateShelf) {
    self.residents = [:]
    self.residentsByName = [:]
    for (number, name) in self.names {
      guard let entry = self.access.entry(of: name), let pair = certificates.pair(of: entry.identity) else { continue }
      let resident = TunnelEntrance.Resident(
        workload: number, namespaceCookie: self.cookies[number] ?? self.hostCookie, context: pair.server,
        addresses: Set(entry.addresses))
      self.residents[number] = resident
      self.residentsByName[entry.serverName] = resident
    }
  }
}
