import MeshBase
import Testing

@Suite struct LinearRegexTests {
  @Test(
    "whole texts match as in RE2",
    arguments: [
      ("", ["": true, "a": false]),
      ("abc", ["abc": true, "ab": false, "abcd": false, "xabc": false]),
      ("/v[0-9]+(/.*)?", ["/v1": true, "/v12/x": true, "/v": false, "/v1x": false]),
      ("a|bc|", ["a": true, "bc": true, "": true, "b": false]),
      ("(a+)+$", ["aaa": true, "aab": false]),
      ("^a$", ["a": true, "aa": false]),
      ("a^b", ["ab": false]),
      ("(^a|b)c", ["ac": true, "bc": true]),
      ("$^", ["": true, "a": false]),
      ("a{2}b{1,3}c{2,}", ["aabcc": true, "aabbbcccc": true, "abcc": false, "aabbbbcc": false, "aabc": false]),
      ("a{,2}", ["a{,2}": true, "aa": false]),
      ("(?i)Ab[c-d]", ["aBC": true, "ABD": true, "abe": false]),
      ("a(?i:b)c", ["aBc": true, "aBC": false]),
      ("(?i)a(?-i)b", ["Ab": true, "AB": false]),
      (#"\d+\.\w*\s?"#, ["12.a_Z ": true, "12x": false, "1.": true]),
      (#"\D\W\S"#, ["a-é": true, "1-b": false, "éé!": true]),
      ("[^/]+", ["aéb": true, "a/b": false]),
      (".", ["é": true, "€": true, "😀": true, "éé": false, "\n": false]),
      ("(?s).", ["\n": true]),
      ("é+", ["éé": true, "e": false]),
      ("[[:alpha:]_-]+[]x]", ["a_-]": true, "a1x": false]),
      ("(?P<n>a)(?:b)(?<m>c)", ["abc": true]),
      (#"\x41\Q"#, [:]),
      (#"[a\-z]+"#, ["a-z": true, "b": false]),
      ("a*?b+?c??", ["aab": true, "bc": true]),
      ("(a*)*b", ["aab": true, "b": true, "a": false]),
      (".*x.{1,30}", ["axbx": true, "ab": false, "x": false, "xéé": true]),
    ])
  func matching(pattern: String, texts: [String: Bool]) throws {
    guard !texts.isEmpty else {
      #expect(throws: LinearRegex.Failure.self) { try LinearRegex(pattern) }
      return
    }
    let regex = try LinearRegex(pattern)
    for (text, expected) in texts { #expect(regex.matches(text) == expected, "\(pattern) on \(text)") }
  }

  @Test(
    "what is not understood is refused with its place",
    arguments: [
      ("a(b", 3), ("a)b", 1), ("*a", 1), ("a**", 2), ("[a", 2), ("[z-a]", 4), ("(?=a)", 3), ("(?<=a)", 3),
      (#"\b"#, 2), (#"\pL"#, 2), ("[é]", 2), ("a{2,1}", 6), ("a{1001}", 7), (#"a\"#, 2), ("[[:foo:]]", 3),
    ])
  func refused(pattern: String, offset: Int) {
    let failure = #expect(throws: LinearRegex.Failure.self) { try LinearRegex(pattern) }
    #expect(failure?.offset == offset, "\(pattern): \(failure?.message ?? "")")
  }

  @Test("sizes are bounded")
  func limits() {
    for pattern in [
      String(repeating: "a", count: 1025), "((a{100}){100}){100}", "((){1000}){1000}",
      String(repeating: "(", count: 60) + String(repeating: ")", count: 60),
    ] {
      #expect(throws: LinearRegex.Failure.self) { try LinearRegex(pattern) }
    }
  }

  @Test("RS-10: nested repetition costs no more than a look at each byte")
  func linear() throws {
    let regex = try LinearRegex("(a+)+$")
    let wide = try LinearRegex(".*a.{100}")
    let text = Array((String(repeating: "a", count: 50) + "!").utf8)
    let clock = ContinuousClock()
    let isMatch = regex.matches(text.span) || wide.matches(text.span)
    #expect(!isMatch)
    let best = (0..<20).map { _ in clock.measure { _ = regex.matches(text.span) } }.min()
    #expect(try #require(best) <= .milliseconds(1))
  }

  @Test("no pattern of any bytes traps")
  func noTrap() {
    let alphabet = Array(#"ab(|)[]^$*+?{}1,-\dWx:PQi<>.é"#)
    var state: UInt64 = 7
    for _ in 0..<3000 {
      var pattern = ""
      for _ in 0..<12 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        pattern.append(alphabet[Int(state >> 33) % alphabet.count])
      }
      if let regex = try? LinearRegex(pattern) { _ = regex.matches("ab1-é") }
    }
  }
}
