import FoundationEssentials
package import MeshBase

/// What podman's REST API says (libpod, from version 3 on): `containers/json` and lines of `events`.
package enum PodmanAnswer {
  /// With `all=true`. A container that is not as expected is left out; an answer that is no list is an error.
  package static func containers(_ bytes: [UInt8]) throws(MeshError) -> [ContainerRecord] {
    do {
      return try JSONDecoder().decode([Lenient<Listed>].self, from: Data(bytes)).compactMap { $0.value?.record }
    } catch {
      throw MeshError(.invalid, "podman", "its list of containers cannot be read", cause: "\(error)")
    }
  }

  /// Nil if the line tells of nothing that matters here.
  package static func event(_ line: [UInt8]) -> ContainerEvent? {
    guard let event = try? JSONDecoder().decode(Event.self, from: Data(line)), event.type == "container" else {
      return nil
    }
    guard let id = event.actor.id, ContainerRecord.isID(id) else { return nil }
    guard !self.inner.contains(event.action) else { return nil }
    let action: ContainerEvent.Action =
      switch event.action {
      case "create": .made
      case "remove": .removed
      default: .other
      }
    guard action == .made else { return ContainerEvent(action, id: id) }
    // Labels stand among the attributes of podman's own.
    var labels = event.actor.attributes ?? [:]
    for key in ["name", "image", "podId", "containerExitCode"] { labels[key] = nil }
    return ContainerEvent(action, id: id, name: event.actor.attributes?["name"], labels: labels)
  }

  /// What happens inside of a container all the time.
  private static let inner: Set<String> = ["exec", "exec_died", "health_status", "attach"]

  private struct Lenient<Value: Decodable>: Decodable {
    var value: Value?

    init(from decoder: any Decoder) throws { self.value = try? Value(from: decoder) }
  }

  private struct Listed: Decodable {
    var id: String
    var names: [String]?
    var labels: [String: String]?
    var pid: Int64?
    var state: String?
    var ports: [Lenient<Port>]?

    enum CodingKeys: String, CodingKey {
      case ports = "Ports"
      case id = "Id"
      case names = "Names"
      case labels = "Labels"
      case pid = "Pid"
      case state = "State"
    }

    var record: ContainerRecord? {
      guard ContainerRecord.isID(self.id) else { return nil }
      let process = self.pid.flatMap { Int32(exactly: $0) }.flatMap { $0 > 0 ? $0 : nil }
      return ContainerRecord(
        id: self.id, name: self.names?.first, labels: self.labels ?? [:],
        process: self.state == "exited" || self.state == "stopped" ? nil : process,
        publications: (self.ports ?? []).prefix(Self.maximumPorts).compactMap { $0.value?.publication })
    }

    /// More are not looked at.
    private static let maximumPorts = 4096
  }

  /// libnetwork/types, PortMapping.
  private struct Port: Decodable {
    var host: String?
    var containerPort: Int
    var hostPort: Int
    var range: Int?
    /// Several, with commas between.
    var protocols: String?

    enum CodingKeys: String, CodingKey {
      case host = "host_ip"
      case containerPort = "container_port"
      case hostPort = "host_port"
      case range
      case protocols = "protocol"
    }

    var publication: ContainerPublication? {
      guard (self.protocols ?? "tcp").split(separator: ",").contains("tcp") else { return nil }
      return ContainerPublication(
        host: self.host ?? "", hostPort: self.hostPort, containerPort: self.containerPort,
        count: max(self.range ?? 1, 1))
    }
  }

  private struct Event: Decodable {
    struct Actor: Decodable {
      var id: String?
      var attributes: [String: String]?

      enum CodingKeys: String, CodingKey {
        case id = "ID"
        case attributes = "Attributes"
      }
    }

    var type: String
    var action: String
    var actor: Actor

    enum CodingKeys: String, CodingKey {
      case type = "Type"
      case action = "Action"
      case actor = "Actor"
    }
  }
}
