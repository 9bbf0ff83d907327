import MeshBase
import MeshHTTP
import MeshSnapshot
import Testing

@testable import MeshRouting

@Suite("Forwarding fields: what is asked for") struct HTTPForwardingTests {
  @Test(
    "defaults: the client's address, the scheme and an id are said; the rest is the client's, and Forwarded nobody's")
  func defaults() throws {
    let forwarding = HTTPForwarding([])
    #expect(forwarding == .defaults)
    #expect(forwarding.tellsClient && forwarding.addsRequestID && forwarding.traceparent == .keep)
    let passage = forwarding.passage
    #expect(passage.via.isEmpty && passage.removed == [] && !passage.tellsHost)
    #expect(passage.forwardedProto == Array("http".utf8))
  }

  private static func forwarding(_ texts: [String]) throws -> HTTPForwarding {
    HTTPForwarding(try ForwardingField.list(texts))
  }

  @Test("each field has its modes")
  func modes() throws {
    let forwarding = try Self.forwarding([
      "x-forwarded-for=replace", "x-forwarded-proto=remove", "x-forwarded-host=add", "forwarded=replace", "via=mesh-1",
      "x-request-id=replace", "traceparent=add",
    ])
    #expect(forwarding.tellsClient && forwarding.forwarded == .replace && forwarding.traceparent == .add)
    let passage = forwarding.passage
    #expect(passage.via == Array("mesh-1".utf8) && passage.tellsHost && passage.forwardedProto.isEmpty)
    #expect(passage.removed == [.xForwardedFor, .xForwardedProto, .xRequestID])
    #expect(try !Self.forwarding(["x-forwarded-for=keep"]).tellsClient)
    #expect(try Self.forwarding(["via=off"]) == .defaults)
    // Of two lists one behind the other the second has the last word.
    let both = HTTPForwarding([try ForwardingField("via", "mesh"), try ForwardingField("via", "host")])
    #expect(both == (try Self.forwarding(["via=host"])))
  }

  @Test(
    "what is not understood is refused, and says what would be",
    arguments: [
      ["x-forwarded-for"], ["x-forwarded-for="], ["x-forwarded-for=add"], ["forwarded=keep"], ["x-real-ip=add"],
      ["via="], ["via=a b"], ["via=a\r\nb"], ["via=" + String(repeating: "a", count: 65)], ["X-Forwarded-For=append"],
      ["traceparent=replace"], ["via=off", "via=mesh"], [""], ["=keep"],
    ])
  func refused(_ texts: [String]) { #expect(throws: MeshError.self) { try ForwardingField.list(texts) } }

  @Test("an element of Forwarded quotes an address with colons (RFC 7239, section 6)")
  func element() throws {
    let v6 = try #require(IPAddress("fd77::2"))
    let v4 = try #require(IPAddress("10.0.0.1"))
    #expect(String(decoding: HTTPForwarding.element(client: v6), as: UTF8.self) == "for=\"[fd77::2]\";proto=http")
    #expect(String(decoding: HTTPForwarding.element(client: v4), as: UTF8.self) == "for=10.0.0.1;proto=http")
  }
}
