package import MeshBase
import MeshPolicy
import MeshSnapshot

extension ResolvedSnapshot {
  /// What would happen to a connection from this node's point of view, decision by decision in the order of the kernel's.
  ///
  /// - inside: what of the connection is asked about beside its two ends.
  ///
  /// Errors: `notFound` if a workload or service is not known by that name, or has no address.
  package func explain(
    source: Explanation.Source, destination: Explanation.Destination,
    inside: Explanation.Inside = .nothing
  ) throws(MeshError) -> Explanation {
    var result = Explanation(source: source)
    let target: SocketEndpoint
    switch destination {
    case .endpoint(let endpoint): target = endpoint
    case .host(let host, let port): target = try self.resolve(host, port, for: source, &result)
    }
    result.destination = target

    let address: IPAddress?
    switch source {
    case .workload(let name):
      guard let workload = self.snapshot.workloads[name]?.value else {
        throw MeshError(.notFound, "workload \(name)", "is not known", next: "see `martlet show workloads`")
      }
      result.sourceWorkload = name
      address = workload.addresses.first { $0.isV4 == target.address.isV4 }
    case .address(let given):
      result.sourceWorkload = self.workload(at: given)?.name
      address = given
    }
    if let name = result.sourceWorkload, self.isEnrolled(name), let workload = self.snapshot.workloads[name]?.value {
      result.sourceIdentity = workload.identity
      result.steps.append("the source is workload \(name), identity \(workload.identity)")
      self.explainCall(from: name, to: target, inside, &result)
    } else {
      let from = result.sourceWorkload.map { "workload \($0), which is not enrolled on this node," } ?? "an address"
      result.steps.append("the source is \(from) without an identity that this node can attest")
      guard let address else {
        throw MeshError(.notFound, "the source", "has no address of the destination's family")
      }
      self.explainArrival(from: address, at: target, &result)
    }
    result.conclude()
    return result
  }

  private func resolve(
    _ host: String, _ port: UInt16, for source: Explanation.Source, _ result: inout Explanation
  ) throws(MeshError) -> SocketEndpoint {
    guard let name = ResourceName(host: host), let service = self.snapshot.services[name]?.value else {
      throw MeshError(.notFound, "service \(host)", "is not known", next: "see `martlet show services`")
    }
    let prefersV4: Bool
    switch source {
    case .workload(let workload): prefersV4 = self.snapshot.workloads[workload]?.value.addresses.first?.isV4 ?? true
    case .address(let address): prefersV4 = address.isV4
    }
    guard let address = service.addresses.first(where: { $0.isV4 == prefersV4 }) ?? service.addresses.first else {
      throw MeshError(.notFound, "service \(name)", "has no address")
    }
    result.steps.append("\(host) is service \(name) at \(address)")
    return SocketEndpoint(address, port)
  }

  /// The connect hook of an enrolled workload.
  private func explainCall(
    from source: ResourceName, to target: SocketEndpoint, _ inside: Explanation.Inside, _ result: inout Explanation
  ) {
    let address = target.address
    if address.isLoopback || address.isUnspecified {
      guard self.locals[source]?.cgroup != nil else {
        return result.pass("\(address) is the workload itself: untouched")
      }
      let target = SocketEndpoint(address.isUnspecified ? .loopback(isV4: address.isV4) : address, target.port)
      if let owner = self.workload(servedAt: target) {
        return self.explainWorkload(owner, from: source, to: target, &result)
      }
      if self.explainPublished(from: source, to: target, &result) { return }
      return result.pass("\(target) on the host is no workload's: untouched")
    }
    if self.isQuarantined(source) {
      result.tier = .kernel
      return result.refuse(.quarantined, "workload \(source) is in quarantine: nothing that it calls passes")
    }
    let service = self.service(at: target)
    if service?.1 == nil, self.explainPublished(from: source, to: target, &result) { return }
    if let (service, port) = service {
      result.service = service.name
      result.tier = .kernel
      guard let port else {
        let ports = service.ports.map { String($0.port) }.joined(separator: ", ")
        return result.refuse(
          .noServicePort, "\(address) is service \(service.name), which has no port \(target.port) (it has: \(ports))")
      }
      result.route = port.route
      let route = port.route.map { ", shared by route \($0)" } ?? ""
      result.steps.append("\(target) is service \(service.name), port \(port.port) (\(port.appProtocol))\(route)")
      return self.explainShares(of: port, from: source, isV4: address.isV4, inside, &result)
    }
    guard let owner = self.workload(at: target) else {
      if self.isInVIPRange(address) {
        result.tier = .kernel
        return result.refuse(.unknownVIP, "\(address) is in the range of service addresses, but no service has it")
      }
      return result.pass("\(address) is neither a service nor a workload: untouched")
    }
    if owner.name == source, !owner.location.isInHost, !MeshPort.all.contains(target.port) {
      return result.pass("\(address) is the workload itself: untouched")
    }
    self.explainWorkload(owner, from: source, to: target, &result)
  }

