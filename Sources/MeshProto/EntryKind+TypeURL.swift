package import MeshSnapshot

extension EntryKind {
  /// The type of the kind's resources on the wire.
  package var typeURL: String {
    switch self {
    case .config: "type.googleapis.com/martlet.entries.v1.Config"
    case .policy: "type.googleapis.com/martlet.entries.v1.Policy"
    case .workload: "type.googleapis.com/martlet.entries.v1.Workload"
    case .endpoints: "type.googleapis.com/martlet.entries.v1.Endpoints"
    case .service: "type.googleapis.com/martlet.entries.v1.Service"
    }
  }

  /// Nil for a type that is no kind of entry.
  package init?(typeURL: String) {
    guard let kind = EntryKind.allCases.first(where: { $0.typeURL == typeURL }) else { return nil }
    self = kind
  }
}
