import Foundation
import Glibc
import MeshBase
import MeshLinux

/// What this host knows of a unit.
struct UnitFacts: Sendable {
  /// Properties of `systemctl show`; empty if systemd does not run here.
  var properties: [String: String] = [:]
  /// TCP ports that its processes listen on, those on loopback too.
  var listening: [UInt16] = []

  private static let wanted = ["LoadState", "ControlGroup", "NetworkNamespacePath", "PrivateNetwork", "ExecCondition"]
  private static let sshUnits = ["ssh.service", "sshd.service"]
  static let sshPort: UInt16 = 22

  static func gather(_ unit: String) -> UnitFacts {
    var facts = UnitFacts()
    if Self.hasSystemd {
      let shown = Tool.run(["systemctl", "show", "-p", self.wanted.joined(separator: ","), "--", unit], seconds: 10)
      facts.properties = Self.parse(shown?.output ?? "")
    }
    facts.listening = Self.listeners(of: unit, cgroup: facts.properties["ControlGroup"])
    return facts
  }

  /// sd_booted(3).
  static var hasSystemd: Bool { access("/run/systemd/system", F_OK) == 0 }

  static func parse(_ text: String) -> [String: String] {
    var properties: [String: String] = [:]
    for line in text.split(separator: "\n") {
      guard let mark = line.firstIndex(of: "=") else { continue }
      properties[String(line[..<mark])] = String(line[line.index(after: mark)...])
    }
    return properties.filter { !$0.value.isEmpty }
  }

  /// Ports on which the unit's sockets listen: the kernel says which cgroup made each.
  private static func listeners(of unit: String, cgroup: String?) -> [UInt16] {
    guard let root = try? Cgroup.unified(), let host = try? NetworkNamespace.current(),
      let cgroup = try? Cgroup.open(path: root.path + (cgroup ?? SystemdUnit.usualCgroup(unit))),
      let sockets = try? host.sockets()
    else { return [] }
    let ids = Set(cgroup.identifiers())
    return Set(sockets.filter { $0.isListening && ids.contains($0.cgroup) }.map(\.local.port)).sorted()
  }

  /// Ports through which somebody administers this host.
  static func sshPorts() -> Set<UInt16> {
    Set(self.sshUnits.flatMap { self.listeners(of: $0, cgroup: nil) } + [self.sshPort])
  }

  static func isSSH(_ unit: String) -> Bool {
    ["ssh", "sshd"].contains { unit == "\($0).service" || unit.hasPrefix("\($0)@") }
  }
}