  private func explainWorkload(
    _ owner: WorkloadEntry, from source: ResourceName, to target: SocketEndpoint, _ result: inout Explanation
  ) {
    result.tier = self.isReachedAway(owner, target.port) ? .relay : .kernel
    result.steps.append("\(owner.location.isInHost ? "\(target)" : "\(target.address)") is workload \(owner.name)")
    let verdict = self.call(from: source, to: owner.name, at: target, &result)
    result.outcomes.append(
      Explanation.Outcome(
        share: 1, backend: nil, target: target, workload: owner.name, verdict: verdict,
        isRelayed: verdict.isAllowed && self.areApart(source, owner.name) || self.isReachedAway(owner, target.port)))
  }

  /// False: no container publishes this port of the host.
  private func explainPublished(
    from source: ResourceName, to target: SocketEndpoint, _ result: inout Explanation
  ) -> Bool {
    guard let (owner, place) = self.publication(at: target) else { return false }
    result.tier = .kernel
    result.steps.append("\(target) is published by workload \(owner.name), whose port \(place.port) it leads to")
    guard self.workload(at: place)?.name == owner.name else {
      result.outcomes.append(
        Explanation.Outcome(
          share: 1, backend: nil, target: place, workload: owner.name,
          verdict: PolicyVerdict(isAllowed: false, reason: .mapError)))
      return true
    }
    self.explainWorkload(owner, from: source, to: place, &result)
    return true
  }

  private func explainShares(
    of port: ServicePort, from source: ResourceName, isV4: Bool, _ inside: Explanation.Inside,
    _ result: inout Explanation
  ) {
    let needsProxy = port.needsProxy || self.leadsAway(port)
    result.tier = needsProxy ? .relay : .kernel
    let answersRequests = self.parsesRequests && port.speaksHTTP(toClientsIn: source.namespace)
    var port = port
    if !port.tlsRules.isEmpty {
      if let server = inside.server {
        guard let led = self.lead(server, port, &result) else { return }
        port = led
      } else {
        port = self.everyBackend(of: port.tlsRules, port, &result)
      }
    } else if answersRequests, let routing = port.routing {
      if let request = inside.request {
        guard let led = self.lead(request(routing, source), port, &result) else { return }
        port = led
      } else {
        port = self.everyBackend(of: routing.rules(forClientsIn: source.namespace), port, &result)
      }
    } else if inside.request != nil {
      result.steps.append(
        answersRequests ? "no route is attached to the port" : "requests are not looked at there: bytes go as they are")
    }
    if port.tlsRules.isEmpty, inside.server != nil {
      result.steps.append("no TLSRoute is attached to the port: the server name changes nothing")
    }
    for backend in port.backends {
      guard backend.isValid else {
        result.steps.append("backend \(backend.service):\(backend.port) does not exist: its share is refused")
        continue
      }
      for endpoint in self.snapshot.endpoints[backend.service]?.value.endpoints ?? [] {
        result.endpoints.append(
          Explanation.EndpointState(
            backend: backend.service, workload: endpoint.workload, addresses: endpoint.addresses,
            isReady: endpoint.isReady, weight: endpoint.weight))
      }
    }
    let shares = self.shares(of: port, isV4: needsProxy ? nil : isV4)
    let reachable = shares.filter { $0.target != nil }
    if answersRequests, reachable.isEmpty {
      let isInvalid = !port.backends.isEmpty && port.backends.allSatisfy { !$0.isValid }
      return result.answer(
        isInvalid ? 500 : 503, isInvalid ? "invalid_backend" : "no_endpoint",
        "none of \(result.endpoints.count) endpoints is ready")
    }
    guard !shares.isEmpty, !needsProxy || !reachable.isEmpty else {
      return result.refuse(
        .noEndpoint,
        "none of \(result.endpoints.count) endpoints is ready\(needsProxy ? "" : " with an IPv\(isV4 ? 4 : 6) address")"
      )
    }
    result.steps.append(
      "\(reachable.count) of \(result.endpoints.count) endpoints are ready; \(needsProxy ? "the node proxy" : "the kernel") picks one"
    )
    for share in shares {
      let verdict: PolicyVerdict
      if let target = share.target {
        if share.needsTunnel, let workload = share.workload {
          verdict = self.callAway(from: source, to: workload, at: target, &result)
        } else if let workload = share.workload {
          verdict =
            self.workload(at: target)?.name == workload
            ? self.call(from: source, to: workload, at: target, &result)
            : PolicyVerdict(isAllowed: false, reason: .mapError)
        } else {
          verdict = self.stranger(at: target)
        }
      } else {
        verdict = PolicyVerdict(isAllowed: false, reason: .invalidBackend)
      }
      result.outcomes.append(
        Explanation.Outcome(
          share: share.fraction, backend: share.backend.service, target: share.target, workload: share.workload,
          verdict: verdict,
          isRelayed: !needsProxy && verdict.isAllowed && share.workload.map { self.areApart(source, $0) } ?? false))
    }
  }

