package import MeshBase
package import MeshTelemetry

/// What the agent tells those who ask over HTTP. The endpoints know nothing else of the agent.
///
/// A method may throw: the caller gets the error as it stands, with the status that its code means.
package protocol AgentReporting: Sendable {
  func status() async -> AgentStatus
  func metrics() async throws(MeshError) -> AgentMetrics
  func workloads() async throws(MeshError) -> [WorkloadReport]
  func services() async throws(MeshError) -> [ServiceReport]
  func routes() async throws(MeshError) -> [RuleReport]
  func endpoints() async throws(MeshError) -> [EndpointReport]
  func policies() async throws(MeshError) -> [PolicyReport]
  func connections() async throws(MeshError) -> [ConnectionReport]
  func certificates() async throws(MeshError) -> [CertificateReport]
  func programs() async throws(MeshError) -> [ProgramReport]
  func maps() async throws(MeshError) -> [MapReport]
  func top() async throws(MeshError) -> TopReport
  func explain(_ question: ExplainQuestion) async throws(MeshError) -> ExplainReport
  /// Enrols it now if that can be, and says whether it is.
  func enrol(_ question: EnrolQuestion) async throws(MeshError) -> EnrolReport
  /// One of `LogLevelWord`.
  func setLogLevel(_ level: LogLevelWord) async throws(MeshError)
  /// Waits until a proxy of this program serves, or was given up. Nil: of the program that the agent was told.
  func replaceProxy(by binary: String?, isForced: Bool) async throws(MeshError) -> ProxyUpgradeStatus
  /// Where the agent publishes flow records.
  var flows: FlowFeed { get }
}
