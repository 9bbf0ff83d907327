import MeshDatapath
import Testing

@Suite("Identifiers")
struct IdentifiersTests {
  @Test("A name keeps its number; numbers are never 0 and never shared")
  func stable() {
    var identifiers = Identifiers()
    var seen: Set<UInt32> = [0]
    for index in 0..<1000 {
      #expect(seen.insert(identifiers.take(.workload, "w\(index)", now: .zero)).inserted)
    }
    #expect(identifiers.take(.workload, "w7", now: .zero) == identifiers.number(.workload, "w7"))
    #expect(identifiers.name(.workload, identifiers.take(.workload, "w7", now: .zero)) == "w7")
    #expect(identifiers.number(.service, "w7") == nil)
    #expect(identifiers.count(.workload) == 1000)
  }

  @Test("A freed number rests 60 s, resolves meanwhile, and goes back to its name if that returns")
  func rest() {
    var identifiers = Identifiers(.init(next: [.table: .max]))
    let last = identifiers.take(.table, "a", now: .zero)
    #expect(last == .max)
    // The numbers begin again at 1, past 0.
    #expect(identifiers.take(.table, "b", now: .zero) == 1)
    identifiers.release(.table, "a", now: .seconds(10))
    identifiers.expire(now: .seconds(69))
    #expect(identifiers.name(.table, last) == "a")
    #expect(identifiers.count(.table) == 1)
    #expect(identifiers.names(.table) == ["b"])
    #expect(identifiers.take(.table, "a", now: .seconds(69)) == last)
    identifiers.expire(now: .seconds(1000))
    #expect(identifiers.name(.table, last) == "a")
    identifiers.release(.table, "a", now: .seconds(1000))
    identifiers.expire(now: .seconds(1060))
    #expect(identifiers.name(.table, last) == nil)
    #expect(identifiers.number(.table, "a") == nil)
  }

  @Test("A resting number is not given to another name, though its turn has come")
  func noReuse() {
    var identifiers = Identifiers()
    #expect(identifiers.take(.group, "a", now: .zero) == 1)
    identifiers.release(.group, "a", now: .zero)
    var again = Identifiers(.init(numbers: identifiers.exported.numbers, next: [.group: 1]))
    again.release(.group, "a", now: .zero)
    #expect(again.take(.group, "b", now: .seconds(59)) == 2)
  }

  @Test("Export and import keep every number and where the next is sought")
  func export() {
    var identifiers = Identifiers()
    for index in 0..<10 { _ = identifiers.take(.policy, "p\(index)", now: .zero) }
    identifiers.release(.policy, "p9", now: .zero)
    identifiers.expire(now: .seconds(60))
    var restored = Identifiers(identifiers.exported)
    #expect(restored.exported == identifiers.exported)
    #expect(restored.take(.policy, "p3", now: .zero) == identifiers.number(.policy, "p3"))
    // Not 10, which the agent before may have freed just now.
    #expect(restored.take(.policy, "new", now: .zero) == 11)
  }

  @Test("Zero and double numbers of a damaged file are left out")
  func damaged() {
    var identifiers = Identifiers(.init(numbers: [.service: ["a": 0, "b": 5, "c": 5]], next: [.service: 0]))
    #expect(identifiers.number(.service, "a") == nil)
    #expect(identifiers.number(.service, "b") == 5)
    #expect(identifiers.number(.service, "c") == nil)
    #expect(identifiers.take(.service, "c", now: .zero) == 1)
  }

  @Test("A number found in a map is not given out while it rests")
  func reserve() {
    var identifiers = Identifiers()
    identifiers.reserve(.table, 1, now: .zero)
    identifiers.reserve(.table, 0, now: .zero)
    #expect(identifiers.take(.table, "a", now: .zero) == 2)
    identifiers.expire(now: .seconds(60))
    #expect(identifiers.name(.table, 1) == nil)
    #expect(identifiers.count(.table) == 1)
  }
}
