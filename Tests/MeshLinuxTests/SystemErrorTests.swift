import Glibc
import MeshBase
import Testing

@testable import MeshLinux

@Suite struct SystemErrorTests {
  @Test("An error names the call, says it in words and by name, and maps to what a caller can do")
  func description() {
    let error = SystemError(ENOENT, "open")
    #expect(error.description == "open: No such file or directory (ENOENT)")
    #expect(error.code == .notFound)
    let mesh = error.meshError("/a", "cannot open", next: "make it")
    #expect(mesh.description == "/a: cannot open: open: No such file or directory (ENOENT); make it")
    #expect(SystemError(12345, "x").description == "x: error 12345")
    #expect(SystemError(EPERM, "x").code == .denied)
    #expect(SystemError(EMFILE, "x").code == .exhausted)
    #expect(SystemError(EINVAL, "x").code == .internal)
  }

  @Test("Interface names are those the kernel takes")
  func interfaceNames() {
    #expect(InterfaceName("eth0")?.description == "eth0")
    #expect(InterfaceName("123456789012345") != nil)
    for bad in ["", ".", "..", "1234567890123456", "a/b", "a b", "a:1", "a\n"] {
      #expect(InterfaceName(bad) == nil, "\(bad)")
    }
  }

  @Test("The loopback interface has an index, another name is an error that names it")
  func index() throws {
    #expect(try #require(InterfaceName("lo")).index() > 0)
    let missing = try #require(InterfaceName("mt-none"))
    #expect { try missing.index() } throws: { "\($0)".contains("mt-none") }
  }
}
