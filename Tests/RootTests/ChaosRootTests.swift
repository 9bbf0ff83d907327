import Foundation
import MeshBase
import MeshLinux
import MeshTestSupport
import Testing

/// A short seeded run of scripts/chaos; the long ones are run by hand (docs/operations.md).
@Suite("Chaos", .serialized)
struct ChaosRootTests {
  private struct Figures: Decodable {
    var faults: [String: Int]
    var exchanges: Int
    var violations: [String]
  }

  private func run(_ arguments: [String], timeout: Duration = .seconds(180)) throws -> Figures {
    let world = try World("chaos")
    defer { try? world.close() }
    let log = world.directory + "/chaos.log"
    let finished = try world.node("a").run(
      [Mesh.root + "/scripts/chaos", "--json", "--binaries", Mesh.binaries, "--log", log] + arguments, timeout: timeout)
    let logged = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
    #expect(finished.isSuccess, "\(finished.stdout)\n\(finished.stderr)\n\(logged.suffix(20_000))")
    return try JSONDecoder().decode(Figures.self, from: Data(finished.stdout.utf8))
  }

  @Test("faults at random under load: nothing fails that was promised to go on, nothing goes where it must not")
  func faults() throws {
    let figures = try self.run(
      [
        "--seconds", "25", "--seed", "7", "--rate", "400", "--connections", "100", "--pause", "0.2,0.8", "--faults",
        "agent-kill,agent-restart,proxy-kill,proxy-term,upgrade,bad-upgrade,control-kill,pod-churn,policy,detach,upgrade-twice,"
          + "disk-start,pins-gone,run-gone,bad-file,both-kill,proxy-stop",
      ])
    #expect(figures.faults.values.reduce(0, +) >= 5)
    #expect(figures.exchanges > 1000)
  }

  @Test("F-05: agent and proxy of another build take over under load, and the first ones again; nothing fails")
  func backAndForth() throws {
    let world = try World("swap")
    defer { try? world.close() }
    let other = world.directory + "/other"
    // The same programs in other files: what counts is that they are not those that run.
    let copied = try world.node("a").run(
      [
        "sh", "-c", "mkdir -p $2 && cp $1/martletd $1/martlet-proxy $2 && cp -r $3 $2/bpf", "sh", Mesh.binaries, other,
        Mesh.root + "/.build/bpf",
      ])
    #expect(copied.isSuccess, "\(copied)")
    let figures = try self.run([
      "--faults", "swap", "--count", "4", "--rate", "400", "--connections", "100", "--pause", "0.2,0.6", "--other",
      other,
    ])
    #expect(figures.faults == ["swap": 4])
  }

  @Test("F-03: upgrades under load fail nothing; MARTLET_UPGRADE_EXCHANGES says under how many exchanges")
  func upgrades() throws {
    let wanted = ProcessInfo.processInfo.environment["MARTLET_UPGRADE_EXCHANGES"]
    let figures = try self.run(
      wanted.map {
        ["--faults", "upgrade", "--count", "20", "--exchanges", $0, "--rate", "500", "--connections", "500"]
      } ?? [
        "--faults", "upgrade", "--count", "8", "--rate", "400", "--connections", "200", "--pause", "0.2,0.6",
      ], timeout: .seconds(600))
    #expect(figures.faults == ["upgrade": wanted == nil ? 8 : 20])
    #expect(figures.exchanges >= (wanted.flatMap { Int($0) } ?? 1000))
  }
}
