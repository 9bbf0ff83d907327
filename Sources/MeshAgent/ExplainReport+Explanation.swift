import MeshBase
import MeshDatapath
import MeshPolicy
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
    let answer = try resolved.explain(source: source, destination: destination)
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
    self.source =
      switch question.source {
      case .workload(let name): name.description
      case .address(let address): address.description
      }
  }

  private static func reason(_ reason: Reason) -> RefusalReason { RefusalReason(number: reason.rawValue) }
}
