import Foundation
import MeshBase
import Testing

@testable import MeshBPF

/// The CHECK programs of bpf/tests, and the verifier's work per program. They need the kernel, not a network.
@Suite(.serialized)
struct CheckRootTests {
  static let names = [
    "address", "edges", "flows", "handoff", "memo", "names", "policy", "relay", "source", "steer", "transfer",
  ]

  @Test("every CHECK program of bpf/tests returns 0", arguments: Self.names)
  func checks(name: String) throws {
    let object = try BPFObject(path: Commands.objects + "/tests/\(name).test.bpf.o")
    try object.load()
    #expect(!object.programNames.isEmpty)
    for program in object.programNames {
      let line = try object.run(program: program)
      #expect(line == 0, "bpf/tests/\(name).test.bpf.c:\(line): \(program)")
    }
  }

  @Test("no CHECK object is left out of the list above")
  func complete() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Commands.objects + "/tests")
    let names = files.filter { $0.hasSuffix(".test.bpf.o") }.sorted()
    #expect(names == Self.names.map { $0 + ".test.bpf.o" })
  }

  @Test("the verifier stays within the instruction budget of bpf/limits.json")
  func limits() throws {
    let data = try Data(contentsOf: URL(fileURLWithPath: Commands.repository + "/bpf/limits.json"))
    let limits = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Int])
    let loaded = try DatapathLoader.load(directory: Commands.objects, sizes: .small, pinned: [:])
    #expect(Set(loaded.programs.keys) == Set(limits.keys))
    for (name, program) in loaded.programs {
      let status = try DatapathInventory.status(program.rawValue, name)
      let limit = try #require(limits[name])
      #expect(Int(status.verifiedInstructions) <= limit, "\(name) takes \(status.verifiedInstructions)")
      #expect(status.verifiedInstructions > 0)
      #expect(status.name == name)
    }
  }

  @Test("a missing object and a broken one are errors with a cause, and nothing goes to standard error")
  func broken() throws {
    let missing = #expect(throws: MeshError.self) { try BPFObject(path: "/nonexistent/x.bpf.o") }
    #expect(missing?.code == .notFound)
    let path = NSTemporaryDirectory() + "mt-bpf-\(getpid())-broken.bpf.o"
    try Data("not an object".utf8).write(to: URL(fileURLWithPath: path))
    defer { unlink(path) }
    let broken = #expect(throws: MeshError.self) { try BPFObject(path: path) }
    #expect(broken?.cause?.contains("libbpf") == true)
  }

  @Test("a map whose sizes are not those of the Swift types is refused")
  func sizes() throws {
    let loaded = try DatapathLoader.load(directory: Commands.objects, sizes: .small, pinned: [:])
    let pods = try #require(loaded.maps[KernelDatapath.mapName("pods")])
    let error = #expect(throws: MeshError.self) { try BPFMap<UInt32, UInt32>(name: "pods", descriptor: pods.rawValue) }
    #expect(error?.code == .conflict)
  }

  @Test("put, get, list, batch and delete agree with each other across batch borders")
  func table() throws {
    let loaded = try DatapathLoader.load(directory: Commands.objects, sizes: .small, pinned: [:])
    let descriptor = try #require(loaded.maps[KernelDatapath.mapName("classes")]).rawValue
    let map = try BPFMap<UInt128Key, UInt32>(name: "classes", descriptor: descriptor)
    let batch = (0..<20_000).map { (key: UInt128Key(low: UInt64($0), high: 1), value: UInt32($0)) }
    try map.put(batch: batch)
    #expect(try map.count() == 20_000)
    #expect(try map.get(UInt128Key(low: 17, high: 1)) == 17)
    #expect(try map.get(UInt128Key(low: 17, high: 2)) == nil)
    let listed = try map.entries()
    #expect(Set(listed.map(\.value)) == Set(0..<20_000))
    #expect(listed.allSatisfy { $0.key.low == UInt64($0.value) })
    // Every second key is missing already: a batch does not stop there.
    for index in stride(from: 0, to: 200, by: 2) { #expect(try map.delete(UInt128Key(low: UInt64(index), high: 1))) }
    #expect(try map.delete(UInt128Key(low: 0, high: 1)) == false)
    try map.delete(batch: (0..<20_000).map { UInt128Key(low: UInt64($0), high: 1) })
    #expect(try map.count() == 0)
    let twice = #expect(throws: MeshError.self) {
      try map.put(UInt128Key(low: 1, high: 1), 1)
      try map.put(UInt128Key(low: 1, high: 1), 1, .onlyNew)
    }
    #expect(twice?.code == .conflict)
  }

  struct UInt128Key: BitwiseCopyable, Sendable {
    var low: UInt64
    var high: UInt64
  }
}
