import Testing

@testable import MeshCommands

@Suite struct CommandLineRunTests {
  @Test(
    "a wrong command line is exit status 2, on standard error",
    arguments: [
      ["nonsense"], ["show"], ["show", "secrets"], ["status", "-o", "xml"], ["observe", "--verdict", "maybe"],
      ["observe", "--last", "x"], ["observe", "--last=-1"], ["explain", "a"], ["explain", "a", "b"],
      ["explain", "A B", "b:1"], ["explain", "a", "b:1", "--path", "x"], ["explain", "a", "b:1", "--header", "x"],
      ["bench"],
      ["bench", "--client", "a", "--server", "b", "--mesh", "x", "--direct", "y"], ["--nonsense"],
    ])
  func usage(arguments: [String]) async {
    let result = await CommandLineResult.of(arguments)
    #expect(result.status == .usage)
    #expect(result.out.isEmpty)
    #expect(!result.errors.isEmpty)
  }

  @Test("every verb has a page of help with an example", arguments: Martlet.verbs)
  func help(verb: String) async {
    let result = await CommandLineResult.of("help", verb)
    #expect(result.status == .yes)
    #expect(result.out.hasPrefix("OVERVIEW: "))
    #expect(verb == "version" || result.out.contains("EXAMPLE"))
    #expect(result.errors.isEmpty)
  }

  @Test("version and help are answers")
  func version() async {
    #expect(await CommandLineResult.of("version").out == "martlet 0.1.0\n")
    #expect(await CommandLineResult.of("--version").out == "0.1.0\n")
    let help = await CommandLineResult.of("--help")
    #expect(help.status == .yes && help.out.contains("Exit status: 0 yes, 1"))
  }
}

@Suite struct TextTableTests {
  @Test("columns align, numbers to the right, nothing trails")
  func golden() {
    let table = TextTable(["NAME", "COUNT", "ADDRESS"], [["a", "1", "10.0.0.1"], ["long-name", "1234", ""]])
    #expect(
      table.text == """
        NAME       COUNT  ADDRESS
        a              1  10.0.0.1
        long-name   1234  -

        """)
  }

  @Test("an empty table has its headings; a short row its dashes")
  func edges() {
    #expect(TextTable(["A", "B"], []).text == "A  B\n")
    #expect(TextTable(["A", "B"], [["x"]]).text == "A  B\nx  -\n")
    #expect(TextTable(["A"], [["a\u{1b}[31m\nb"]]).text == "A\na?[31m?b\n")
  }
}
