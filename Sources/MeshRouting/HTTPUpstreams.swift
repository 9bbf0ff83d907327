package import MeshBase
import MeshSnapshot

/// What the rules of a service port lead to, each once. Rules and filters name them by number, so that they are compiled
/// once and joined with the endpoints of every new `RoutingTable`.
package struct HTTPUpstreams: Sendable {
  package struct Target: Hashable, Sendable {
    package let service: ResourceName
    package let port: UInt16
  }

  package private(set) var targets: [Target] = []
  private var numbers: [Target: Int] = [:]

  init() {}

  mutating func number(of backend: HTTPBackend) -> Int {
    let target = Target(service: backend.service, port: backend.port)
    if let number = self.numbers[target] { return number }
    let number = self.targets.count
    self.targets.append(target)
    self.numbers[target] = number
    return number
  }
}
