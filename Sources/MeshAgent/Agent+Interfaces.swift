import MeshBase
import MeshDatapath
import MeshLinux

/// Addresses and interfaces of a workload come and go without its namespace changing. The kernel tells of it; a slow round
/// looks at all of them besides, because what is told can be lost.
extension Agent {
  /// Of the host's own namespace; cookies count from 1.
  private static let hostToken: UInt64 = 0
  private static let roundMilliseconds: Int64 = 1000
  /// In one turn.
  private static let mostRefreshes = 16

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
      guard !workload.isInHost, workload.isAttached else { continue }
      do throws(MeshError) {
        if try workload.namespace.peerInterfaces(in: self.host) != workload.local.interfaces {
          try self.mendEdges(workload)
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
    var wanted: [UInt64: NetworkNamespace] = [Self.hostToken: self.host]
    for workload in self.enrolled.values where !workload.isInHost {
      wanted[workload.namespace.cookie] = workload.namespace
    }
    for token in Array(watch.tokens) where wanted[token] == nil { watch.forget(token: token) }
    if watch.tokens.count < wanted.count {
      for (token, namespace) in wanted where !watch.tokens.contains(token) {
        do throws(MeshError) {
          try watch.watch(namespace, token: token)
          self.report("interfaces cannot be watched", nil)
        } catch {
          // The slow round goes on.
          self.report("interfaces cannot be watched", error)
        }
      }
    }
    for change in watch.changes() {
      if change.token == Self.hostToken {
        self.noteHostLinks(change)
      } else {
        for (name, workload) in self.enrolled where !workload.isInHost && workload.namespace.cookie == change.token {
          self.refreshWanted.insert(name)
        }
      }
    }
  }

  private func noteHostLinks(_ change: InterfaceWatch.Change) {
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
