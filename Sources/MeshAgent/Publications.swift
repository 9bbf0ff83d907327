import MeshBase
import MeshContainers
import MeshDatapath

/// Which ports of the host lead to a container, from what its engine says and which addresses the host has. Pure.
struct Publications: Equatable {
  /// Of one container: a range may be any port of every address.
  static let limit = 4096

  var ports: [PublishedPort] = []
  /// What is left to the engine's own address translation, and so without identity.
  var problem: String?

  init(_ published: [ContainerPublication], hostAddresses: [IPAddress]) {
    var found: Set<PublishedPort> = []
    for publication in published {
      let addresses = Self.addresses(of: publication.host, hostAddresses)
      for step in 0..<publication.count {
        let hostPort = publication.hostPort + step
        guard !MeshPort.all.contains(hostPort) else {
          self.problem =
            "its published port \(hostPort) belongs to the mesh itself: calls to it do not bear their identity"
          continue
        }
        for address in addresses {
          guard found.count < Self.limit else {
            self.problem = "it publishes more than \(Self.limit) ports: calls to the others do not bear their identity"
            break
          }
          found.insert(
            PublishedPort(host: SocketEndpoint(address, hostPort), port: publication.containerPort + step))
        }
      }
    }
    self.ports = found.sorted { ($0.host, $0.port) < ($1.host, $1.port) }
  }

  /// Loopback with the others: there it is the host's own processes that call. Of 127/8 only 127.0.0.1 is known: as a key it
  /// stands for all of them.
  private static func addresses(of host: String, _ hostAddresses: [IPAddress]) -> [IPAddress] {
    let all = hostAddresses + [.loopbackV4, .loopbackV6]
    if host.isEmpty { return all }
    guard let address = IPAddress(host) else { return [] }
    if address.isUnspecified { return all.filter { $0.isV4 == address.isV4 } }
    return all.contains(address) ? [address] : []
  }
}
