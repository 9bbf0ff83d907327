import MeshBase
import MeshLinux
import Testing

@testable import MeshAgent

@Suite("Which workloads are enrolled and let go")
struct EnrolmentTests {
  let web: ResourceName
  let db: ResourceName
  let first = FileID(device: 4, inode: 1)
  let second = FileID(device: 4, inode: 2)

  init() throws {
    self.web = try #require(ResourceName("shop/web"))
    self.db = try #require(ResourceName("shop/db"))
  }

  @Test("enrols what is wanted and there")
  func enrol() {
    let actions = Enrolment.actions(wanted: [web: "/a", db: "/b"], enrolled: [:]) { $0 == "/a" ? first : nil }
    #expect(actions == [.enrol(web, path: "/a", first)])
  }

  @Test("leaves alone what is as it should be")
  func settled() {
    #expect(Enrolment.actions(wanted: [web: "/a"], enrolled: [web: first]) { _ in first } == [])
  }

  @Test("withdraws what is no longer wanted, and what vanished")
  func withdraw() {
    #expect(Enrolment.actions(wanted: [:], enrolled: [web: first]) { _ in first } == [.withdraw(web, .removed)])
    #expect(Enrolment.actions(wanted: [web: "/a"], enrolled: [web: first]) { _ in nil } == [.withdraw(web, .vanished)])
  }

  @Test("F-14: a namespace replaced under the same path is let go and enrolled anew")
  func replaced() {
    let actions = Enrolment.actions(wanted: [web: "/a"], enrolled: [web: first]) { _ in second }
    #expect(actions == [.withdraw(web, .replaced), .enrol(web, path: "/a", second)])
  }

  @Test("two workloads cannot own one namespace: the present owner keeps it, else the first by name")
  func conflict() {
    #expect(
      Enrolment.actions(wanted: [web: "/a", db: "/a"], enrolled: [web: first]) { _ in first }
        == [.refuse(db, path: "/a", owner: web)])
    #expect(
      Enrolment.actions(wanted: [web: "/a", db: "/a"], enrolled: [:]) { _ in first }
        == [.enrol(db, path: "/a", first), .refuse(web, path: "/a", owner: db)])
  }

  @Test("a namespace that changes hands is withdrawn before it is enrolled")
  func changesHands() {
    #expect(
      Enrolment.actions(wanted: [db: "/a"], enrolled: [web: first]) { _ in first }
        == [.withdraw(web, .removed), .enrol(db, path: "/a", first)])
  }
}
