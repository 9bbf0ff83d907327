import MeshBase
import MeshTelemetry
import Testing

@Suite("The request of a question")
struct ExplainRequestTests {
  @Test("its query leads back to it")
  func query() throws {
    let request = try ExplainRequest(
      method: "POST", path: "/a?b=c", host: "web.test", headers: ["x-a=1=2", "x-b="])
    let query = Dictionary(uniqueKeysWithValues: request.query.compactMap { name, value in value.map { (name, $0) } })
    #expect(try ExplainRequest(query: query) == request)
    #expect(request.headers.map(\.value) == ["1=2", ""])
    #expect(try ExplainRequest(query: ["source": "a"]) == nil)
    let short = try #require(try ExplainRequest(query: ["path": "/x"]))
    #expect(short.method == "GET" && short.path == "/x" && short.host == nil && short.headers.isEmpty)
  }

  @Test(
    "what is no request is refused",
    arguments: [
      ["method": "GE T"], ["method": ""], ["path": "x"], ["path": "/a b"], ["host": ""], ["header0": "x"],
      ["header0": "x y=1"], ["header0": "=1"], ["header0": "a=1", "header1": "b"], ["header0": "a=\u{7f}"],
      Dictionary(uniqueKeysWithValues: (0..<11).map { ("header\($0)", "a=1") }),
    ])
  func refused(query: [String: String]) {
    #expect(throws: MeshError.self) { try ExplainRequest(query: query) }
  }
}
