import Foundation
import MeshBase
import MeshTelemetry
import Testing

@testable import MeshCommands

@Suite("The mesh's names in /etc/hosts")
struct HostsTests {
  private static let lines = ["10.0.0.1 a.b.svc.cluster.local a.b.svc a.b"]
  private static let block = HostsFile.begin + "\n" + Self.lines[0] + "\n" + HostsFile.end + "\n"

  private func replacing(_ lines: [String]?, _ text: String) -> String? {
    HostsFile.replacing(lines, in: Array(text.utf8)).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test("a line for each address, the whole name first; a service without addresses is its ready endpoints")
  func names() {
    let services = [
      ServiceReport(name: "shop/web", addresses: ["240.0.0.1", "fd00::1"]),
      ServiceReport(
        name: "shop/db",
        endpoints: [
          .init(addresses: ["10.0.0.3", "10.0.0.4"], ready: true), .init(addresses: ["10.0.0.5"], ready: false),
          .init(addresses: ["10.0.0.3"], ready: true),
        ]),
      ServiceReport(name: "shop/none"),
    ]
    #expect(
      HostsFile.lines(of: services) == [
        "10.0.0.3 db.shop.svc.cluster.local db.shop.svc db.shop",
        "10.0.0.4 db.shop.svc.cluster.local db.shop.svc db.shop",
        "240.0.0.1 web.shop.svc.cluster.local web.shop.svc web.shop",
        "fd00::1 web.shop.svc.cluster.local web.shop.svc web.shop",
      ])
  }

  @Test("the block goes to the end, stays where it is afterwards, and a second time changes nothing")
  func replaces() {
    let own = "127.0.0.1 localhost\n"
    #expect(self.replacing(Self.lines, own) == own + Self.block)
    #expect(self.replacing(Self.lines, own + Self.block) == own + Self.block)
    #expect(self.replacing(Self.lines, "") == Self.block)
    #expect(self.replacing(Self.lines, "::1 x") == "::1 x\n" + Self.block)
    let moved = own + Self.block + "::1 localhost\n"
    #expect(self.replacing(Self.lines, moved) == moved)
    #expect(self.replacing([], moved) == own + HostsFile.begin + "\n" + HostsFile.end + "\n::1 localhost\n")
    // Two blocks become one.
    #expect(self.replacing(Self.lines, Self.block + own + Self.block) == Self.block + own)
  }

  @Test("removal gives back what was there, and other bytes are nobody's business")
  func removes() throws {
    let own = "127.0.0.1 localhost\n"
    #expect(self.replacing(nil, own + Self.block) == own)
    #expect(self.replacing(nil, own) == own)
    #expect(self.replacing(nil, "") == "")
    let odd: [UInt8] = [0xff, 0x00, 0x0d, 0x0a, 0xfe]
    let with = try #require(HostsFile.replacing(Self.lines, in: odd))
    #expect(with.starts(with: odd + [0x0a]))
    #expect(HostsFile.replacing(nil, in: with) == odd + [0x0a])
  }

  @Test("marks without their other half are refused: nothing is guessed")
  func halves() {
    for text in [
      HostsFile.begin + "\n10.0.0.1 x\n", "10.0.0.1 x\n" + HostsFile.end + "\n", Self.block + HostsFile.end + "\n",
      HostsFile.begin + "\n" + Self.block,
    ] {
      #expect(self.replacing(Self.lines, text) == nil)
      #expect(self.replacing(nil, text) == nil)
    }
  }

  @Test("the command writes the agent's services, touches nothing the second time, keeps the mode and follows links")
  func command() async throws {
    let directory = NSTemporaryDirectory() + "mt-hosts-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let (file, link) = (directory + "/hosts", directory + "/link")
    try "127.0.0.1 localhost\n".write(toFile: file, atomically: false, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: file)
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: file)
    func text() throws -> String { try String(contentsOfFile: file, encoding: .utf8) }
    func attributes() throws -> [FileAttributeKey: Any] { try FileManager.default.attributesOfItem(atPath: file) }

    let wanted =
      "127.0.0.1 localhost\n" + HostsFile.begin
      + "\n10.96.0.1 web.default.svc.cluster.local web.default.svc web.default\n" + HostsFile.end + "\n"
    try await FakeAgent().serve { runDirectory in
      let first = await CommandLineResult.of("hosts", "--run-dir", runDirectory, "--file", link)
      #expect(first.status == .yes && first.out.hasSuffix(": 1 lines\n"), "\(first)")
      #expect(try text() == wanted)
      #expect(try attributes()[.posixPermissions] as? Int == 0o640)
      let number = try attributes()[.systemFileNumber] as? UInt64
      let second = await CommandLineResult.of("hosts", "--run-dir", runDirectory, "--file", file)
      #expect(second.status == .yes && second.out.hasSuffix("as it should be\n"), "\(second)")
      #expect(try attributes()[.systemFileNumber] as? UInt64 == number, "the same file")
    }
    // One that has just started and knows no services yet takes none away.
    try await FakeAgent(hasSnapshot: false).serve { runDirectory in
      let early = await CommandLineResult.of("hosts", "--run-dir", runDirectory, "--file", file)
      #expect(early.status == .unreachable && early.errors.contains("stays as it is"), "\(early)")
      let kept = try text()
      #expect(kept == wanted)
    }
    // Without an agent nothing changes, and the block can go.
    let alone = await CommandLineResult.of("hosts", "--run-dir", directory, "--file", file)
    #expect(alone.status == .unreachable)
    #expect(try text() == wanted)
    let removed = await CommandLineResult.of("hosts", "--remove", "--run-dir", directory, "--file", file)
    #expect(removed.status == .yes)
    #expect(try text() == "127.0.0.1 localhost\n")
    #expect(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == ["hosts", "link"])
    try (HostsFile.begin + "\n").write(toFile: file, atomically: false, encoding: .utf8)
    let broken = await CommandLineResult.of("hosts", "--remove", "--run-dir", directory, "--file", file)
    #expect(broken.status == .no && broken.errors.contains("without its other half"), "\(broken)")
  }
}
