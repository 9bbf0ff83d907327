import MeshSnapshot

/// What is known of a container.
package struct ContainerRecord: Hashable, Sendable, Codable {
  /// The whole id.
  package var id: String
  /// Nil: not known yet.
  package var name: String?
  /// Nil: not known yet.
  package var labels: [String: String]?
  /// Its first process, in the pid namespace of the engine. Nil: it does not run.
  package var process: Int32?
  /// Ports of the host that lead to it, as far as they are known.
  package var publications: [ContainerPublication]

  package init(
    id: String, name: String? = nil, labels: [String: String]? = nil, process: Int32? = nil,
    publications: [ContainerPublication] = []
  ) {
    self.publications = publications
    self.id = id
    self.name = name
    self.labels = labels
    self.process = process
  }

  package static func isID(_ text: String) -> Bool { ContainerSelector.isRuntimeID(text) }
}

/// TCP ports of the host, one after the other, that lead to as many of a container.
package struct ContainerPublication: Hashable, Sendable, Codable {
  /// As the engine writes it; empty: every address of the host.
  package var host: String
  package var hostPort: UInt16
  package var containerPort: UInt16
  /// From 1 on; neither port runs past 65535.
  package var count: UInt16

  /// Nil: no such ports.
  package init?(host: String, hostPort: Int, containerPort: Int, count: Int) {
    let ports = 1...65_535
    guard ports.contains(hostPort), ports.contains(containerPort), ports.contains(count), host.utf8.count <= 64,
      hostPort <= 65_536 - count, containerPort <= 65_536 - count
    else { return nil }
    self.host = host
    self.hostPort = UInt16(hostPort)
    self.containerPort = UInt16(containerPort)
    self.count = UInt16(count)
  }
}
