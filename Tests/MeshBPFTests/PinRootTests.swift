import CMeshABI
import CMeshBPF
import Foundation
import MeshBase
import Testing

@testable import MeshBPF

/// Loading, pinning, adopting, purging: what outlives the agent and what does not.
@Suite(.serialized)
struct PinRootTests {
  @Test("a load leaves maps pinned for root only, and a second one is refused")
  func load() throws {
    let rig = try Rig.make()
    var status = stat()
    #expect(stat(rig.pinPath, &status) == 0)
    #expect(status.st_mode & 0o777 == 0o700)
    let names = PinDirectory.list(rig.pinPath + "/v1/maps")
    #expect(names.count == 28)
    #expect(names.allSatisfy { $0.utf8.count <= 15 && $0.hasSuffix("_v1") })
    let again = #expect(throws: MeshError.self) {
      try KernelDatapath.load(objects: Commands.objects, pins: rig.datapath.pins)
    }
    #expect(again?.code == .conflict)
    #expect(PinDirectory.pins(rig.pinPath) == ["v1"])
    // BP-21: an unprivileged user reads none of it.
    let read = try Commands.run(
      ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "ls", rig.pinPath + "/v1/maps"],
      allowFailure: true)
    #expect(read.isEmpty)
  }

  @Test("a second owner of the pin directory is refused until the first is gone (BP-20)")
  func lock() throws {
    let rig = try Rig.make()
    let path = rig.pinPath
    let second = #expect(throws: MeshError.self) { try PinDirectory(path: path) }
    #expect(second?.code == .conflict)
    let purge = #expect(throws: MeshError.self) { try KernelDatapath.purge(pinDirectory: path) }
    #expect(purge?.code == .conflict)
    #expect(PinDirectory.pins(path) == ["v1"])
  }

  @Test("a load that fails leaves nothing behind")
  func transaction() throws {
    let path = NSTemporaryDirectory() + "mt-bpf-\(getpid())-transaction"
    let objects = path + "-objects"
    try FileManager.default.createDirectory(atPath: objects, withIntermediateDirectories: true)
    defer {
      try? FileManager.default.removeItem(atPath: objects)
      _ = try? Commands.run(["umount", "-l", path], allowFailure: true)
      rmdir(path)
    }
    for name in ["connect.bpf.o", "edge.bpf.o"] {
      try FileManager.default.copyItem(atPath: Commands.objects + "/" + name, toPath: objects + "/" + name)
    }
    try Data("broken".utf8).write(to: URL(fileURLWithPath: objects + "/sockops.bpf.o"))
    #expect(throws: MeshError.self) { try KernelDatapath.load(objects: objects, pinDirectory: path, sizes: .small) }
    #expect(PinDirectory.pins(path).isEmpty)
    // An interrupted load's leftovers go with the next one.
    try PinDirectory.makeDirectory(path + "/new-1")
    try PinDirectory.makeDirectory(path + "/new-1/maps")
    let loaded = try KernelDatapath.load(objects: Commands.objects, pinDirectory: path, sizes: .small)
    #expect(PinDirectory.pins(path) == ["v1"])
    _ = loaded
  }

  @Test("adopting keeps the maps and their entries, and swaps the programs under the same links")
  func adopt() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080")
    let maps = try rig.datapath.mapStatus()
    let programs = try rig.datapath.programStatus()
    let links = rig.datapath.pins.links()
    #expect(
      links == [
        "connect4", "connect6", "getsockopt", "lookup-client", "lookup-server", "peername4", "peername6", "recvmsg4",
        "recvmsg6", "sendmsg4", "sendmsg6", "setsockopt", "sockops",
      ])
    try rig.adopt()
    #expect(try rig.datapath.mapStatus().map(\.id) == maps.map(\.id))
    #expect(try rig.datapath.workloads.count() == 4)
    #expect(rig.datapath.config.generation == Rig.generation)
    #expect(rig.datapath.pins.links() == links)
    let new = try DatapathInventory.programs(pinDirectory: rig.pinPath)
    #expect(Set(new.map(\.id)).isDisjoint(with: programs.map(\.id)))
    #expect(new.flatMap(\.links).sorted() == links)
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == 0)
    let listed = try DatapathInventory.maps(pinDirectory: rig.pinPath)
    #expect(listed.count == 28)
    let workloads = try #require(listed.first { $0.name == KernelDatapath.mapName("wload") })
    #expect(workloads.entries == 4)
    #expect(workloads.maxEntries == 65_536)
    #expect(workloads.memory > 0)
  }

  @Test("pins of another layout are refused and left alone (BP-19)")
  func layouts() throws {
    let rig = try Rig.make()
    try PinDirectory.makeDirectory(rig.pinPath + "/v2")
    let newer = #expect(throws: MeshError.self) {
      try KernelDatapath.adopt(objects: Commands.objects, pins: rig.datapath.pins)
    }
    #expect(newer?.code == .conflict)
    #expect(newer?.description.contains("v2") == true)
    rmdir(rig.pinPath + "/v2")
    // The same name, another shape.
    let pods = rig.pinPath + "/v1/maps/" + KernelDatapath.mapName("pods")
    let other = rig.pinPath + "/v1/maps/" + KernelDatapath.mapName("wload")
    unlink(pods)
    #expect(link(other, pods) == 0 || rename(other, pods) == 0)
    let wrong = #expect(throws: MeshError.self) {
      try KernelDatapath.adopt(objects: Commands.objects, pins: rig.datapath.pins)
    }
    #expect(wrong?.code == .conflict)
  }

  @Test("programs stay attached when their owner is gone, and purge leaves nothing")
  func purge() throws {
    let rig = try Rig.make()
    let path = rig.pinPath + "-second"
    try? KernelDatapath.purge(pinDirectory: path)
    var programs: [UInt32] = []
    do {
      let datapath = try KernelDatapath.load(objects: Commands.objects, pinDirectory: path, sizes: .small)
      try datapath.attach(cgroup: rig.cgroup + "/app")
      try datapath.attachSocketOptions(cgroup: rig.cgroup + "/proxy")
      programs = try datapath.programStatus().filter { !$0.links.isEmpty }.map(\.id)
    }
    #expect(programs.count == 11)
    let left = try DatapathInventory.programs(pinDirectory: path)
    #expect(Set(left.map(\.id)) == Set(programs), "all are attached still")
    try KernelDatapath.purge(pinDirectory: path)
    #expect(PinDirectory.pins(path).isEmpty)
    for program in programs {
      var descriptor = cmesh_program_by_id(program)
      // The kernel frees programs after a grace period.
      for _ in 0..<100 where descriptor >= 0 {
        close(descriptor)
        usleep(20_000)
        descriptor = cmesh_program_by_id(program)
      }
      #expect(descriptor == -ENOENT)
    }
    try KernelDatapath.purge(pinDirectory: path)
    _ = try Commands.run(["umount", "-l", path], allowFailure: true)
    rmdir(path)
  }

  @Test("detached is detached, attached again works, and a link whose namespace is gone is found")
  func detach() throws {
    let rig = try Rig.make()
    try rig.serve("server", "\(Rig.serverIP),8080")
    rig.datapath.detachAll()
    #expect(rig.datapath.pins.links().isEmpty)
    #expect(try rig.probe("client", "connect \(Rig.vip) 80 --timeout 0.3").errno != 0, "nothing steers any more")
    try rig.datapath.attach(cgroup: rig.cgroup)
    try rig.attachLookup("server")
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == 0)
    try Commands.ip("netns add \(rig.prefix)gone")
    let gone = "/run/netns/\(rig.prefix)gone"
    let descriptor = open(gone, O_RDONLY | O_CLOEXEC)
    try rig.datapath.attachLookup(namespace: descriptor, name: "gone")
    close(descriptor)
    try Commands.ip("netns del \(rig.prefix)gone")
    var dead: [String] = []
    for _ in 0..<50 where dead.isEmpty {
      dead = rig.datapath.removeDeadLinks()
      usleep(20_000)
    }
    #expect(dead == ["lookup-gone"])
    #expect(throws: MeshError.self) { try rig.datapath.attachLookup(namespace: 0, name: "a/b") }
    #expect(throws: MeshError.self) { try rig.datapath.attach(cgroup: "/tmp") }
  }

  @Test("a full map refuses connections, never lets them pass unredirected (BP-01)")
  func fullMaps() throws {
    var sizes = MapSizes.small
    sizes[.policy] = 4
    sizes[.endpoints] = 2
    let rig = try Rig.make(sizes: sizes)
    try rig.serve("server", "\(Rig.serverIP),8080")
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == 0)
    // The endpoint of a third service does not fit: written services without it refuse.
    let full = #expect(throws: MeshError.self) {
      try rig.service("240.7.0.9", port: 80, id: 90, endpoint: Rig.serverIP, endpointPort: 8080)
    }
    #expect(full?.code == .exhausted)
    try rig.datapath.services.put(
      mesh_service_key(
        address: Rig.address("240.7.0.9"), port_be: UInt16(80).bigEndian, protocol: 6, zero8: 0, zero32: 0),
      mesh_service(service: 90, table: 90, slots: 1, mode: UInt8(MESH_MODE_KERNEL.rawValue), zero8: 0, zero16: 0))
    #expect(try rig.probe("client", "connect 240.7.0.9 80").errno == Int(ECONNREFUSED))
    #expect(try rig.count(MESH_HOOK_CONNECT, MESH_REASON_MAP_ERROR) == 1)
    // The same for policy: a group without rows refuses.
    try rig.guardWorkload(Rig.server, group: 77)
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == Int(ECONNREFUSED))
    #expect(try rig.count(MESH_HOOK_CONNECT, MESH_REASON_MAP_ERROR) == 2)
  }

  @Test("an evicted flow ends in refusal or in the judgement of a stranger, never in a pass with identity (BP-02)")
  func eviction() throws {
    let rig = try Rig.make()
    try rig.service("240.7.0.3", port: 80, id: 30, endpoint: Rig.serverIP, mode: MESH_MODE_PROXY)
    try rig.serve("client", "127.0.0.1,15001", cgroup: "proxy")
    try rig.serve("server", "\(Rig.serverIP),8080")
    try rig.rule(group: 5, sourceClass: 3, allow: true)
    try rig.rule(group: 5, allow: false)
    try rig.guardWorkload(Rig.server, group: 5)
    try rig.datapath.classes.put(
      mesh_class_key(generation: Rig.generation, workload: Rig.client, family: 4, zero32: 0), 3)
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == 0)
    // sockops carries the flow; without it nothing is published, as if it had been evicted at once.
    let sockops = try BPFLink.pinned("sockops", path: rig.datapath.pins.linkPath("sockops"))
    sockops.detach()
    #expect(try rig.probe("client", "connect \(Rig.vip) 80").errno == Int(ECONNREFUSED))
    let relayed = try rig.probe("client", "connect 240.7.0.3 80")
    #expect(relayed.seenFlow == nil, "the relay finds no flow and closes")
  }

  @Test("100 swaps of every program under connects: none fails, none goes unsteered (BP-18)")
  func swaps() throws {
    let rig = try Rig.make()
    let loop = try Commands.connectLoop()
    try rig.serve(words: rig.words("server", [loop, "serve", Rig.serverIP, "8080"]))
    // One thread connects as fast as it can, another asks each time where it arrived.
    // Words, not the rig: a thread that still holds it would keep its namespaces past the test.
    let storm = Self.inBackground(
      rig.words("client", [Commands.python, Commands.probe, "storm", Rig.vip, "80", "--seconds", "8"]))
    let load = Self.inBackground(rig.words("client", [loop, "connect", Rig.vip, "80", "8"]))
    for _ in 0..<100 { try rig.datapath.replacePrograms() }
    for _ in 0..<3 { try rig.adopt() }
    let (answer, calls) = (try storm(), try load())
    #expect(answer.errnos.keys.sorted() == ["0"], "\(answer.errnos)")
    #expect((answer.errnos["0"] ?? 0) > 500)
    #expect(calls.errnos["111"] == 0 && calls.errnos["-1"] == 0, "\(calls.errnos)")
    let connections = (calls.errnos["0"] ?? 0) + (answer.errnos["0"] ?? 0)
    print("BP-18: \(connections / 8) connections/s while every program was replaced 100 times")
    #expect(connections > 8_000)
    #expect(answer.strings("peers") == [Rig.vip])
  }

  /// Runs to the end in a thread of its own; the result is waited for.
  private static func inBackground(_ words: [String]) -> () throws -> Answer {
    nonisolated(unsafe) var result: Result<Answer, any Error>?
    let done = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      result = Result { try Answer(try Commands.run(words)) }
      done.signal()
    }
    return {
      done.wait()
      guard let result else { throw Commands.Failure(description: "no result") }
      return try result.get()
    }
  }
}