  /// The port as if its connections were shared evenly by all that a request can be led to: which one it is, only a request
  /// tells.
  private func everyBackend(
    of rules: [HTTPRule], _ port: ServicePort, _ result: inout Explanation
  ) -> ServicePort {
    guard !rules.isEmpty else { return port }
    var port = port
    var seen: Set<Backend> = []
    let backends = rules.flatMap(\.backends).filter { $0.weight > 0 }.map {
      Backend(service: $0.service, port: $0.port, isValid: $0.isValid)
    }.filter { seen.insert($0).inserted }
    if !backends.isEmpty { port.backends = backends }
    let routes = Set(rules.map { "\($0.origin.kind.rawValue) \($0.origin.name)" }).sorted()
    result.steps.append(
      "each request is led by the \(rules.count) rules of \(routes.joined(separator: ", ")); shares are not known before"
    )
    return port
  }

  /// The same for TLS connections: only their ClientHello tells.
  private func everyBackend(of rules: [TLSRule], _ port: ServicePort, _ result: inout Explanation) -> ServicePort {
    var port = port
    var seen: Set<Backend> = []
    let backends = rules.flatMap(\.backends).filter { $0.weight > 0 }.map {
      Backend(service: $0.service, port: $0.port, isValid: $0.isValid)
    }.filter { seen.insert($0).inserted }
    if !backends.isEmpty { port.backends = backends }
    let names = rules.map { "TLSRoute \($0.route) (\($0.hostnames.joined(separator: ", ")))" }
    result.steps.append(
      "each connection is led by the name in its ClientHello: \(names.joined(separator: "; ")); others are closed, and shares are not known before"
    )
    return port
  }

  /// May an endpoint that is no workload's be reached?
  private func stranger(at target: SocketEndpoint) -> PolicyVerdict {
    if MeshPort.all.contains(target.port) { return PolicyVerdict(isAllowed: false, reason: .meshPort) }
    if self.service(at: target) != nil { return PolicyVerdict(isAllowed: false, reason: .serviceLoop) }
    if self.isInVIPRange(target.address) { return PolicyVerdict(isAllowed: false, reason: .unknownVIP) }
    return .allowed
  }

