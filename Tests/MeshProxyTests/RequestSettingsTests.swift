import MeshHTTP
import MeshNet
import MeshRouting
import MeshSnapshot
import MeshTelemetry
import Testing

@testable import MeshProxy

@Suite("Settings of the mesh and options of a host")
struct RequestSettingsTests {
  private func settings(_ change: (inout ProxyConfiguration) throws -> Void = { _ in }) rethrows -> RequestSettings {
    var configuration = ProxyConfiguration(runDirectory: "/run", loops: 1)
    try change(&configuration)
    return RequestSettings(configuration)
  }

  private func mesh() throws -> ProxySettings {
    var mesh = ProxySettings(
      accessLog: AccessLogSettings(format: .combined, sampled: 100, slowMilliseconds: 5),
      fields: [try ForwardingField("via", "mesh"), try ForwardingField("x-request-id", "remove")])
    mesh.limits.headBytes = 8192
    mesh.limits.fieldCount = 32
    mesh.limits.headMilliseconds = 1
    mesh.limits.stallMilliseconds = 2
    mesh.limits.idleMilliseconds = 3
    mesh.limits.upstreamIdleMilliseconds = 4
    return mesh
  }

  @Test("without options of the host the mesh's settings hold, and without those the defaults")
  func ofMesh() throws {
    let settings = try self.settings()
    let plain = settings.http(.defaults)
    #expect(plain.limits == .defaults && plain.http2 == .defaults && plain.idleTimeout == 3_600_000)
    #expect(settings.accessLog(.defaults) == nil)
    let told = try self.mesh()
    let http = settings.http(told)
    #expect(http.limits.headBytes == 8192 && http.http2.fieldListSize == 8192)
    #expect(http.limits.fieldCount == 32 && http.http2.fieldCount == 32)
    #expect((http.headTimeout, http.stallTimeout) == (1, 2) && http.http2.headTimeout == 1)
    #expect((http.idleTimeout, http.upstreamIdleTimeout) == (3, 4))
    #expect(http.forwarding == HTTPForwarding(told.fields))
    #expect(
      settings.accessLog(told)
        == AccessLogConfiguration(
          .standardOutput, format: .combined, filter: AccessLogFilter(sampled: 100, slowMicroseconds: 5000)))
    #expect(settings.overridden(told).isEmpty)
  }

  @Test("what the host's options say wins, one by one, and is told")
  func host() throws {
    let settings = try self.settings {
      $0.accessLog = AccessLogOptions(.file("/log"), filter: .all)
      $0.forwarding = [try ForwardingField("via", "host")]
    }
    let told = try self.mesh()
    #expect(settings.accessLog(told) == AccessLogConfiguration(.file("/log"), format: .combined))
    #expect(settings.accessLog(.defaults) == AccessLogConfiguration(.file("/log")))
    #expect(
      settings.http(told).forwarding
        == HTTPForwarding([try ForwardingField("via", "host"), try ForwardingField("x-request-id", "remove")]))
    #expect(settings.overridden(told) == ["--access-log", "--access-log-filter", "--http-field via=host"])
    #expect(settings.overridden(.defaults).isEmpty)
  }
}
