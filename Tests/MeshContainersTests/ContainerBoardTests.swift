import MeshBase
import MeshSnapshot
import Testing

@testable import MeshContainers

@Suite("What is known of all containers")
struct ContainerBoardTests {
  private let web = ContainerRecord(id: "aaaaaaaaaaaa1", name: "web", labels: ["app": "web"], process: 10)

  private func process(_ match: ContainerBoard.Match) -> Int32? {
    if case .running(let record) = match { record.process } else { nil }
  }

  @Test("a running container is found by name, by the beginning of its id and by labels")
  func match() {
    let board = ContainerBoard([self.web, ContainerRecord(id: "b", name: "old", labels: ["app": "old"])])
    for selector: ContainerSelector in [
      .name("web"), .id("aaaaaaaaaaaa"), .labels(["app": "web"]),
    ] { #expect(board.match(selector) == .running(self.web)) }
    for selector: ContainerSelector in [
      .name("old"), .id("aaaaaaaaaaab"), .labels(["app": "web", "x": "y"]), .name("we"),
    ] { #expect(board.match(selector) == .none) }
  }

  @Test("of several the one with the least id is the workload")
  func several() {
    var board = ContainerBoard()
    for number: Int32 in [3, 1, 2] { board.created(id: "c\(number)", process: number + 10, name: "web") }
    #expect(self.process(board.match(.name("web"))) == 11)
    // One that has the workload keeps it while it runs.
    #expect(self.process(board.match(.name("web"), preferring: "c2")) == 12)
    board.ended("c2")
    #expect(self.process(board.match(.name("web"), preferring: "c2")) == 11)
    #expect(self.process(board.match(.name("web"), preferring: "gone")) == 11)
  }

  @Test("a container that is about to be created is known by its event and its hook, before the list has it")
  func creation() {
    var board = ContainerBoard()
    board.created(id: "a", process: 5, name: "web")
    #expect(board.match(.labels(["app": "web"])) == .undetermined)
    #expect(self.process(board.match(.name("web"))) == 5)
    board.apply(ContainerEvent(.made, id: "a", name: "web", labels: ["app": "web"]))
    #expect(self.process(board.match(.labels(["app": "web"]))) == 5)
    // The list was made before: without a process, or without the container.
    board.list([ContainerRecord(id: "a", name: "web", labels: ["app": "web"])], living: ["a"])
    #expect(self.process(board.match(.name("web"))) == 5)
    board.list([], living: ["a"])
    #expect(self.process(board.match(.name("web"))) == 5)
  }

  @Test("a restart: a late list does not bring the old process back")
  func restart() {
    var board = ContainerBoard([self.web])
    board.created(id: self.web.id, process: 20, name: nil)
    board.list([self.web], living: [self.web.id])
    #expect(self.process(board.match(.name("web"))) == 20)
    board.ended(self.web.id)
    #expect(board.match(.name("web")) == .none)
    board.list([self.web], living: [])
    #expect(self.process(board.match(.name("web"))) == 10)
  }

  @Test("removal is the end; the end of a nameless one as well")
  func removal() {
    var board = ContainerBoard([self.web])
    board.apply(ContainerEvent(.removed, id: self.web.id))
    board.created(id: "b", process: 3, name: nil)
    board.ended("b")
    #expect(board.containers.isEmpty)
  }

  @Test("a flood of containers is bounded")
  func flood() {
    var board = ContainerBoard()
    for number in 0..<(ContainerBoard.maximumContainers + 100) {
      board.apply(ContainerEvent(.made, id: "c\(number)", name: "n", labels: [:]))
    }
    board.created(id: "late", process: 5, name: "late")
    #expect(board.containers.count == ContainerBoard.maximumContainers)
  }

  @Test("selectors refuse what is none")
  func selectors() {
    #expect(ContainerSelector.isID("0123456789ab") && !ContainerSelector.isID("0123456789a"))
    #expect(!ContainerSelector.isID("0123456789AB") && !ContainerSelector.isID(String(repeating: "a", count: 65)))
    #expect(
      ContainerSelector.isName("web-1_x.y") && !ContainerSelector.isName("-web") && !ContainerSelector.isName("a/b"))
    #expect(!ContainerSelector.isLabel("", "x") && !ContainerSelector.isLabel("a\n", "x"))
  }

  @Test(
    "a process that ran before the hook asked for it is told of once, start after start; one of a predecessor's is not")
  func withoutHook() {
    var board = ContainerBoard([self.web])
    let restored = board.beganWithoutHook(self.web.id)
    board.list([ContainerRecord(id: "a", name: "late", process: 5), self.web], living: [self.web.id])
    let late = [board.beganWithoutHook("a"), board.beganWithoutHook("a")]
    // The hook is there now: what it asked for is said nothing of, whatever lists come.
    board.created(id: "a", process: 6, name: "late")
    board.list([ContainerRecord(id: "a", name: "late", process: 6)], living: ["a"])
    let asked = board.beganWithoutHook("a")
    // And is gone again.
    board.list([ContainerRecord(id: "a", name: "late", process: 7)], living: [])
    let again = board.beganWithoutHook("a")
    board.ended("a")
    let others = [board.beganWithoutHook("a"), board.beganWithoutHook("nobody")]
    #expect(!restored)
    #expect(late == [true, false])
    #expect(!asked)
    #expect(again)
    #expect(others == [false, false])
  }
}
