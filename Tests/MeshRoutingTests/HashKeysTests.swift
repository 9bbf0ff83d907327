import MeshBase
import MeshSnapshot
import Testing

@testable import MeshRouting

@Suite struct HashKeysTests {
  private func hash(
    _ keys: [HashKey], query: String? = nil, _ fields: [(String, String)] = [], source: String? = nil
  ) -> UInt64? {
    var bytes: [UInt8] = []
    func put(_ text: String) -> Range<Int> {
      let first = bytes.count
      bytes += Array(text.utf8)
      return first..<bytes.count
    }
    let head = HTTPRequestHead(
      method: put("GET"), host: put("web"), query: query.map { put($0) },
      fields: fields.map { HTTPRequestHead.Field(name: put($0.0), value: put($0.1)) })
    return HashKeys(keys).hash(of: head, bytes.span, source: source.flatMap { IPAddress($0) })
  }

  @Test("a header is found in any case, and its value counts, of several the first")
  func header() {
    let ann = self.hash([.header("x-user")], [("X-User", "ann")])
    #expect(ann != nil && ann == self.hash([.header("x-user")], [("a", "b"), ("x-user", "ann"), ("x-user", "bob")]))
    #expect(ann != self.hash([.header("x-user")], [("x-user", "bob")]))
    #expect(self.hash([.header("x-user")], [("x-users", "ann")]) == nil)
    #expect(self.hash([.header("x-user")], [("x-user", "")]) != nil)
  }

  @Test("cookies and parameters are found by their whole name")
  func cookieAndQuery() {
    let cookie = self.hash([.cookie("id")], [("cookie", "sid=1; id=7 ;x=y")])
    #expect(cookie != nil && cookie == self.hash([.cookie("id")], [("cookie", "a=b"), ("Cookie", "id=7")]))
    #expect(self.hash([.cookie("id")], [("cookie", "sid=7; idx=7; ID=7")]) == nil)
    let query = self.hash([.query("id")], query: "sid=1&id=7&id=8")
    #expect(query != nil && query == self.hash([.query("id")], query: "id=7"))
    #expect(self.hash([.query("id")], query: "sid=7&idx=7&xid") == nil)
    #expect(self.hash([.query("id")], query: "a&id") == self.hash([.query("id")], query: "id="))
    #expect(self.hash([.query("id")], query: "&&id") != nil && self.hash([.query("id")], query: "") == nil)
    #expect(self.hash([.query("id")]) == nil)
  }

  @Test("several parts: those that are there count, each in its own place; none of them is no key")
  func several() {
    let keys: [HashKey] = [.header("a"), .header("b"), .source]
    let first = self.hash(keys, [("a", "x")])
    #expect(first != nil && first != self.hash(keys, [("b", "x")]))
    #expect(self.hash(keys, [("a", "x"), ("b", "y")]) != self.hash(keys, [("a", "xy"), ("b", "")]))
    #expect(first != self.hash(keys, [("a", "x")], source: "10.0.0.1"))
    #expect(self.hash(keys) == nil && self.hash([]) == nil)
    let source = self.hash([.source], source: "10.0.0.1")
    #expect(source == HashKeys([.source]).hash(source: IPAddress("10.0.0.1")))
    #expect(source != self.hash([.source], source: "10.0.0.2") && HashKeys([.source]).hash(source: nil) == nil)
    #expect(HashKeys([.header("a")]).hash(source: IPAddress("10.0.0.1")) == nil)
  }
}
