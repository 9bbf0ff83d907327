import MeshBase
import MeshLink
import MeshSnapshot
import Testing

@Suite struct RevisionTests {
  @Test("a snapshot changes at commit and not before; changes build on the committed one")
  func assembles() throws {
    let full = try sampleSnapshot()
    var assembler = RevisionAssembler()
    try assembler.begin(revision: 1, isFull: true)
    #expect(assembler.phase == .collecting(revision: 1))
    for entry in full.entries { try assembler.upsert(entry) }
    #expect(assembler.committed.isEmpty)
    #expect(try assembler.commit(revision: 1) == full)
    #expect(assembler.phase == .idle)
    try assembler.begin(revision: 2, isFull: false)
    try assembler.remove(EntryKey(.service, "a/web-0"))
    #expect(assembler.committed == full)
    #expect(try assembler.commit(revision: 2).count == full.count - 1)
  }

  @Test("messages out of order are errors, and the committed snapshot stays")
  func outOfOrder() throws {
    let entry = try #require(try sampleSnapshot().entries.first)
    var assembler = RevisionAssembler()
    #expect(throws: MeshError.self) { try assembler.upsert(entry) }
    #expect(throws: MeshError.self) { try assembler.remove(entry.value.key) }
    #expect(throws: MeshError.self) { _ = try assembler.commit(revision: 1) }
    #expect(throws: MeshError.self) { try assembler.begin(revision: 1, isFull: false) }
    try assembler.begin(revision: 1, isFull: true)
    #expect(throws: MeshError.self) { try assembler.begin(revision: 2, isFull: true) }
    try assembler.upsert(entry)
    #expect(throws: MeshError.self) { _ = try assembler.commit(revision: 2) }
    _ = try assembler.commit(revision: 1)
    try assembler.begin(revision: 2, isFull: true)
    assembler.reset()
    #expect(assembler.phase == .idle)
    #expect(assembler.committed.count == 1)
    #expect(throws: MeshError.self) { try assembler.begin(revision: 3, isFull: false) }
  }

  @Test("one revision is under way at a time, and what comes meanwhile is sent as one")
  func publishes() throws {
    let two = try sampleSnapshot(services: 2)
    let three = try sampleSnapshot(services: 3)
    let five = try sampleSnapshot(services: 5)
    var machine = PublishMachine()
    #expect(machine.publish(two, revision: 1) == .none)
    #expect(machine.phase == .disconnected)
    #expect(machine.connected() == .send(revision: 1, isFull: true, two.diff(from: Snapshot())))
    #expect(machine.phase == .sending(revision: 1))
    #expect(machine.publish(three, revision: 2) == .none)
    #expect(machine.publish(five, revision: 3) == .none)
    #expect(machine.publish(two, revision: 2) == .none)
    #expect(machine.applied(revision: 9) == .none)
    #expect(machine.applied(revision: 1) == .send(revision: 3, isFull: false, five.diff(from: two)))
    #expect(machine.applied(revision: 3) == .none)
    #expect(machine.phase == .current(revision: 3))
    machine.disconnected()
    #expect(machine.connected() == .send(revision: 3, isFull: true, five.diff(from: Snapshot())))
  }

  @Test("before anything is published a proxy is sent nothing, and then an empty snapshot is a revision too")
  func nothing() {
    var machine = PublishMachine()
    #expect(machine.connected() == .none)
    #expect(machine.phase == .current(revision: nil))
    #expect(machine.publish(Snapshot(), revision: 1) == .send(revision: 1, isFull: true, Delta()))
  }

  @Test("the header of descriptors survives; every other length, layout, kind, family and count is refused")
  func header() throws {
    let header = DescriptorHeader(
      kind: .stock, isV4: false, leg: 1, workload: 0xdead_beef, count: 3, namespaceCookie: 0x0123_4567_89ab_cdef,
      destination: IPAddress("fd00::7"))
    let bytes = header.bytes
    #expect(bytes.count == DescriptorHeader.size)
    #expect(try DescriptorHeader(bytes: bytes, descriptors: 3) == header)
    for descriptors in [0, 1, 2, 4, 64] {
      #expect(throws: MeshError.self) { try DescriptorHeader(bytes: bytes, descriptors: descriptors) }
    }
    for length in 0..<bytes.count {
      #expect(throws: MeshError.self) { try DescriptorHeader(bytes: bytes[..<length], descriptors: 3) }
    }
    #expect(throws: MeshError.self) { try DescriptorHeader(bytes: bytes + [0], descriptors: 3) }
    for index in 0..<7 {
      var bad = bytes
      bad[index] ^= 0x40
      #expect(throws: MeshError.self) { try DescriptorHeader(bytes: bad, descriptors: 3) }
    }
    let listeners = DescriptorHeader(kind: .listener, isV4: true, workload: 1, count: 2, namespaceCookie: 1)
    #expect(throws: MeshError.self) { try DescriptorHeader(bytes: listeners.bytes, descriptors: 2) }
  }
}
