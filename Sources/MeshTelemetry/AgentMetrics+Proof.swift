/// What the proof of effect has found since the agent started.
package struct ProofCounters: Sendable, Hashable {
  /// Canaries that were dialled, and those that the own node proxy answered.
  package var dials: UInt64
  package var answers: UInt64
  /// How often the redirection of a workload was found lost, by what was found.
  package var lost: [String: UInt64]
  /// How often one was put into quarantine.
  package var quarantines: UInt64
  /// Listeners that are now where they should not be, by what they took.
  package var foreignListeners: [String: UInt64]

  package init(
    dials: UInt64 = 0, answers: UInt64 = 0, lost: [String: UInt64] = [:], quarantines: UInt64 = 0,
    foreignListeners: [String: UInt64] = [:]
  ) {
    self.dials = dials
    self.answers = answers
    self.lost = lost
    self.quarantines = quarantines
    self.foreignListeners = foreignListeners
  }
}

extension AgentMetrics {
  var proofFamilies: [MetricFamily] {
    func counts(_ counts: [String: UInt64]) -> [MetricSeries] {
      counts.sorted { $0.key < $1.key }.map { MetricSeries([$0.key], .integer($0.value)) }
    }
    return [
      .single(
        .counter, "martlet_canary_dials", "Canaries that were dialled from inside enrolled namespaces.",
        .integer(self.proof.dials)),
      .single(
        .counter, "martlet_canary_answers", "Canaries that the own node proxy answered.", .integer(self.proof.answers)),
      MetricFamily(
        .counter, "martlet_redirections_lost", "Times that a workload's redirection was found lost, by what was found.",
        labels: ["reason"], series: counts(self.proof.lost)),
      .single(
        .counter, "martlet_quarantines", "Times that a workload was put into quarantine.",
        .integer(self.proof.quarantines)),
      .single(
        .gauge, "martlet_workloads_quarantined", "Workloads of which nothing passes now.",
        .integer(self.status.datapath.quarantinedWorkloads)),
      MetricFamily(
        .gauge, "martlet_foreign_listeners",
        "Listeners of others on the mesh's own ports (mesh_port) or on a declared port of a host's workload (unit_port).",
        labels: ["place"], series: counts(self.proof.foreignListeners)),
    ]
  }
}
