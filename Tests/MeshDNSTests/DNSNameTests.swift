import Testing

@testable import MeshDNS

@Suite struct DNSNameTests {
  @Test("Text becomes labels; a dot at the end changes nothing")
  func text() throws {
    #expect(name("web.default").wire == [3] + Array("web".utf8) + [7] + Array("default".utf8) + [0])
    #expect(DNSName("web.default.") == DNSName("web.default"))
    #expect(DNSName("") == .root)
    #expect(DNSName(".") == .root)
    #expect(name("web.default").description == "web.default.")
    #expect(DNSName.root.description == ".")
  }

  @Test("Names that cannot be are nil", arguments: ["a..b", "..", ".a", String(repeating: "a", count: 64) + ".b"])
  func invalid(_ text: String) {
    #expect(DNSName(text) == nil)
    #expect(SpelledName(text) == nil)
  }

  @Test("255 bytes are the longest")
  func longest() throws {
    let label = String(repeating: "a", count: 63)
    #expect(name("\(label).\(label).\(label).\(label.dropLast(2))").wire.count == 255)
    #expect(DNSName("\(label).\(label).\(label).\(label.dropLast(1))") == nil)
  }

  @Test("A spelling keeps its case, a name has none")
  func caseFolding() throws {
    #expect(spelled("WeB.DefAult") != spelled("web.default"))
    #expect(spelled("WeB.DefAult").name == name("web.default"))
    #expect(spelled("WeB").wire == [3, 0x57, 0x65, 0x42, 0])
    #expect(name("[`@{").labels.first.map { Array($0) } == Array("[`@{".utf8))
  }

  @Test("Zones end at labels, not within them")
  func zones() throws {
    #expect(name("web.default.svc").labels(above: name("svc")) == 2)
    #expect(name("svc").labels(above: name("svc")) == 0)
    #expect(name("xsvc").labels(above: name("svc")) == nil)
    #expect(name("a.b").labels(above: .root) == 2)
    #expect(name("b").labels(above: name("a.b")) == nil)
    // The label "a<3>svc" ends with the bytes of the zone.
    #expect(DNSName(SpelledName(valid: [5, 0x61, 3, 0x73, 0x76, 0x63, 0])).labels(above: name("svc")) == nil)
    #expect(name("a.b.c").dropping(1) == name("b.c"))
    #expect(name("a.b.c").dropping(3) == .root)
    #expect(name("a.b.c").dropping(4) == nil)
  }

  @Test("Bytes that are no letters are printed as numbers")
  func escapes() {
    #expect(DNSName(SpelledName(valid: [4, 0x2e, 0x5c, 0x07, 0xff, 0])).description == "\\.\\\\\\007\\255.")
  }
}
