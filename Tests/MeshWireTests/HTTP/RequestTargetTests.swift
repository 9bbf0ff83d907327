import MeshBase
import Testing

@testable import MeshWire

@Suite struct RequestTargetTests {
  @Test("path and query are decoded")
  func decodes() throws {
    let target = try #require(RequestTarget("/v1/explain?source=a%2Fb&destination=%5B::1%5D:80&flag&plus=a+b"))
    #expect(target.path == "/v1/explain")
    #expect(target.query == ["source": "a/b", "destination": "[::1]:80", "flag": "", "plus": "a b"])
    #expect(RequestTarget("/")?.query == [:])
    #expect(RequestTarget("/?")?.query == [:])
  }

  @Test(
    "what is not plain is refused",
    arguments: [
      "", "*", "http://x/", "v1", "/%", "/%0", "/%zz", "/%00", "/a?b=%0a", "/%ff", "/?a=1&a=2", "/\u{7f}",
      "/" + String(repeating: "a", count: 4096), "/?" + (0..<17).map { "a\($0)=1" }.joined(separator: "&"),
    ])
  func refuses(text: String) {
    #expect(RequestTarget(text) == nil)
  }

  @Test("numbers and flags are strict")
  func parameters() throws {
    let target = try #require(RequestTarget("/?n=12&big=9999999999999999999&neg=-1&yes=true&no=false&what=1"))
    #expect(try target.number("n", in: 0...20) == 12)
    #expect(try target.number("absent", in: 0...20) == nil)
    #expect(throws: MeshError.self) { try target.number("n", in: 0...11) }
    #expect(throws: MeshError.self) { try target.number("big", in: 0...11) }
    #expect(throws: MeshError.self) { try target.number("neg", in: 0...11) }
    #expect(try target.flag("yes"))
    #expect(try !target.flag("no"))
    #expect(throws: MeshError.self) { try target.flag("what") }
  }
}
