import MeshBase
import Testing

@testable import MeshContainers

@Suite("The state that a runtime gives its hooks")
struct OCIStateTests {
  @Test("id and process are read, whatever else stands there")
  func state() throws {
    let text = """
      {"ociVersion":"1.0.2-dev","id":"be38","status":"creating","pid":11298,"bundle":"/x","annotations":{"a":"b"}}
      """
    let state = try OCIState(Array(text.utf8))
    #expect(state.id == "be38" && state.process == 11298 && state.status == "creating")
  }

  @Test(
    "anything else is an error and traps nothing",
    arguments: [
      "", "{}", "[]", "null", "{\"id\":\"a\"}", "{\"id\":\"a\",\"pid\":0}", "{\"id\":\"a\",\"pid\":-5}",
      "{\"id\":\"a\",\"pid\":1}",
      "{\"id\":\"a\",\"pid\":4294967296}", "{\"id\":\"a\",\"pid\":1e99}", "{\"id\":\"a\",\"pid\":\"5\"}",
      "{\"id\":\"a/b\",\"pid\":5}",
      "{\"id\":\"..\",\"pid\":5}", "{\"id\":\"\",\"pid\":5}", "{\"id\":\"a\\u0000\",\"pid\":5}",
      "{\"id\":\"a\",\"pid\":5",
      String(repeating: "{\"a\":", count: 50_000), "{\"id\":\"a\",\"pid\":5}" + String(repeating: " ", count: 1 << 20),
    ])
  func hostile(text: String) {
    #expect(throws: MeshError.self) { try OCIState(Array(text.utf8)) }
  }
}
