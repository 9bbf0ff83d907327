import MeshBase
import MeshTelemetry
package import MeshWire
import NIOHTTP1

/// What the three servers of the agent answer.
package enum AgentEndpoints {
  /// `:15020`: `/metrics`.
  package static func metrics(_ agent: any AgentReporting) -> ReportServer.Route {
    { request, writer in
      guard try await request.isFor(["/metrics": .GET], writer) else { return }
      do {
        let format = TextExposition.negotiated(accept: request.headers.first(name: "accept"))
        let families = try await agent.metrics().families
        try await writer.send(.ok, type: format.contentType, Array(format.text(families).utf8))
      } catch let error as MeshError {
        try await writer.send(error)
      }
    }
  }

  /// `:15021`: `/healthz` (nothing is broken that a restart could mend) and `/readyz` (traffic is decided here).
  package static func health(_ agent: any AgentReporting) -> ReportServer.Route {
    { request, writer in
      guard try await request.isFor(["/healthz": .GET, "/readyz": .GET], writer) else { return }
      let status = await agent.status()
      try await writer.send(status.health, isReady: request.target.path == "/readyz" ? status.ready : nil)
    }
  }

  private static let paths: [String: HTTPMethod] = [
    "/v1/status": .GET, "/v1/workloads": .GET, "/v1/services": .GET, "/v1/routes": .GET, "/v1/top": .GET,
    "/v1/policies": .GET,
    "/v1/connections": .GET, "/v1/certificates": .GET, "/v1/endpoints": .GET,
    "/v1/programs": .GET, "/v1/maps": .GET, "/v1/explain": .GET, "/v1/flows": .GET, "/v1/metrics": .GET,
    "/v1/log-level": .POST, "/v1/enrol": .POST, "/v1/proxy/upgrade": .POST,
  ]

  /// `agent.sock`: JSON for the command line.
  package static func commands(_ agent: any AgentReporting) -> ReportServer.Route {
    { request, writer in
      guard try await request.isFor(self.paths, writer) else { return }
      do {
        try await self.command(request, writer, agent)
      } catch let error as MeshError {
        try await writer.send(error)
      }
    }
  }

  private static func command(
    _ request: ReportRequest, _ writer: ReportWriter, _ agent: any AgentReporting
  ) async throws {
    let target = request.target
    switch target.path {
    case "/v1/status": try await writer.send(json: await agent.status())
    case "/v1/workloads": try await writer.send(json: try await agent.workloads())
    case "/v1/services": try await writer.send(json: try await agent.services())
    case "/v1/routes": try await writer.send(json: try await agent.routes())
    case "/v1/endpoints": try await writer.send(json: try await agent.endpoints())
    case "/v1/policies": try await writer.send(json: try await agent.policies())
    case "/v1/connections": try await writer.send(json: try await agent.connections())
    case "/v1/certificates": try await writer.send(json: try await agent.certificates())
    case "/v1/programs": try await writer.send(json: try await agent.programs())
    case "/v1/maps": try await writer.send(json: try await agent.maps())
    case "/v1/top": try await writer.send(json: try await agent.top())
    case "/v1/metrics":
      try await writer.send(.ok, Array(TextExposition.prometheus.text(try await agent.metrics().families).utf8))
    case "/v1/explain":
      guard let source = target.query["source"], let destination = target.query["destination"] else {
        throw MeshError(.invalid, "explain", "needs source and destination")
      }
      var question = try ExplainQuestion(source: source, destination: destination)
      question.request = try ExplainRequest(query: target.query)
      if let name = target.query["sni"] { try question.ask(serverName: name) }
      try await writer.send(json: try await agent.explain(question))
    case "/v1/enrol": try await writer.send(json: try await agent.enrol(try EnrolQuestion(query: target.query)))
    case "/v1/flows": try await FlowStream(target).run(agent.flows, writer)
    case "/v1/log-level":
      guard let level = target.query["level"].flatMap({ LogLevelWord(rawValue: $0) }), level != .unknown else {
        let words = LogLevelWord.allCases.filter { $0 != .unknown }.map(\.rawValue).joined(separator: ", ")
        throw MeshError(.invalid, "level", "is not one of \(words)")
      }
      try await agent.setLogLevel(level)
      try await writer.send(json: ["level": level.rawValue])
    case "/v1/proxy/upgrade":
      if let binary = target.query["binary"], !binary.hasPrefix("/") {
        throw MeshError(.invalid, "binary", "\(binary) is no full path")
      }
      try await writer.send(
        json: try await agent.replaceProxy(by: target.query["binary"], isForced: try target.flag("force")))
    default: throw MeshError(.notFound, target.path, "is not served here")
    }
  }
}
