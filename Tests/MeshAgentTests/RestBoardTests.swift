import MeshLinux
import Testing

@testable import MeshAgent

@Suite("RestBoard")
struct RestBoardTests {
  private static func board(_ count: Int, areMounts: Bool = true) -> RestBoard {
    var board = RestBoard()
    board.keep(
      places: (0..<count).map {
        RestBoard.Place(path: "/\($0)", id: FileID(device: 1, inode: UInt64($0)), isMount: areMounts)
      })
    return board
  }

  private static func id(_ path: String) -> FileID? {
    UInt64(path.dropFirst()).map { FileID(device: 1, inode: $0) }
  }

  @Test("each reader is told once of a change, and again if it is not done")
  func readers() {
    var board = RestBoard()
    #expect(board.isNew(for: .status) && board.isNew(for: .canaries))
    #expect(board.isNew(for: .status) == false)
    board.changed()
    #expect(board.isNew(for: .status) && !board.isNew(for: .status) && board.isNew(for: .canaries))
    board.again(.canaries)
    #expect(board.isNew(for: .canaries) && !board.isNew(for: .status))
  }

  @Test("at rest sixteen looks are at every mount once, and two at every other place", arguments: [true, false])
  func parts(areMounts: Bool) {
    var board = Self.board(17, areMounts: areMounts)
    var looked: [String] = []
    for _ in 0..<(areMounts ? 16 : 2) {
      let isSame = board.areAsTheyWere(afterEvent: false) { path in
        looked.append(path)
        return Self.id(path)
      }
      #expect(isSame)
    }
    #expect(looked.sorted() == (0..<17).map { "/\($0)" }.sorted())
  }

  @Test(
    "after an event one look is at all places, and finds the one that is another or gone", arguments: [nil, UInt64(9)])
  func event(inode: UInt64?) {
    for changed in 0..<4 {
      var board = Self.board(4)
      #expect(board.areAsTheyWere(afterEvent: true, Self.id) == true)
      let isSame = board.areAsTheyWere(afterEvent: true) { path in
        path == "/\(changed)" ? inode.map { FileID(device: 1, inode: $0) } : Self.id(path)
      }
      #expect(!isSame)
    }
  }

  @Test("where places are not enough to tell, nothing is as it was")
  func unknown() {
    var board = Self.board(1)
    board.keep(places: nil)
    let isSame = board.areAsTheyWere(afterEvent: false, Self.id)
    #expect(!isSame)
  }
}
