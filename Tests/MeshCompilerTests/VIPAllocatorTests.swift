import MeshBase
import Testing

@testable import MeshCompiler

@Suite("Addresses of services")
struct VIPAllocatorTests {
  static func name(_ index: Int) -> ResourceName { Samples.name("n/s\(index)") }

  @Test("Every service of a full range has an address of its own, and the next has none")
  func full() throws {
    let range = try #require(IPPrefix("240.1.2.0/24"))
    var vips = VIPAllocator()
    var seen: Set<IPAddress> = []
    for index in 0..<254 {
      let address = try #require(vips.allocate(for: Self.name(index), in: range) { _ in false })
      #expect(range.contains(address))
      #expect(seen.insert(address).inserted)
    }
    #expect(vips.allocate(for: Self.name(254), in: range) { _ in false } == nil)
    #expect(seen.contains(try #require(IPAddress("240.1.2.0"))) == false)
    #expect(seen.contains(try #require(IPAddress("240.1.2.255"))) == false)
  }

  @Test("The address depends on the name, and a reserved one is passed over")
  func stable() throws {
    let range = try #require(IPPrefix("fd00::/64"))
    var one = VIPAllocator()
    var two = VIPAllocator()
    _ = two.allocate(for: Self.name(9), in: range) { _ in false }
    let first = try #require(one.allocate(for: Self.name(1), in: range) { _ in false })
    #expect(two.allocate(for: Self.name(1), in: range) { _ in false } == first)
    var three = VIPAllocator()
    #expect(three.allocate(for: Self.name(1), in: range) { $0 == first } != first)
  }

  @Test("An address is not given to another service for a day, and its own service gets it back")
  func quarantine() throws {
    let range = try #require(IPPrefix("240.1.2.0/24"))
    var vips = VIPAllocator()
    var all: [ResourceName: [IPAddress]] = [:]
    for index in 0..<254 {
      let address = try #require(vips.allocate(for: Self.name(index), in: range) { _ in false })
      all[Self.name(index)] = [address]
    }
    vips.endRound(live: all, now: 0)
    let removed = all.removeValue(forKey: Self.name(7))
    let freed = try #require(removed)
    vips.endRound(live: all, now: 100)
    #expect(vips.addresses(of: Self.name(7)) == [])
    #expect(vips.allocate(for: Self.name(300), in: range) { _ in false } == nil)
    var back = vips
    #expect(back.allocate(for: Self.name(7), in: range) { _ in false } == freed[0])
    vips.endRound(live: all, now: 100 + VIPAllocator.quarantineSeconds - 1)
    #expect(vips.allocate(for: Self.name(300), in: range) { _ in false } == nil)
    vips.endRound(live: all, now: 100 + VIPAllocator.quarantineSeconds)
    #expect(vips.allocate(for: Self.name(300), in: range) { _ in false } == freed[0])
  }

  @Test("Export and import are inverse, and a damaged text is refused")
  func export() throws {
    let range = try #require(IPPrefix("240.1.0.0/16"))
    var vips = VIPAllocator()
    var live: [ResourceName: [IPAddress]] = [:]
    for index in 0..<50 {
      let address = try #require(vips.allocate(for: Self.name(index), in: range) { _ in false })
      if index % 3 != 0 { live[Self.name(index)] = [address] }
    }
    vips.endRound(live: live, now: 1_000)
    let text = vips.exported()
    #expect(try VIPAllocator(importing: text).exported() == text)
    for bad in ["", "martlet-vips 1\n", String(text.dropLast(12)), text.replacing("n/s1 ", with: "n/S1 ")] {
      #expect(throws: MeshError.self) { try VIPAllocator(importing: bad) }
    }
    let line = try #require(text.split(separator: "\n").dropFirst().first)
    #expect(throws: MeshError.self) {
      try VIPAllocator(importing: "martlet-vips 1\n\(line)\n\(line)\nend 2\n")
    }
  }

  @Test("A restart with imported state gives every service the address that it had")
  func restart() throws {
    var before = Compiler()
    before.update(file: "a", bytes: Samples.stream([Samples.config, Samples.manual]))
    let first = before.compile(now: 0)
    var after = Compiler(vips: try VIPAllocator(importing: first.vips.exported()))
    after.update(file: "a", bytes: Samples.stream([Samples.config, Samples.manual]))
    #expect(after.compile(now: 9).snapshot == first.snapshot)
  }
}
