import MeshBase
import MeshLinux

/// How a workload in the host's namespace is checked: it shares its addresses with others, so that its own listener says
/// where it is to be dialled, and who calls it is judged, so that the check has to be let in.
struct HostCheck: Sendable {
  struct Ends: Equatable, Sendable {
    var caller: SocketEndpoint
    var called: SocketEndpoint
  }

  enum Place: Equatable, Sendable {
    case at(IPAddress)
    /// It cannot be ready, and why.
    case nowhere(String)
  }

  /// Lets calls through to the workload, one by one.
  var admit: @Sendable (Ends) throws(MeshError) -> Void
  var forget: @Sendable (Ends) -> Void
  /// Whether a listener is the workload's.
  var owns: @Sendable (SocketRecord) -> Bool

  /// - Parameters:
  ///   - listeners: all on the port.
  ///   - addresses: the workload's, those first that are dialled first.
  func place(_ listeners: [SocketRecord], addresses: [IPAddress]) -> Place {
    if listeners.isEmpty { return .nowhere("ECONNREFUSED") }
    let places = listeners.filter(self.owns).map { listener -> IPAddress in
      let bound = listener.local.address
      guard bound.isUnspecified else { return bound }
      return addresses.first { $0.isV4 == bound.isV4 } ?? .loopback(isV4: bound.isV4)
    }
    // As others call it, if they can: by IPv4, from elsewhere.
    let best = places.min { a, b in
      (a.isLoopback ? 1 : 0, a.isV4 ? 0 : 1, a) < (b.isLoopback ? 1 : 0, b.isV4 ? 0 : 1, b)
    }
    return best.map { .at($0) } ?? .nowhere("another process listens there")
  }

  /// Lets one call in until it is let go.
  final class Pass: Sendable {
    private let check: HostCheck
    private let ends: Ends

    init(_ check: HostCheck, _ ends: Ends) throws(MeshError) {
      self.check = check
      self.ends = ends
      try check.admit(ends)
    }

    deinit { self.check.forget(self.ends) }
  }
}