  /// May this workload reach that one?
  private func call(
    from source: ResourceName, to destination: ResourceName, at target: SocketEndpoint, _ result: inout Explanation
  ) -> PolicyVerdict {
    if MeshPort.all.contains(target.port) { return PolicyVerdict(isAllowed: false, reason: .meshPort) }
    guard self.isEnrolled(destination) else {
      if self.snapshot.workloads[destination]?.value.node == self.node {
        return PolicyVerdict(isAllowed: false, reason: .notEnrolled)
      }
      return self.callAway(from: source, to: destination, at: target, &result)
    }
    if source == destination, !self.isQuarantined(source), !self.isDisowned(target.port, of: source) { return .allowed }
    let verdict = self.access(
      from: .workload(source, isV4: target.address.isV4), to: destination, port: target.port)
    let caller = self.snapshot.workloads[source]?.value
    let addresses = caller?.addresses.filter { $0.isV4 == target.address.isV4 } ?? []
    self.consider(
      destination, target.port, addresses.map { PolicySource(identity: caller?.identity, address: $0) }, verdict,
      &result)
    return verdict
  }

  /// The node proxy carries it, whatever that node will say.
  private func isReachedAway(_ workload: WorkloadEntry, _ port: UInt16) -> Bool {
    self.opensTunnels && workload.node != self.node && !MeshPort.all.contains(port)
  }

  /// May this workload reach that one of another node? That node decides, by the same policies.
  private func callAway(
    from source: ResourceName, to destination: ResourceName, at target: SocketEndpoint, _ result: inout Explanation
  ) -> PolicyVerdict {
    guard self.opensTunnels, let workload = self.snapshot.workloads[destination]?.value,
      let caller = self.snapshot.workloads[source]?.value
    else { return PolicyVerdict(isAllowed: false, reason: .noTunnel) }
    if MeshPort.all.contains(target.port) { return PolicyVerdict(isAllowed: false, reason: .meshPort) }
    let isPlain = workload.peerModes.mode(at: target.port) == .disable
    result.steps.append(
      isPlain
        ? "workload \(destination) is on node \(workload.node) and takes plaintext: the node proxy dials it, without an identity"
        : "workload \(destination) is on node \(workload.node): through a tunnel from \(caller.identity) to \(workload.identity)"
    )
    let policies = workload.policies.compactMap { self.snapshot.policies[$0] }
    guard policies.count == workload.policies.count else {
      return workload.failureMode == .open ? .allowed : PolicyVerdict(isAllowed: false, reason: .policyMissing)
    }
    let sources = caller.addresses.filter { $0.isV4 == target.address.isV4 }.map {
      PolicySource(identity: isPlain ? nil : caller.identity, address: $0)
    }
    let verdict = PolicyVerdict.combined(
      sources.map { evaluate(policies: policies, source: $0, port: target.port) })
    self.consider(destination, target.port, sources, verdict, &result)
    return verdict
  }

  /// A connection that no connect hook of this node has seen, at a workload of this node.
  private func explainArrival(from address: IPAddress, at target: SocketEndpoint, _ result: inout Explanation) {
    guard let owner = self.workload(at: target), self.isEnrolled(owner.name) else {
      return result.pass("\(target) is no workload that is enrolled on this node: nothing is decided here")
    }
    result.tier = .outside
    result.steps.append("plaintext arrives at workload \(owner.name)")
    var verdict = PolicyVerdict(isAllowed: false, reason: .meshPort)
    if !MeshPort.all.contains(target.port) {
      verdict = self.access(from: .outside(address), to: owner.name, port: target.port)
      self.consider(
        owner.name, target.port, [PolicySource(identity: nil, address: address)], verdict, &result)
    }
    result.outcomes.append(
      Explanation.Outcome(share: 1, backend: nil, target: target, workload: owner.name, verdict: verdict))
  }

