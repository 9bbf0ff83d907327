import MeshBase
import Testing

@Suite("Names and identities")
struct NameTests {
  @Test("a resource name is namespace/name in RFC 1123 letters, and prints as it was read")
  func resourceNames() {
    let long = String(repeating: "a", count: 63)
    for text in ["a/b", "a-1/b.c-d.e", "\(long)/\(long)", "0/0"] {
      #expect(ResourceName(text)?.description == text)
    }
    for text in [
      "", "/", "a", "a/", "/b", "a/b/c", "A/b", "a/B", "a.b/c", "-a/b", "a-/b", "a/-b", "a/b-", "a/b..c", "a/.b",
      "a/b.",
      "a /b", "a/b\n", "a/b\u{0}", "ä/b", "a_b/c", "\(long)a/b", "a/\(long)a",
      "a/" + String(repeating: "a.", count: 126) + "aa",
      "../b", "a/..",
    ] {
      #expect(ResourceName(text) == nil, "\(text)")
    }
  }

  @Test("TL-03: an identity is exactly the canonical SPIFFE id of the mesh")
  func identities() {
    let good = "spiffe://mesh.example/ns/shop/sa/web"
    #expect(SPIFFEID(good)?.description == good)
    #expect(SPIFFEID(good)?.principal == "mesh.example/ns/shop/sa/web")
    for text in [
      "", "spiffe://", "spiffe:///ns/a/sa/b", "spiffe://td", "spiffe://td/", "https://td/ns/a/sa/b",
      "SPIFFE://td/ns/a/sa/b",
      "spiffe://TD/ns/a/sa/b", "spiffe://td/ns/A/sa/b", "spiffe://td/ns/a/sa/b/", "spiffe://td//ns/a/sa/b",
      "spiffe://td/ns/a/sa/", "spiffe://td/ns//sa/b", "spiffe://td/ns/a/sa/b?x=1", "spiffe://td/ns/a/sa/b#f",
      "spiffe://td:8443/ns/a/sa/b", "spiffe://user@td/ns/a/sa/b", "spiffe://td/ns/%2e%2e/sa/b",
      "spiffe://td/ns/../sa/b",
      "spiffe://td/ns/./sa/b", "spiffe://td/ns/a/sa/b%00", "spiffe://td/ns/a/sa/b\u{0}", "spiffe://td/ns/a/sa/b\n",
      " spiffe://td/ns/a/sa/b", "spiffe://td/sa/a/ns/b", "spiffe://td/ns/a/sa/b/extra", "spiffe://tä/ns/a/sa/b",
      "spiffe://td/ns/a/sa/" + String(repeating: "b", count: 3072),
      "spiffe://" + String(repeating: "t", count: 256) + "/ns/a/sa/b",
    ] {
      #expect(SPIFFEID(text) == nil, "\(text)")
    }
  }

  @Test("a content version is sixteen hex digits and nothing else")
  func versions() {
    #expect(ContentVersion(of: [UInt8]()).description == "cbf29ce484222325")
    // The published FNV-1a vectors.
    #expect(ContentVersion(of: Array("a".utf8)).value == 0xaf63_dc4c_8601_ec8c)
    #expect(ContentVersion(of: Array("foobar".utf8)).value == 0x8594_4171_f739_67e8)
    #expect(ContentVersion(value: 1).description == "0000000000000001")
    #expect(ContentVersion("0000000000000001") == ContentVersion(value: 1))
    for text in [
      "", "1", "+000000000000001", "-000000000000001", "000000000000000g", "00000000000000011", "0x00000000000001",
    ] {
      #expect(ContentVersion(text) == nil, "\(text)")
    }
  }

  @Test("numbers are decimal digits without sign, space or leading zero")
  func strictDecimal() {
    #expect(UInt16(strictDecimal: "0") == 0)
    #expect(UInt16(strictDecimal: "65535") == 65535)
    for text in ["", "00", "01", "65536", "+1", "-1", " 1", "1 ", "1.0", "1e3", "٣", "99999999999999999999999"] {
      #expect(UInt16(strictDecimal: text) == nil, "\(text)")
    }
  }

  @Test("an error says object, message, cause and next step, in this order")
  func errors() {
    #expect(MeshError(.invalid, "x", "is bad").description == "x: is bad")
    #expect(
      MeshError(.invalid, "x", "is bad", cause: "why", next: "do this").description == "x: is bad: why; do this")
  }
}
