import MeshBase
import MeshDatapath
import MeshPolicy
import MeshRouting
import MeshSnapshot
import MeshTelemetry

/// The decision in words (`MeshDatapath`) as the answer to the command line (`MeshTelemetry`).
extension ExplainReport {
  init(_ question: ExplainQuestion, _ resolved: ResolvedSnapshot) throws(MeshError) {
    let source: Explanation.Source =
      switch question.source {
      case .workload(let name): .workload(name)
      case .address(let address): .address(address)
      }
    let destination: Explanation.Destination =
      switch question.target {
      case .name(let name): .host(name.description, port: question.port)
      case .address(let address): .endpoint(SocketEndpoint(address, question.port))
      }
    let answer = try resolved.explain(
      source: source, destination: destination,
      inside: .init(
        request: question.request.map { request in { Self.routed(request, question, $0, from: $1) } },
        server: question.serverName.map { name in .init(name: name) { TLSRoutes.rule(for: name, of: $0) } }))
    let first = answer.outcomes.first { !$0.isAllowed } ?? answer.outcomes.first
    let deciding = first?.verdict.policy
    self.init(
      source: "\(question.source)", destination: answer.destination?.description ?? "\(question.target)",
      tier: FlowTier(rawValue: answer.tier.rawValue) ?? .unknown,
      verdict: answer.verdict == .refused ? .deny : .allow, reason: Self.reason(answer.reason),
      policy: deciding?.name.description, policyVersion: deciding?.version.description, steps: answer.steps,
      endpoints: answer.outcomes.compactMap { outcome in
        guard let target = outcome.target else { return nil }
        return Choice(
          address: target.description, workload: outcome.workload?.description,
          percent: UInt64(max(0, outcome.share * 100)), verdict: outcome.isAllowed ? .allow : .deny,
          reason: Self.reason(outcome.reason), policy: outcome.verdict.policy?.name.description)
      })
    if question.request != nil, answer.rule != nil || answer.answered != nil {
      self.request = Request(
        rule: answer.rule.map { "\($0.origin.kind.rawValue) \($0.origin.name), rule \($0.origin.rule)" },
        matches: answer.rule?.matches.map(\.words) ?? [], filters: answer.rule?.works ?? [],
        status: answer.answered?.status, reason: answer.answered?.reason)
    }
    if let name = question.serverName, answer.tlsRule != nil || answer.closed != nil {
      self.server = Server(
        name: name, rule: answer.tlsRule.map { "TLSRoute \($0.route)" }, names: answer.tlsRule?.hostnames ?? [],
        reason: answer.closed)
    }
    self.source =
      switch question.source {
      case .workload(let name): name.description
      case .address(let address): address.description
      }
  }

  /// As the proxy finds it.
  private static func routed(
    _ request: ExplainRequest, _ question: ExplainQuestion, _ routing: HTTPRouting, from source: ResourceName
  ) -> RoutedRequest {
    guard let table = HTTPRoutes(routing).table(forClientsIn: source.namespace) else { return .unrouted }
    let host =
      switch question.target {
      case .name(let name): "\(name.name).\(name.namespace)"
      case .address(let address): "\(address)"
      }
    let asked = HTTPRouteQuestion(
      method: request.method, host: request.host ?? host, target: request.path,
      headers: request.headers.map { HeaderField(name: $0.name, value: $0.value) })
    switch asked.answer(of: table) {
    case .action(let action): return .rule(action.rule)
    case .noMatch:
      return .answered(status: UInt16(clamping: HTTPRefusal.noRoute.status), reason: HTTPRefusal.noRoute.rawValue)
    case .refused(let refusal): return .answered(status: 400, reason: refusal.rawValue)
    }
  }

  private static func reason(_ reason: Reason) -> RefusalReason { RefusalReason(number: reason.rawValue) }
}
