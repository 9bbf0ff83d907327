package import MeshBase

/// How many entries each map holds. Tables that the agent fills take memory only for what is in them; `pending`, `slots`,
/// `flows` and `edges` are allocated whole.
package struct MapSizes: Equatable, Sendable {
  package enum Name: String, CaseIterable, Sendable {
    case pods, units, ports, workloads, services, endpoints, guards, classes, networks, policy, pending, slots, flows,
      veths, edges
    case events

    /// In the map's name, `mesh_<word>_v<layout>`, of which the kernel keeps 15 characters.
    var word: String {
      switch self {
      case .workloads: "wload"
      case .services: "svc"
      case .endpoints: "ep"
      case .networks: "nets"
      default: self.rawValue
      }
    }

    /// Rows bear a generation: while one replaces the other, both are in the map.
    package var holdsTwoGenerations: Bool {
      switch self {
      case .guards, .classes, .networks, .policy: true
      default: false
      }
    }

    /// Nil for a map that has no size to choose.
    package init?(map: String) {
      guard let name = Self.allCases.first(where: { KernelDatapath.mapName($0.word) == map }) else { return nil }
      self = name
    }
  }

  private var entries: [Name: UInt32] = [
    .pods: 65_536, .units: 65_536, .ports: 65_536, .workloads: 65_536, .services: 65_536, .endpoints: 262_144,
    .guards: 131_072, .classes: 131_072, .networks: 131_072, .policy: 262_144, .pending: 4_096, .slots: 4_096,
    .flows: 65_536, .veths: 65_536, .edges: 16_384,
    // Bytes of the ring buffer: a power of two, at least a page.
    .events: 2 * 1_024 * 1_024,
  ]

  package static let defaults = MapSizes()
  package static let smallest: UInt32 = 4
  package static let largest: UInt32 = 16_777_216

  package init() {}

  package subscript(name: Name) -> UInt32 {
    get { self.entries[name] ?? 1 }
    set { self.entries[name] = newValue }
  }

  /// Takes `NAME=ENTRIES`.
  package mutating func set(_ text: String) throws(MeshError) {
    let parts = text.split(separator: "=", omittingEmptySubsequences: false)
    guard parts.count == 2, let name = Name(rawValue: String(parts[0])) else {
      throw MeshError(
        .invalid, "map limit \(text)", "is not NAME=ENTRIES",
        next: "NAME is one of \(Name.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    guard let count = UInt32(parts[1]), (Self.smallest...Self.largest).contains(count) else {
      throw MeshError(
        .invalid, "map limit \(text)", "is no number from \(Self.smallest) to \(Self.largest)")
    }
    guard name != .events || (count >= 65_536 && count & (count - 1) == 0) else {
      throw MeshError(.invalid, "map limit \(text)", "is no power of two from 65536 on: it counts bytes")
    }
    self[name] = count
  }

  /// Nil for a map that keeps the object's own size.
  func size(ofMap map: String) -> UInt32? { Name(map: map).map { self[$0] } }
}
