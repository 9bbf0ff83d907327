import MeshLinux
import Testing

@testable import MeshAgent

@Suite("Which listeners systemd keeps")
struct ListenerStoreTests {
  private typealias Key = ListenerAdoption.Key
  private static let first = Key(cookie: 1, isV4: true)
  private static let second = Key(cookie: 2, isV4: false)

  @Test("what is wanted and not kept is stored, once")
  func stores() {
    var store = ListenerStore()
    #expect(
      Set(store.actions(wanted: [Self.first, Self.second], isComplete: true)) == [
        .store(Self.first), .store(Self.second),
      ])
    store.done(.store(Self.first))
    #expect(store.actions(wanted: [Self.first, Self.second], isComplete: true) == [.store(Self.second)])
    store.done(.store(Self.second))
    #expect(store.actions(wanted: [Self.first, Self.second], isComplete: true) == [])
  }

  @Test("each kind of socket of a namespace has a name of its own")
  func kinds() {
    let kinds: [ListenerAdoption.Kind] = [.outbound, .nameDatagrams, .nameListener]
    let names = kinds.flatMap { kind in
      [true, false].map { ListenerStore.name(of: Key(cookie: 7, isV4: $0, kind: kind)) }
    }
    #expect(
      names == [
        "outbound-v4-7", "outbound-v6-7", "names-udp-v4-7", "names-udp-v6-7", "names-tcp-v4-7", "names-tcp-v6-7",
      ])
  }

  @Test("what was handed back and is still wanted is left alone")
  func adopts() {
    let store = ListenerStore(kept: [Self.first])
    #expect(store.actions(wanted: [Self.first], isComplete: true) == [])
  }

  @Test("what is stale is removed, but not before everything is known")
  func removes() {
    var store = ListenerStore(kept: [Self.first, Self.second], strange: ["stored"])
    #expect(store.actions(wanted: [Self.second], isComplete: false) == [])
    let actions = store.actions(wanted: [Self.second], isComplete: true)
    #expect(Set(actions) == [.remove(ListenerStore.name(of: Self.first)), .remove("stored")])
    for action in actions { store.done(action) }
    #expect(store == ListenerStore(kept: [Self.second]))
    #expect(store.actions(wanted: [Self.second], isComplete: true) == [])
  }

  @Test("what could not be said is said again")
  func again() {
    let store = ListenerStore()
    #expect(store.actions(wanted: [Self.first], isComplete: false) == [.store(Self.first)])
    #expect(store.actions(wanted: [Self.first], isComplete: false) == [.store(Self.first)])
  }

  @Test("every name is one that systemd takes, and belongs to one listener")
  func names() {
    var names: Set<String> = []
    for cookie in [0, 1, UInt64.max] {
      for isV4 in [true, false] {
        let name = ListenerStore.name(of: Key(cookie: cookie, isV4: isV4))
        #expect(ServiceNotice.store(name: name) != nil)
        names.insert(name)
      }
    }
    #expect(names.count == 6)
  }
}
