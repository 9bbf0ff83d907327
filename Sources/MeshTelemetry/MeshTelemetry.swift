/// # MeshTelemetry: what the mesh says about itself
///
/// Flow records, metric families and their text formats, and the reports that the agent gives to the command line. Floor
/// 3: values only, no clock, no socket, no pointers. The agent fills them, `martlet` prints them; both use these types, so
/// a field has one name everywhere: in JSON, in a table's heading, in a label.
///
/// Read in this order: `FlowWords` (the words), `FlowRecord`, `FlowFilter`, `FlowRing`; `MetricFamily`, `TextExposition`,
/// `EdgeLedger`, `TCPMetrics`; `RequestOutcome`, `RequestLedger`, `RequestTotals`, `HTTPMetrics`, `AccessLog`; `AgentMetrics`; `AgentStatus`, `Reports`, `RuleReport`, `PlacedWorkloadReport`, `RouteReport`, `ExplainReport`, `ExplainRequest`, `ReportCoding`.
///
/// Invariants: a word that this version does not know decodes as `unknown`, so that an old command line reads a new
/// agent; record numbers are never reused and never skip; a counter never goes down while the process lives; the number
/// of series is bounded whatever the traffic; equal input gives equal text.
package enum MeshTelemetry {
  /// Version of the JSON that `agent.sock` serves: the first part of every path.
  package static let apiVersion = "v1"
}
