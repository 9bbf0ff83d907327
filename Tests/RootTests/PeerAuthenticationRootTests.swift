import MeshBase
import MeshTestSupport
import Testing

/// Who is not authenticated, at the destination's kernel.
@Suite("PeerAuthentication in the kernel", .serialized)
struct PeerAuthenticationRootTests {
  private func peer(_ name: String, _ spec: String) -> String {
    """
    ---
    apiVersion: security.istio.io/v1
    kind: PeerAuthentication
    metadata: {name: \(name), namespace: demo}
    spec: \(spec)

    """
  }

  @Test(
    "STRICT refuses plaintext from outside, IPv4 and IPv6, by its name; a workload of the host goes on; a port is exempt"
  )
  func strict() throws {
    try SpineRootTests.Trio.with("strict") { trio in
      let stranger = try trio.mesh.node.pod("stranger", v4: "10.77.0.9", v6: "fd77::9")
      func isAnswered(_ place: String) throws -> Bool {
        try stranger.call(place, timeout: .seconds(1)) == .answer("hello")
      }
      try trio.mesh.apply(trio.resources(""))
      #expect(try eventually { try isAnswered("10.77.0.3:9000") && isAnswered("[fd77::3]:9000") })

      try trio.mesh.apply(trio.resources(self.peer("default", "{mtls: {mode: STRICT}}")))
      #expect(try eventually { try !isAnswered("10.77.0.3:9000") && !isAnswered("[fd77::3]:9000") })
      #expect(try trio.client.call("\(SpineRootTests.vip):80") == .answer("hello"))
      #expect(try trio.client.call("10.77.0.3:9000") == .answer("hello"))
      #expect(
        try eventually {
          try trio.mesh.martlet(["observe", "--last", "20", "-o", "json"]).stdout.contains(
            "demo/peerauthentication.default")
        })
      let explained = try trio.mesh.martlet(["explain", "10.77.0.9", "10.77.0.3:9000"])
      #expect(explained.stdout.contains("demo/peerauthentication.default"), "\(explained.stdout)")

      try trio.mesh.apply(
        trio.resources(
          self.peer(
            "server",
            "{selector: {matchLabels: {app: server}}, mtls: {mode: STRICT}, portLevelMtls: {9000: {mode: PERMISSIVE}}}")
        ))
      #expect(try eventually { try isAnswered("10.77.0.3:9000") && isAnswered("[fd77::3]:9000") })
    }
  }
}