  /// Notes the policies of the destination and which rule decides.
  private func consider(
    _ destination: ResourceName, _ port: UInt16, _ sources: [PolicySource], _ verdict: PolicyVerdict,
    _ result: inout Explanation
  ) {
    guard let workload = self.snapshot.workloads[destination]?.value else { return }
    if self.oversizedGroups.contains(workload.policyGroup) {
      let step =
        "the policies of workload \(destination) need more rows than the kernel's tables may have: until they are "
        + "simpler, everything that they protect is refused"
      if !result.steps.contains(step) { result.steps.append(step) }
    }
    for name in workload.policies.sorted() {
      let policy = self.snapshot.policies[name]
      let rule = policy?.value.rules.firstIndex { rule in
        sources.contains { rule.matches(identity: $0.identity, location: IPPrefix(host: $0.address), port: port) }
      }
      let considered = Explanation.ConsideredPolicy(
        destination: destination, name: name, version: policy?.version, action: policy?.value.action,
        matchingRule: rule, decides: verdict.policy?.name == name)
      if !result.policies.contains(considered) { result.policies.append(considered) }
    }
  }

  /// The service that has the address, and its port if there is one.
  private func service(at target: SocketEndpoint) -> (ServiceEntry, ServicePort?)? {
    let candidates = self.snapshot.services.values.map(\.value).filter { $0.addresses.contains(target.address) }
      .sorted { $0.name < $1.name }
    for service in candidates {
      if let port = service.ports.first(where: { $0.port == target.port && $0.port != 0 }) { return (service, port) }
    }
    return candidates.first.map { ($0, nil) }
  }

  private func isInVIPRange(_ address: IPAddress) -> Bool {
    let config = self.snapshot.config?.value
    // A range of no bits is no range: it would be everything.
    return [config?.vipRangeV4, config?.vipRangeV6].contains { range in
      range.map { $0.length > 0 && $0.contains(address) } ?? false
    }
  }
}

extension ResourceName {
  /// From the name of a service: `web.shop`, `web.shop.svc`, `web.shop.svc.cluster.local`, or `shop/web`.
  package init?(host: String) {
    if host.contains("/") {
      self.init(host)
      return
    }
    var text = Substring(host)
    if text.hasSuffix(".") { text = text.dropLast() }
    for suffix in [".svc.cluster.local", ".svc"] where text.hasSuffix(suffix) {
      text = text.dropLast(suffix.count)
      break
    }
    guard let dot = text.lastIndex(of: ".") else { return nil }
    self.init(namespace: String(text[text.index(after: dot)...]), name: String(text[..<dot]))
  }
}

extension Explanation {
  fileprivate mutating func pass(_ step: String) {
    self.tier = .none
    self.verdict = .allowed
    self.steps.append(step)
  }

  fileprivate mutating func refuse(_ reason: Reason, _ step: String) {
    self.reason = reason
    self.steps.append(step)
  }

  /// Sums the outcomes up.
  fileprivate mutating func conclude() {
    if !self.outcomes.isEmpty {
      let refused = self.outcomes.filter { !$0.isAllowed }
      self.verdict = refused.isEmpty ? .allowed : refused.count == self.outcomes.count ? .refused : .depends
      if self.tier == .kernel, self.outcomes.contains(where: \.isRelayed) {
        self.steps.append("another network of this host is in between: the node proxy carries the connection")
        if self.outcomes.allSatisfy(\.isRelayed) { self.tier = .relay }
      }
      self.reason = refused.first?.reason ?? .none
    }
    for outcome in self.outcomes { self.steps.append(outcome.sentence) }
    if self.outcomes.isEmpty, self.verdict == .refused, self.closed == nil {
      self.steps.append("refused: \(self.reason)")
    }
  }
}

extension Explanation.Outcome {
  package var sentence: String {
    let place =
      (self.target.map { "to \($0)" } ?? "to a backend that has nothing")
      + (self.workload.map { " (workload \($0))" } ?? "")
    let policy = self.verdict.policy.map { policy in
      let rule = self.verdict.rule.map { ", rule \($0)" } ?? ""
      switch self.verdict.reason {
      case .notAllowed: return ": no rule of its ALLOW policies matches, of which the first is \(policy)"
      default: return " by policy \(policy)\(rule)"
      }
    }
    let hundredths = Int(self.share * 10_000 + 0.5)
    let percent = "\(hundredths / 100)" + (hundredths % 100 == 0 ? "" : ".\(hundredths % 100 / 10)\(hundredths % 10)")
    let word = self.isAllowed ? "allowed" : "refused (\(self.reason))"
    return "\(percent) % \(place): \(word)\(policy ?? "")"
  }
}
