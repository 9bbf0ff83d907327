import MeshSnapshot

/// How far endpoints are from the node, in steps: its subzone, its zone, its region, then the regions that stand in for it in their
/// order, then all others, then those of which nobody says where they are.
struct Distance {
  /// Nil: all are equally near.
  private let here: Locality?
  private let failover: [String]

  /// Without a preference, or of a node that is nowhere, all are equally near.
  init(from here: Locality, by preference: LocalityPreference?) {
    self.here = preference == nil || here == .nowhere ? nil : here
    self.failover = preference?.failover ?? []
  }

  func to(_ there: Locality) -> Int {
    guard let here = self.here else { return 0 }
    guard there != .nowhere else { return 4 + self.failover.count }
    guard there.region == here.region else {
      return 3 + (self.failover.firstIndex(of: there.region) ?? self.failover.count)
    }
    guard there.zone == here.zone else { return 2 }
    return there.subzone == here.subzone ? 0 : 1
  }
}
