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
  /// Which share each slot of a table belongs to, by index: exact if a table of at most `maximum` slots can be, else
  /// the largest remainder of `maximum` slots (Hamilton), ties in an order that `seed` turns, so that nodes with more
  /// endpoints than slots do not all leave out the same ones.
  package func slots(maximum: Int, seed: UInt64) -> [Int] {
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
    var remainders: [(index: Int, remainder: UInt128, order: UInt64)] = []
    for (index, share) in self.enumerated() {
      let (quotient, rest) = (share.numerator * size).quotientAndRemainder(dividingBy: share.denominator)
      counts.append(Int(truncatingIfNeeded: quotient))
      // Comparable across denominators: in units of 2^-20 of a slot.
      let remainder = (rest << 20) / share.denominator
      let order = (seed ^ UInt64(truncatingIfNeeded: index)) &* 0x9e37_79b9_7f4a_7c15
      remainders.append((index, remainder, order))
    }
    var missing = Int(truncatingIfNeeded: size) - counts.reduce(0, +)
    if missing > 0 {
      remainders.sort { $0.remainder == $1.remainder ? $0.order < $1.order : $0.remainder > $1.remainder }
      for entry in remainders where missing > 0 {
        counts[entry.index] += 1
        missing -= 1
      }
    }
    return counts.enumerated().flatMap { index, count in Array<Int>(repeating: index, count: count) }
  }

  private static func gcd(_ a: UInt128, _ b: UInt128) -> UInt128 {
    var (a, b) = (a, b)
    while b != 0 { (a, b) = (b, a % b) }
    return a == 0 ? 1 : a
  }
}
