import MeshBase
import MeshDatapath
import MeshLinux

/// Addresses and interfaces of a workload come and go without its namespace changing. The kernel tells of it; a slow round
/// looks at all of them besides, because what is told can be lost.
extension Agent {
  /// Of the host's own namespace; cookies count from 1.
  private static let hostToken: UInt64 = 0
  private static let roundMilliseconds: Int64 = 10_000
  /// In one turn.
  private static let mostRefreshes = 16
  private static let mostRounds = 64

  /// True if the address of a workload changed.
  func refreshAddresses() -> Bool {
    self.followWatches()
    let now = MonotonicClock.milliseconds
    if now >= self.nextRefreshRound {
      self.nextRefreshRound = now + Self.roundMilliseconds
      if self.addressRefresh.isEmpty { self.addressRefresh = Array(self.enrolled.keys) }
      if let name = self.addressRefresh.popLast() { self.refreshWanted.insert(name) }
    }
    guard !self.refreshWanted.isEmpty else { return false }
    var changed = false
    for name in self.refreshWanted.prefix(Self.mostRefreshes) {
      self.refreshWanted.remove(name)
      guard let workload = self.enrolled[name] else { continue }
      if let addresses = try? workload.namespace.addresses(), addresses != workload.local.addresses {
        self.enrolled[name]?.local.addresses = addresses
        changed = true
      }
      guard !workload.isInHost else { continue }
      var segment = workload.segment
      defer { if !segment.isSettled { self.refreshWanted.insert(name) } }
      guard workload.isAttached else { continue }
      do throws(MeshError) {
        let interfaces = try workload.namespace.peerInterfaces(in: self.host)
        if interfaces != workload.local.interfaces { try self.mendEdges(workload) }
        segment.looked(try self.host.places(of: interfaces), now: now)
        if segment != workload.segment { self.enrolled[name]?.segment = segment }
        if segment.name != workload.local.segment {
          self.enrolled[name]?.local.segment = segment.name
          changed = true
        }
      } catch {
        self.report("interfaces cannot be followed", error)
      }
    }
    return changed
  }

  /// One for each enrolled namespace and one for the host's, where the other ends of the veths are.
  private func followWatches() {
    guard let watch = self.interfaceWatch else { return }
    if self.rest.isNew(for: .watches) { self.followNamespaces(of: watch) }
    // Whoever waits is told once of all that there is: what is left over would not wake anybody.
    for _ in 0..<Self.mostRounds {
      let changes = watch.changes()
      for change in changes { self.note(change) }
      if changes.count < InterfaceWatch.most { break }
    }
  }

  private func note(_ change: InterfaceWatch.Change) {
    guard change.token != Self.hostToken else { return self.noteHostLinks(change) }
    for (name, workload) in self.enrolled where !workload.isInHost && workload.namespace.cookie == change.token {
      self.refreshWanted.insert(name)
    }
  }

  private func followNamespaces(of watch: InterfaceWatch) {
    let inside = self.enrolled.values.lazy.filter { !$0.isInHost }
    guard watch.tokens.count != inside.count + 1 || !inside.allSatisfy({ watch.tokens.contains($0.namespace.cookie) })
    else { return }
    var wanted: [UInt64: NetworkNamespace] = [Self.hostToken: self.host]
    for workload in inside { wanted[workload.namespace.cookie] = workload.namespace }
    for token in Array(watch.tokens) where wanted[token] == nil { watch.forget(token: token) }
    for (token, namespace) in wanted where !watch.tokens.contains(token) {
      do throws(MeshError) {
        try watch.watch(namespace, token: token)
        self.report("interfaces cannot be watched", nil)
      } catch {
        // The slow round goes on.
        self.report("interfaces cannot be watched", error)
        self.rest.again(.watches)
      }
    }
  }

  private func noteHostLinks(_ change: InterfaceWatch.Change) {
    self.publicationsAreStale = true
    for (name, workload) in self.enrolled {
      if workload.isInHost {
        self.refreshWanted.insert(name)
      } else if change.isIncomplete || workload.local.interfaces.isEmpty
        || workload.local.interfaces.contains(where: change.links.contains)
      {
        self.refreshWanted.insert(name)
      }
    }
  }
}
