import MeshBase
import Testing

@Suite struct CanonicalPathTests {
  enum Result: Equatable {
    case path(String)
    case refused(CanonicalPath.Refusal)
  }

  private func form(
    _ bytes: [UInt8], escapedSlash: CanonicalPath.EscapedSlash = .refused
  ) -> Result {
    var output: [UInt8] = []
    switch CanonicalPath.form(of: bytes.span, escapedSlash: escapedSlash, into: &output) {
    case .same: return .path(String(decoding: bytes, as: UTF8.self))
    case .rewritten: return .path(String(decoding: output, as: UTF8.self))
    case .refused(let refusal): return .refused(refusal)
    }
  }

  private func form(_ path: String) -> Result { self.form(Array(path.utf8)) }

  @Test(
    "a path has one form",
    arguments: [
      // PN-01
      ("/x/../admin", "/admin"), ("/./admin", "/admin"), ("/x/./../admin", "/admin"), ("/../admin", "/admin"),
      // PN-02
      ("/%2e%2e/admin", "/admin"), ("/x/%2E./admin", "/admin"), ("/x/.%2e/admin", "/admin"),
      // PN-03
      ("//admin", "/admin"), ("/x//../admin", "/admin"), ("///admin", "/admin"),
      // PN-06: parameters stay
      ("/admin;a=b", "/admin;a=b"), ("/..;/admin", "/..;/admin"), ("/;/admin", "/;/admin"), ("/%3B", "/%3B"),
      // PN-07
      ("/Admin", "/Admin"),
      // PN-08, PN-09
      ("/admin%23", "/admin%23"), ("/admin/", "/admin/"), ("/admin%20", "/admin%20"), ("/admin.", "/admin."),
      // PN-10
      ("/%61dmin", "/admin"), ("/%41dmin", "/Admin"),
      // PN-11
      ("/%252e%252e/admin", "/%252e%252e/admin"), ("/%25%32%65", "/%252e"),
      // PN-12
      ("/%e2%80%a6/admin", "/%E2%80%A6/admin"),
      // PN-16
      ("/pkg.Svc/./Method", "/pkg.Svc/Method"), ("/x/../pkg.Svc//Method", "/pkg.Svc/Method"),
      ("/", "/"), ("/.", "/"), ("/..", "/"), ("/a/.", "/a/"), ("/a/..", "/"), ("/a/b/..", "/a/"), ("/a//", "/a/"),
      ("/.a/..b/...", "/.a/..b/..."), ("/{x}", "/%7Bx%7D"), ("/%7bx%7D", "/%7Bx%7D"), ("/a|\"", "/a%7C%22"),
    ])
  func canonical(path: String, expected: String) {
    #expect(self.form(path) == .path(expected))
    #expect(self.form(expected) == .path(expected))
  }

  @Test(
    "what servers read in more than one way is refused",
    arguments: [
      // PN-04, PN-05
      ("/%2Fadmin", CanonicalPath.Refusal.escapedSlash), ("/x%2f..%2fadmin", .escapedSlash), ("/\\admin", .backslash),
      ("/%5cadmin", .backslash), ("/x\\..\\admin", .backslash),
      // PN-08
      ("/admin#x", .byte), ("/x#/../admin", .byte),
      // PN-12
      ("/%c0%ae%c0%ae/admin", .notUTF8), ("/%c0%af", .notUTF8), ("/…/admin", .byte), ("/%u002e", .escape),
      ("/%e0%80%ae", .notUTF8), ("/%ed%a0%80", .notUTF8), ("/%e2%80/", .notUTF8), ("/%e2%80", .notUTF8),
      ("/%f4%90%80%80", .notUTF8),
      // PN-13
      ("/admin%00", .escapedControl), ("/admin%0d%0aX:y", .escapedControl), ("/%01", .escapedControl),
      ("/a b", .byte), ("/a?b", .byte), ("/%", .escape), ("/%4", .escape), ("/%g0", .escape),
      // PN-15
      ("http://a/x", .notAbsolute), ("*", .notAbsolute), ("", .notAbsolute), ("admin", .notAbsolute),
    ])
  func refused(path: String, reason: CanonicalPath.Refusal) {
    #expect(self.form(path) == .refused(reason))
  }

  @Test("PN-14: every escape after /admin is what the table says")
  func everyEscape() {
    for byte in UInt8(1)...255 {
      let digits = String(byte, radix: 16, uppercase: true)
      let escape = "%" + (digits.count == 1 ? "0" : "") + digits
      let letter = Character(Unicode.Scalar(byte))
      let expected: Result =
        switch byte {
        case 0..<0x20, 0x7f: .refused(.escapedControl)
        case 0x2f: .refused(.escapedSlash)
        case 0x5c: .refused(.backslash)
        case 0x80...: .refused(.notUTF8)
        case _ where letter.isLetter || letter.isNumber || "-._~".contains(letter): .path("/admin\(letter)")
        default: .path("/admin" + escape)
        }
      #expect(self.form("/admin" + escape) == expected, "\(escape)")
      #expect(self.form("/admin" + escape.lowercased()) == expected, "\(escape)")
    }
  }

  @Test("every raw byte after /admin is kept, escaped or refused")
  func everyByte() {
    for byte in UInt8.min...255 {
      let result = self.form(Array("/admin".utf8) + [byte])
      let letter = Character(Unicode.Scalar(byte))
      switch byte {
      case 0...0x20, 0x7f..., 0x23, 0x3f: #expect(result == .refused(.byte), "\(byte)")
      case 0x5c: #expect(result == .refused(.backslash))
      case 0x25: #expect(result == .refused(.escape))
      case _ where "\"<>[]^`{|}".contains(letter):
        #expect(result == .path("/admin%" + String(byte, radix: 16, uppercase: true)))
      default: #expect(result == .path("/admin\(letter)"))
      }
    }
  }

  @Test("PN-04: policy may keep or decode an escaped slash")
  func escapedSlash() {
    let path = Array("/x%2f..%2fadmin".utf8)
    #expect(self.form(path, escapedSlash: .kept) == .path("/x%2F..%2Fadmin"))
    #expect(self.form(path, escapedSlash: .decoded) == .path("/admin"))
  }

  @Test(
    "PN-06: parameters can be taken away, and what they hid is resolved",
    arguments: [
      ("/admin;a=b", "/admin"), ("/..;/admin", "/admin"), ("/;/admin", "/admin"), ("/admin;/x", "/admin/x"),
      ("/x/..;a/admin", "/admin"), ("/a;", "/a"), ("/;", "/"), ("/admin", nil),
    ])
  func parameters(path: String, expected: String?) {
    let bytes = Array(path.utf8)
    let result = CanonicalPath.withoutParameters(bytes.span)
    #expect(result.map { String(decoding: $0, as: UTF8.self) } == expected)
  }

  @Test("the form of the form is the form, for any bytes")
  func idempotent() {
    let alphabet = Array("/.%2eEfF5;ab\\é?c0".utf8)
    var state: UInt64 = 3
    for _ in 0..<20_000 {
      var path: [UInt8] = [0x2f]
      for _ in 0..<10 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        path.append(alphabet[Int(state >> 33) % alphabet.count])
      }
      guard case .path(let once) = self.form(path, escapedSlash: .decoded) else { continue }
      #expect(self.form(Array(once.utf8), escapedSlash: .decoded) == .path(once))
      #expect(
        once.hasPrefix("/") && !once.contains("//") && !(once + "/").contains("/../") && !(once + "/").contains("/./"))
    }
  }
}
