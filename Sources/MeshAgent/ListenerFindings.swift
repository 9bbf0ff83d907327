import MeshBase
import MeshLinux

/// What the listeners of a namespace say: who has the mesh's own ports, who serves the ports that a workload declared, and in
/// which cgroups its servers are. Pure.
enum ListenerFindings {
  /// On one of the mesh's own ports, and not the agent's.
  static func foreign(
    _ listeners: [SocketRecord], own: Set<UInt64>, agentCgroup: UInt64
  ) -> [SocketRecord] {
    listeners.filter {
      MeshPort.all.contains($0.local.port) && !own.contains($0.cookie) && $0.cgroup != agentCgroup
    }.sorted { $0.local < $1.local }
  }

  /// In which cgroups the others were made.
  static func cgroups(_ listeners: [SocketRecord], own: Set<UInt64>, agentCgroup: UInt64) -> Set<UInt64> {
    Set(
      listeners.lazy.filter { !own.contains($0.cookie) && $0.cgroup != agentCgroup && $0.cgroup != 0 }.map(\.cgroup))
  }

  /// Of the ports that a workload of the host declared, the listeners that are not its own. A port without a listener is no
  /// alarm: the unit may just start. All addresses count, because a declared port is governed at each of the host's.
  static func disowned(
    _ listeners: [SocketRecord], ports: [UInt16], isOwned: (SocketRecord) -> Bool
  ) -> [SocketRecord] {
    listeners.filter { ports.contains($0.local.port) && !isOwned($0) }.sorted { $0.local < $1.local }
  }
}
