import MeshBase
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("Readiness of a Workload")
struct ReadinessTests {
  private func compile(_ readiness: String, location: String = "networkNamespace: /run/netns/web") -> CompileResult {
    Samples.compile(
      """
      apiVersion: martlet.dev/v1alpha1
      kind: Workload
      metadata: {name: web, namespace: shop}
      spec: {node: one, \(location), readiness: \(readiness)}
      """)
  }

  private func check(_ result: CompileResult) -> ReadinessCheck? {
    result.snapshot.workloads.values.first?.value.readiness
  }

  @Test("has the defaults of a Kubernetes probe, and takes every field")
  func fields() {
    let plain = self.compile("{tcp: {port: 8080}}")
    #expect(plain.problems.isEmpty)
    #expect(
      self.check(plain)
        == ReadinessCheck(
          port: 8080, periodMilliseconds: 10_000, timeoutMilliseconds: 1000, failureThreshold: 3, successThreshold: 1))
    let full = self.compile(
      "{tcp: {port: 1}, periodSeconds: 3600, timeoutSeconds: 60, failureThreshold: 100, successThreshold: 2}")
    #expect(full.problems.isEmpty)
    #expect(
      self.check(full)
        == ReadinessCheck(
          port: 1, periodMilliseconds: 3_600_000, timeoutMilliseconds: 60_000, failureThreshold: 100,
          successThreshold: 2))
    #expect(full.snapshot.workloads.values.first?.value.isHealthy == true)
  }

  @Test("asks by HTTP and gRPC in Kubernetes' words")
  func probes() {
    let plain = self.compile("{httpGet: {port: 80}}")
    #expect(plain.problems.isEmpty)
    #expect(self.check(plain) == ReadinessCheck(port: 80, probe: .http(.init())))
    let full = self.compile(
      """
      {httpGet: {port: 80, path: "/a?b=c", scheme: HTTP,
        httpHeaders: [{name: Host, value: "web:80"}, {name: X-A, value: "1"}]}, periodSeconds: 2}
      """)
    #expect(full.problems.isEmpty, "\(full.problems)")
    #expect(
      self.check(full)
        == ReadinessCheck(
          port: 80,
          probe: .http(.init(path: "/a?b=c", host: "web:80", headers: [HeaderField(name: "x-a", value: "1")])),
          periodMilliseconds: 2000))
    for (text, service) in [("{port: 9}", ""), ("{port: 9, service: \"\"}", ""), ("{port: 9, service: a.B}", "a.B")] {
      #expect(self.check(self.compile("{grpc: \(text)}")) == ReadinessCheck(port: 9, probe: .grpc(service: service)))
    }
  }

  @Test(
    "what is wrong is named with its path, and the workload is not in force",
    arguments: [
      ("{}", "spec.readiness"), ("{tcp: {}}", "spec.readiness.tcp"), ("{tcp: {port: 0}}", "spec.readiness.tcp.port"),
      ("{tcp: {port: 15001}}", "spec.readiness.tcp.port"), ("{tcp: {port: http}}", "spec.readiness.tcp.port"),
      ("{tcp: {port: 80}, periodSeconds: 0}", "spec.readiness.periodSeconds"),
      ("{tcp: {port: 80}, periodSeconds: 3601}", "spec.readiness.periodSeconds"),
      ("{tcp: {port: 80}, timeoutSeconds: 61}", "spec.readiness.timeoutSeconds"),
      ("{tcp: {port: 80}, failureThreshold: -1}", "spec.readiness.failureThreshold"),
      ("{tcp: {port: 80}, successThreshold: 1.5}", "spec.readiness.successThreshold"),
      ("{tcp: {port: 80}, http: {path: /}}", "spec.readiness.http"),
      ("{tcp: {port: 80}, grpc: {port: 80}}", "spec.readiness"), ("{httpGet: {}}", "spec.readiness.httpGet"),
      ("{httpGet: {port: 80, path: healthz}}", "spec.readiness.httpGet.path"),
      ("{httpGet: {port: 80, path: /a b}}", "spec.readiness.httpGet.path"),
      ("{httpGet: {port: 80, host: a}}", "spec.readiness.httpGet.host"),
      ("{httpGet: {port: 80, scheme: HTTPS}}", "spec.readiness.httpGet.scheme"),
      ("{httpGet: {port: 80, httpHeaders: [{name: te, value: x}]}}", "spec.readiness.httpGet.httpHeaders[0].name"),
      ("{httpGet: {port: 80, httpHeaders: [{name: host, value: a b}]}}", "spec.readiness.httpGet.httpHeaders[0].value"),
      ("{grpc: {port: 80, service: a b}}", "spec.readiness.grpc.service"),
      ("{tcp: {port: 80}, exec: {command: [x]}}", "spec.readiness.exec"),
      ("{tcp: {port: 80}, initialDelaySeconds: 1}", "spec.readiness.initialDelaySeconds"), ("[]", "spec.readiness"),
    ])
  func wrong(_ readiness: String, _ path: String) {
    let result = self.compile(readiness)
    #expect(result.snapshot.workloads.isEmpty)
    #expect(result.errors.contains { $0.position.path == path }, "\(result.problems.map(\.description))")
  }

  @Test("needs a workload that its node finds, and in the host's namespace one of its ports")
  func places() {
    #expect(self.compile("{tcp: {port: 80}}", location: "addresses: [10.0.0.1]").errors.count == 1)
    let unit = "systemdUnit: web.service, ports: [{name: http, port: 80}]"
    #expect(self.compile("{tcp: {port: 80}}", location: unit).problems.isEmpty)
    #expect(
      self.compile("{tcp: {port: 81}}", location: unit).errors.map(\.position.path) == ["spec.readiness.tcp.port"])
  }
}
