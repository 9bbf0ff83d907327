package import MeshBase
package import MeshSnapshot

/// A share of the connections to one port of a service: where they go.
package struct EndpointShare: Hashable, Sendable {
  package var backend: Backend
  /// Nil: the share is refused, because the backend does not exist or has no ready endpoint.
  package var target: SocketEndpoint?
  package var workload: ResourceName?
  /// It is on another node.
  package var needsTunnel: Bool
  /// The share is `numerator / denominator`; all shares of a port add up to 1.
  package var numerator: UInt128
  package var denominator: UInt128

  package init(
    backend: Backend, target: SocketEndpoint?, workload: ResourceName?, needsTunnel: Bool = false, numerator: UInt128,
    denominator: UInt128
  ) {
    self.needsTunnel = needsTunnel
    self.backend = backend
    self.target = target
    self.workload = workload
    self.numerator = numerator
    self.denominator = denominator
  }

  package var fraction: Double { Double(self.numerator) / Double(self.denominator) }
}

extension ResolvedSnapshot {
  /// Some of its connections go to another node: then the node proxy chooses for all of them, so that each endpoint has its share
  /// and a failed attempt another one.
  func leadsAway(_ port: ServicePort) -> Bool {
    guard self.opensTunnels else { return false }
    return port.backends.contains { backend in
      backend.weight > 0 && backend.isValid
        && self.snapshot.endpoints[backend.service]?.value.endpoints.contains {
          $0.needsTunnel && $0.isReady && $0.weight > 0
        } == true
    }
  }

  /// How the connections to a port are shared, for addresses of one family (nil: whichever an endpoint has). Empty: no
  /// endpoint is ready. A backend that does not exist keeps its share, which is refused (Gateway API, BackendRef: "must
  /// not be redistributed"), and so does one without ready endpoints while another has some.
  package func shares(of port: ServicePort, isV4: Bool?) -> [EndpointShare] {
    let backends = port.backends.filter { $0.weight > 0 }
    let total = backends.reduce(UInt128(0)) { $0 + UInt128($1.weight) }
    var shares: [EndpointShare] = []
    var isReachable = false
    for backend in backends {
      let endpoints = backend.isValid ? self.readyEndpoints(of: backend, isV4: isV4) : []
      let sum = endpoints.reduce(UInt128(0)) { $0 + UInt128($1.weight) }
      if sum == 0 {
        // Refused by name only if the backend does not exist; else it counts if another backend has endpoints.
        if !backend.isValid { isReachable = true }
        shares.append(
          EndpointShare(
            backend: backend, target: nil, workload: nil, numerator: UInt128(backend.weight), denominator: total))
      }
      for endpoint in endpoints where endpoint.weight > 0 {
        isReachable = true
        shares.append(
          EndpointShare(
            backend: backend, target: endpoint.target, workload: endpoint.workload, needsTunnel: endpoint.needsTunnel,
            numerator: UInt128(backend.weight) * UInt128(endpoint.weight), denominator: total * sum))
      }
    }
    return isReachable ? shares : []
  }

  private struct Candidate {
    var target: SocketEndpoint
    var workload: ResourceName?
    var needsTunnel: Bool
    var weight: UInt32
  }

  private func readyEndpoints(of backend: Backend, isV4: Bool?) -> [Candidate] {
    (self.snapshot.endpoints[backend.service]?.value.endpoints ?? []).compactMap { endpoint in
      guard endpoint.isReady, let port = endpoint.ports.first(where: { $0.servicePort == backend.port })?.targetPort,
        let address = endpoint.addresses.first(where: { isV4 == nil || $0.isV4 == isV4 })
      else { return nil }
      return Candidate(
        target: SocketEndpoint(address, port), workload: endpoint.workload, needsTunnel: endpoint.needsTunnel,
        weight: endpoint.weight)
    }
  }
}

extension [EndpointShare] {
  /// How many slots of a table each share has: exact if a table of at most `maximum` slots can be, else rounded up or down for
  /// one of `maximum` slots. Who has one more already keeps it, so that an endpoint that leaves moves no other's slots for a
  /// remainder; then the largest remainders get one (Hamilton), ties in an order of the targets that `seed` turns, so that nodes
  /// with more endpoints than slots do not all leave out the same ones.
  ///
  /// - held: what each share has now; empty: nothing yet.
  package func slotCounts(maximum: Int, seed: UInt64, held: [Int] = []) -> [Int] {
    guard !self.isEmpty, maximum > 0 else { return [] }
    var size: UInt128 = 1
    for share in self where size <= UInt128(maximum) {
      let reduced = share.denominator / Self.gcd(share.numerator, share.denominator)
      // `reduced` is at most 2^97 and `size` at most `maximum`, so the product fits.
      size = size / Self.gcd(size, reduced) * reduced
    }
    let isExact = size <= UInt128(maximum)
    if !isExact { size = UInt128(maximum) }
    var counts: [Int] = []
    var remainders: [(index: Int, keeps: Int, remainder: UInt128)] = []
    for (index, share) in self.enumerated() {
      let (quotient, rest) = (share.numerator * size).quotientAndRemainder(dividingBy: share.denominator)
      counts.append(Int(truncatingIfNeeded: quotient))
      let keeps = held.indices.contains(index) && held[index] > counts[index] ? 1 : 0
      // Comparable across denominators: in units of 2^-20 of a slot.
      if rest > 0 { remainders.append((index, keeps, (rest << 20) / share.denominator)) }
    }
    var missing = Int(truncatingIfNeeded: size) - counts.reduce(0, +)
    if missing > 0 {
      let order = self.map { $0.turn(seed) }
      remainders.sort {
        ($1.keeps, $1.remainder, order[$0.index], $0.index)
          < ($0.keeps, $0.remainder, order[$1.index], $1.index)
      }
      for entry in remainders where missing > 0 {
        counts[entry.index] += 1
        missing -= 1
      }
    }
    return counts
  }

  private static func gcd(_ a: UInt128, _ b: UInt128) -> UInt128 {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a == 0 ? 1 : a
  }
}

extension EndpointShare {
  /// Its place in an order that is the same whoever else has a share.
  fileprivate func turn(_ seed: UInt64) -> UInt64 {
    guard let target = self.target else { return seed }
    let address = target.address.high ^ target.address.low &* 0x9e37_79b9_7f4a_7c15
    let mixed = (address ^ UInt64(target.port) << 48 ^ seed) &* 0x9e37_79b9_7f4a_7c15
    return (mixed ^ mixed >> 32) &* 0xd6e8_feb8_6659_fd93
  }
}
