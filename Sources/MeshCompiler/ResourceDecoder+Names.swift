import MeshBase
import MeshSnapshot

/// `dns` and `nameServers` of a Workload.
extension ResourceDecoder {
  /// As many as count in resolv.conf(5).
  private static let mostNameServers = 3

  /// The workload's location is decoded already.
  static func names(_ spec: inout Fields, _ result: inout WorkloadSpec) {
    let field = spec.optional("dns")
    result.dns = field?.flag() ?? false
    if let field, result.dns {
      if result.location.isInHost {
        field.fail(
          "a workload in the host's namespace resolves names as the host does",
          next: "let martlet hosts keep the mesh's names in /etc/hosts, and remove the field")
      } else if result.location == .none {
        field.fail(
          "a workload that is known by its addresses only has no network namespace to answer in",
          next: "set networkNamespace, or remove the field")
      }
    }
    guard let servers = spec.optional("nameServers") else { return }
    guard result.dns else {
      servers.fail("without dns: true nobody asks them for the workload", next: "set dns: true, or remove the field")
      return
    }
    result.nameServers = Self.nameServers(servers)
  }

  /// Loopback is the workload's own.
  private static func nameServers(_ field: Field) -> [IPAddress] {
    var result: [IPAddress] = []
    for (item, text) in field.texts() ?? [] {
      guard let address = IPAddress(text) else {
        item.fail("\(quotedForMessage(text)) is no IP address", next: "write one like 10.0.0.53 or fd00::53")
        continue
      }
      guard !address.isUnspecified, !address.isLinkLocal, !address.isMulticast else {
        item.fail("\(address) is no address of a name server", next: "use one that the workload can reach")
        continue
      }
      if result.contains(address) {
        item.fail("\(address) stands twice", next: "remove one of them")
      } else {
        result.append(address)
      }
    }
    if result.count > Self.mostNameServers {
      field.fail("\(result.count) name servers are too many", next: "keep \(Self.mostNameServers)")
    }
    return result
  }
}
