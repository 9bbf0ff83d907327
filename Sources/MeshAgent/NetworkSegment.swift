import MeshLinux

/// Which of the host's networks a workload is in, from where the other ends of its veths are: podman makes a bridge for each
/// of its networks, and masquerades between them. Of several it is all of them: who is in one of them only is in another. Pure.
///
/// A call between two networks is made from inside of the destination's namespace, so whoever is said to be elsewhere reaches
/// it even without a link of his own. So nothing is said before it is known: a namespace is there before its veth, and that
/// before it is in its bridge. What was known stays while nothing is known.
struct NetworkSegment: Sendable, Equatable {
  /// So long an interface that is up and in no bridge may be on its way into one.
  static let settleMilliseconds: Int64 = 2000

  /// Bridges; empty: the host routes it itself. Nil: not known yet, and then nobody is in another network.
  private(set) var name: String?
  /// Up and in no bridge since then, which is not believed yet.
  private var routedSince: Int64?

  /// Another look, after a while, would say more.
  var isSettled: Bool { self.routedSince == nil }

  /// - Parameter isNew: its interfaces may just have been made.
  mutating func looked(_ places: [InterfacePlace], now: Int64, isNew: Bool = true) {
    let bridges = Set(places.compactMap(\.master)).sorted()
    let isRouted = bridges.isEmpty && places.contains { $0.isUp }
    guard isRouted, self.name != "" else {
      if !bridges.isEmpty { self.name = bridges.joined(separator: "+") }
      self.routedSince = nil
      return
    }
    let since = self.routedSince ?? (isNew ? now : now - Self.settleMilliseconds)
    let isOver = now - since >= Self.settleMilliseconds
    if isOver { self.name = "" }
    self.routedSince = isOver ? nil : since
  }
}
