import MeshBase
import MeshSnapshot

/// Istio's TCP metrics (istio.io, "Istio Standard Metrics"), same names and labels, so that dashboards made for it work
/// unchanged. What Istio's proxies cannot know is `unknown`, and so it is here.
///
/// The kernel counts a relayed connection once, when its leg to the upstream stands, under the service that was dialled.
package enum TCPMetrics {
  package static let labels = [
    "reporter", "source_workload", "source_workload_namespace", "source_principal", "source_app", "source_version",
    "source_canonical_service", "source_canonical_revision", "destination_workload",
    "destination_workload_namespace", "destination_principal", "destination_app", "destination_version",
    "destination_service", "destination_service_name", "destination_service_namespace",
    "destination_canonical_service", "destination_canonical_revision", "request_protocol", "response_flags",
    "connection_security_policy",
  ]

  package static let refusedLabels = [
    "reason", "tier", "source_workload", "source_workload_namespace", "destination_workload",
    "destination_workload_namespace", "destination_service",
  ]

  private static let unknown = "unknown"
  /// Label value of the one series that sums what exceeds the limit.
  package static let overflowLabel = "overflow"

  package static func families(_ ledger: EdgeLedger, names: NameDirectory) -> [MetricFamily] {
    var sums: [[String]: EdgeCounters] = [:]
    var refused: [[String]: UInt64] = [:]
    var tiers: [String: EdgeCounters] = [:]
    for key in ledger.totals.keys {
      let counters = ledger.told(key)
      tiers[key.tier.rawValue, default: EdgeCounters()].add(counters)
      if counters.refused > 0 {
        let labels = self.refusedValues(key, names)
        refused[labels] = EdgeCounters.sum(refused[labels] ?? 0, counters.refused)
      }
      guard counters.opened > 0 || counters.closed > 0 else { continue }
      sums[self.values(key, names), default: EdgeCounters()].add(counters)
    }
    if ledger.overflowed > 0 {
      let other = Array(repeating: self.overflowLabel, count: self.labels.count)
      sums[other, default: EdgeCounters()].add(ledger.overflow)
      let refusedOther = Array(repeating: self.overflowLabel, count: self.refusedLabels.count)
      refused[refusedOther] = EdgeCounters.sum(refused[refusedOther] ?? 0, ledger.overflow.refused)
      tiers[self.overflowLabel, default: EdgeCounters()].add(ledger.overflow)
    }
    func family(_ name: String, _ help: String, _ value: (EdgeCounters) -> UInt64) -> MetricFamily {
      MetricFamily(
        .counter, name, help, labels: self.labels,
        series: sums.map { MetricSeries($0.key, .integer(value($0.value))) })
    }
    return [
      family("istio_tcp_connections_opened", "TCP connections opened.", \.opened),
      family("istio_tcp_connections_closed", "TCP connections closed.", \.closed),
      family("istio_tcp_sent_bytes", "Bytes sent by the sources of TCP connections.", \.sentBytes),
      family("istio_tcp_received_bytes", "Bytes received by the sources of TCP connections.", \.receivedBytes),
      MetricFamily(
        .counter, "martlet_connections_refused", "Connections refused, by reason.", labels: self.refusedLabels,
        series: refused.map { MetricSeries($0.key, .integer($0.value)) }),
      MetricFamily(
        .counter, "martlet_connections_opened", "Connections opened, by tier.", labels: ["tier"],
        series: tiers.map { MetricSeries([$0.key], .integer($0.value.opened)) }),
      .single(
        .counter, "martlet_metric_series_overflow",
        "Times that an edge found no room and was summed in the series labelled overflow.",
        .integer(ledger.overflowed)),
    ]
  }

  private static func values(_ key: EdgeKey, _ names: NameDirectory) -> [String] {
    self.values(
      // The node sees a connection of its own workload as the source does; what comes from outside, as the destination.
      reporter: key.tier == .outside ? "destination" : "source", source: key.source, destination: key.destination,
      service: key.service, names: names, protocol: "tcp", flags: "-")
  }

  /// Values of `labels`, which connections and requests have in common.
  static func values(
    reporter: String, source: ResourceName?, destination: ResourceName?, service: ResourceName?, names: NameDirectory,
    protocol: String, flags: String
  ) -> [String] {
    let (caller, called) = (source.flatMap { names[$0] }, destination.flatMap { names[$0] })
    return [
      reporter,
      source?.name ?? self.unknown, source?.namespace ?? self.unknown,
      caller?.identity.description ?? self.unknown, caller?.app ?? self.unknown, caller?.appVersion ?? self.unknown,
      caller?.app ?? self.unknown, caller?.appVersion ?? self.unknown,
      destination?.name ?? self.unknown, destination?.namespace ?? self.unknown,
      called?.identity.description ?? self.unknown, called?.app ?? self.unknown, called?.appVersion ?? self.unknown,
      self.host(service, names), service?.name ?? self.unknown, service?.namespace ?? self.unknown,
      called?.app ?? self.unknown, called?.appVersion ?? self.unknown,
      `protocol`, flags, "none",
    ]
  }

  private static func refusedValues(_ key: EdgeKey, _ names: NameDirectory) -> [String] {
    [
      key.reason.rawValue, key.tier.rawValue, key.source?.name ?? self.unknown, key.source?.namespace ?? self.unknown,
      key.destination?.name ?? self.unknown, key.destination?.namespace ?? self.unknown,
      self.host(key.service, names),
    ]
  }

  private static func host(_ service: ResourceName?, _ names: NameDirectory) -> String {
    service.map { "\($0.name).\($0.namespace).svc.\(names.clusterDomain)" } ?? self.unknown
  }
}
