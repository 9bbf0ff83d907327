import MeshBase
import MeshSnapshot
import Testing

@testable import MeshCompiler

@Suite("MeshConfig: what proxies do with requests")
struct ProxySettingsTests {
  private static let full = """
    apiVersion: martlet.dev/v1alpha1
    kind: MeshConfig
    metadata: {name: mesh}
    spec:
      accessLog: {enabled: true, format: combined, filter: "sample=2.5,errors=500,slow=1000"}
      forwarding: {x-forwarded-for: replace, via: mesh-1, forwarded: replace}
      http:
        headerBytes: 16384
        headerFields: 64
        headerTimeout: 5s
        stallTimeout: 30s
        idleTimeout: 10m
        upstreamIdleTimeout: 20s
    """

  private func settings(_ text: String) -> ProxySettings? {
    Samples.compile(text).snapshot.config?.value.proxy
  }

  @Test("every field reaches the entry; what is not written is left to the proxy")
  func fields() throws {
    var expected = ProxySettings(
      accessLog: AccessLogSettings(format: .combined, sampled: 250, errorsFrom: 500, slowMilliseconds: 1000),
      fields: [
        try ForwardingField("forwarded", "replace"), try ForwardingField("via", "mesh-1"),
        try ForwardingField("x-forwarded-for", "replace"),
      ])
    expected.limits.headBytes = 16_384
    expected.limits.fieldCount = 64
    expected.limits.headMilliseconds = 5000
    expected.limits.stallMilliseconds = 30_000
    expected.limits.idleMilliseconds = 600_000
    expected.limits.upstreamIdleMilliseconds = 20_000
    #expect(self.settings(Self.full) == expected)
    #expect(self.settings(Samples.config) == .defaults)
    let off = Self.full.replacing("enabled: true", with: "enabled: false")
    #expect(self.settings(off)?.accessLog == nil && self.settings(off)?.fields.count == 3)
    let plain = Self.full.replacing(", format: combined, filter: \"sample=2.5,errors=500,slow=1000\"", with: "")
    #expect(self.settings(plain)?.accessLog == AccessLogSettings())
  }

  static let rows: [FieldTests.Row] = [
    .init(full, "enabled: true, ", "", "spec.accessLog", "enabled is missing"),
    .init(full, "enabled: true", "enabled: yes", "spec.accessLog.enabled", "true or false"),
    .init(full, "format: combined", "format: text", "spec.accessLog.format", "no format"),
    .init(full, "sample=2.5", "sample=101", "spec.accessLog.filter", "no filter"),
    .init(full, "filter:", "path: /x, filter:", "spec.accessLog.path", "unknown field"),
    .init(full, "via: mesh-1", "via: \"a b\"", "spec.forwarding.via", "no name for Via"),
    .init(full, "forwarded: replace}", "forwarded: keep}", "spec.forwarding.forwarded", "no mode of forwarded"),
    .init(full, "forwarded: replace}", "x-real-ip: add}", "spec.forwarding.x-real-ip", "unknown field"),
    .init(full, "headerBytes: 16384", "headerBytes: 1000", "spec.http.headerBytes", "4096 to 65536"),
    .init(full, "headerFields: 64", "headerFields: 8", "spec.http.headerFields", "16 to 1000"),
    .init(full, "headerTimeout: 5s", "headerTimeout: 0s", "spec.http.headerTimeout", "no duration"),
    .init(full, "stallTimeout: 30s", "stallTimeout: 2h", "spec.http.stallTimeout", "no duration"),
    .init(full, "idleTimeout: 10m", "idleTimeout: 10", "spec.http.idleTimeout", "number 10"),
    .init(full, "headerBytes", "headerbytes", "spec.http.headerbytes", "unknown field"),
  ]

  @Test("each field refuses what it cannot mean", arguments: Self.rows)
  func strict(row: FieldTests.Row) {
    let result = Samples.compile(row.base.replacing(row.old, with: row.new, maxReplacements: 1))
    #expect(
      result.errors.contains { $0.position.path == row.path && $0.message.contains(row.message) }, "\(result.errors)")
  }
}
