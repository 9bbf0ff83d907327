import MeshLinux
import Testing

@testable import MeshAgent

@Suite("The network of a host that a workload is in")
struct NetworkSegmentTests {
  private func bridge(_ name: String, isUp: Bool = true) -> InterfacePlace { InterfacePlace(master: name, isUp: isUp) }

  @Test("bridges are believed at once, sorted, each once; a link that is down stays in its own")
  func bridges() {
    var segment = NetworkSegment()
    segment.looked([self.bridge("podman1"), self.bridge("podman0"), self.bridge("podman0")], now: 0)
    #expect(segment.name == "podman0+podman1" && segment.isSettled)
    segment.looked([self.bridge("podman0", isUp: false)], now: 1)
    #expect(segment.name == "podman0" && segment.isSettled)
  }

  @Test("nothing is said before there is a veth, and none that is down and in no bridge says anything")
  func nothing() {
    var segment = NetworkSegment()
    segment.looked([], now: 0)
    #expect(segment.name == nil && segment.isSettled)
    segment.looked([InterfacePlace(master: nil, isUp: false)], now: 10_000)
    #expect(segment.name == nil && segment.isSettled)
  }

  @Test("what was known stays while its veth is gone, or on its way back")
  func kept() {
    var segment = NetworkSegment()
    segment.looked([self.bridge("podman0")], now: 0)
    segment.looked([], now: 10_000)
    #expect(segment.name == "podman0")
    segment.looked([InterfacePlace(master: nil, isUp: false)], now: 20_000)
    #expect(segment.name == "podman0")
    segment.looked([InterfacePlace(master: nil, isUp: true)], now: 30_000)
    #expect(segment.name == "podman0" && !segment.isSettled)
    segment.looked([self.bridge("podman1")], now: 30_100)
    #expect(segment.name == "podman1" && segment.isSettled)
  }

  @Test(
    "an interface that the host routes itself is believed after two seconds, and at once where it was before this agent"
  )
  func routed() {
    let up = InterfacePlace(master: nil, isUp: true)
    var segment = NetworkSegment()
    segment.looked([up], now: 100)
    #expect(segment.name == nil && !segment.isSettled)
    segment.looked([up], now: 2099)
    #expect(segment.name == nil && !segment.isSettled)
    segment.looked([up], now: 2100)
    #expect(segment.name == "" && segment.isSettled)
    segment.looked([up], now: 2200)
    #expect(segment.name == "" && segment.isSettled)

    var old = NetworkSegment()
    old.looked([up], now: 100, isNew: false)
    #expect(old.name == "" && old.isSettled)
  }

  @Test("a second interface that is in no bridge says nothing beside one that is")
  func mixed() {
    var segment = NetworkSegment()
    segment.looked([InterfacePlace(master: nil, isUp: true), self.bridge("podman0")], now: 0)
    #expect(segment.name == "podman0" && segment.isSettled)
  }
}
