package import MeshBase

/// What `martlet wait` and the OCI hook ask the agent to enrol now, before it is started.
package enum EnrolQuestion: Sendable, Hashable {
  /// `cgroup`: where the unit's cgroup is, if the caller knows, as a path below the cgroup2 root.
  case unit(name: String, cgroup: String?)
  case namespace(path: String)

  private static let pathLimit = 4095

  /// From the parameters of a request: `unit` (with `cgroup`) or `netns`.
  package init(query: [String: String]) throws(MeshError) {
    switch (query["unit"], query["netns"]) {
    case (let unit?, nil): self = try Self.unit(unit, cgroup: query["cgroup"])
    case (nil, let path?):
      guard Self.isPath(path) else { throw Self.error("netns", path, "is no absolute path", "/run/netns/web") }
      self = .namespace(path: path)
    default: throw MeshError(.invalid, "enrol", "needs a unit or a netns, and only one of them")
    }
  }

  private static func unit(_ name: String, cgroup: String?) throws(MeshError) -> EnrolQuestion {
    guard SystemdUnit.isName(name) else {
      throw self.error("unit", name, "is no name of a unit with processes", "web.service")
    }
    if let cgroup, !self.isPath(cgroup) || cgroup.split(separator: "/").last.map(String.init) != name {
      throw self.error("cgroup", cgroup, "is no path of the unit's cgroup", "/system.slice/web.service")
    }
    return .unit(name: name, cgroup: cgroup)
  }

  /// The same as parameters.
  package var query: [(String, String?)] {
    switch self {
    case .unit(let name, let cgroup): [("unit", name), ("cgroup", cgroup)]
    case .namespace(let path): [("netns", path)]
    }
  }

  /// For messages.
  package var subject: String {
    switch self {
    case .unit(let name, _): name
    case .namespace(let path): path
    }
  }

  private static func isPath(_ text: String) -> Bool {
    text.hasPrefix("/") && text.utf8.count <= self.pathLimit
      && text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
        !$0.isEmpty && $0 != "." && $0 != ".."
      } && text.utf8.allSatisfy { $0 >= 32 && $0 != 127 }
  }

  private static func error(_ object: String, _ text: String, _ message: String, _ example: String) -> MeshError {
    MeshError(.invalid, object, "\"\(text)\" \(message)", next: "write one like \(example)")
  }
}

/// `POST /v1/enrol`: whether the mesh has it.
package struct EnrolReport: Codable, Sendable, Hashable {
  package enum State: String, Codable, Sendable, Hashable {
    /// What it calls is steered from now on.
    case enrolled
    /// Not yet; the message says what is missing.
    case pending
    /// No Workload of this node names it.
    case unknown
  }

  package var state: State
  /// NAMESPACE/NAME.
  package var workload: String?
  /// The id of the cgroup that is enrolled, for a workload in the host's namespace.
  package var cgroup: UInt64?
  package var message: String
  package var next: String?

  package init(
    _ state: State, workload: String? = nil, cgroup: UInt64? = nil, message: String, next: String? = nil
  ) {
    self.state = state
    self.workload = workload
    self.cgroup = cgroup
    self.message = message
    self.next = next
  }
}
