import MeshBase
import Testing

@Suite struct AbsolutePathTests {
  @Test(
    "a relative path is seen from the directory, a full one stays",
    arguments: [
      ("/a/b", "/a/b"), ("b", "/home/x/b"), ("./b", "/home/x/b"), (".//./b/c", "/home/x/b/c"),
      ("../b", "/home/x/../b"), (".", "/home/x"), ("./", "/home/x"), (".b", "/home/x/.b"),
    ])
  func resolves(path: String, expected: String) {
    #expect(AbsolutePath.of(path, in: "/home/x") == expected)
  }

  @Test("the root needs no second slash")
  func root() { #expect(AbsolutePath.of("b", in: "/") == "/b") }
}
