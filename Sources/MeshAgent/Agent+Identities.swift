import FoundationEssentials
import MeshBase
import MeshIdentity
import MeshLink
import MeshLinux
import MeshSnapshot
import MeshTelemetry
import MeshWire

/// Certificates of the node and of its workloads.
extension Agent {
  /// Identities that are placed here have certificates, and the node trusts whom the mesh trusts. Cheap if nothing changed.
  /// - Parameter isNew: a session has just brought all that there is, so that the control plane can be asked.
  func followIdentities(isNew: Bool) {
    // Where no tunnels are opened nobody would show them.
    guard self.configuration.opensTunnels, let certificates = self.certificates else { return }
    let config = self.snapshot.config
    var wanted: Set<SPIFFEID> = []
    // Without roots there is no authority that could be asked.
    if config?.value.trustRoots.isEmpty == false {
      for name in self.locations.keys {
        if let identity = self.snapshot.workloads[name]?.value.identity { wanted.insert(identity) }
      }
    }
    let isOther = self.toldConfig != config?.version
    if isOther || wanted != self.wantedIdentities {
      self.wantedIdentities = wanted
      self.toldConfig = config?.version
      Task { await self.tellIdentities() }
    }
    if isOther { self.proveIdentities() }
    if isOther, let config, let identity = self.nodeIdentity {
      Task { await identity.trust(config.value) }
    }
    if isNew { Task { await certificates.connected() } }
  }

  /// Where other hosts reach this one.
  var nodeAddresses: [IPAddress] {
    guard self.configuration.nodeAddresses.isEmpty, let control = self.configuration.controlPlane else {
      return self.configuration.nodeAddresses
    }
    // The control plane of this host itself is no way to it.
    return [self.host.source(toward: control)].compactMap { $0 }.filter { !$0.isLoopback }
  }

  /// What holds when this runs: of two that are under way neither says something old.
  private func tellIdentities() async {
    await self.certificates?.want(self.wantedIdentities, signer: self.snapshot.config?.value.trustRoots.first)
  }

  /// What the proxy proves and believes from here on. Again at each connection: it keeps nothing on disk.
  func proveIdentities() {
    guard let link = self.link, let board = self.certificates?.board else { return }
    let held = board.certificates
    for certificate in held.values {
      link.prove(
        IdentityMaterial(
          identity: certificate.identity, chain: certificate.chain, key: certificate.key.der,
          expires: Int64(certificate.notAfter.timeIntervalSince1970)))
    }
    if let config = self.snapshot.config?.value, !config.trustRoots.isEmpty {
      link.trust([
        TrustMaterial(
          trustDomain: config.trustDomain, roots: config.trustRoots, revoked: config.revoked.map(\.serial))
      ])
    }
    // What is asked for again after a start of this agent, the proxy may still have.
    if self.toldConfig != nil { link.retainIdentities(Array(self.wantedIdentities.union(held.keys))) }
  }

  /// Until the task is cancelled.
  func followCertificates() async {
    guard let board = self.certificates?.board else { return }
    for await _ in board.changes {
      self.proveIdentities()
      // At a start many come, one after the other.
      try? await Task.sleep(for: .milliseconds(50))
    }
  }

  func certificateReports() -> [CertificateReport] {
    guard let board = self.certificates?.board else { return [] }
    let (held, problems) = (board.certificates, board.problems)
    return self.wantedIdentities.sorted { $0.description < $1.description }.map { identity in
      var report = CertificateReport(identity: identity.description, problem: problems[identity])
      guard let certificate = held[identity] else { return report }
      report.serial = MeshIdentity.hex(certificate.serial)
      report.notBefore = Timestamp(unixSeconds: certificate.notBefore.timeIntervalSince1970)
      report.notAfter = Timestamp(unixSeconds: certificate.notAfter.timeIntervalSince1970)
      report.chain = certificate.chain.count
      return report
    }
  }
}
