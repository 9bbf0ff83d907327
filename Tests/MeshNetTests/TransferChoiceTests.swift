import MeshNet
import Testing

@Suite struct TransferChoiceTests {
  @Test("a read that fills the buffer begins splicing, a smaller one does not")
  func begins() {
    var choice = TransferChoice()
    choice.record(TransferChoice.bufferSize - 1)
    #expect(choice.way == .copy)
    choice.record(TransferChoice.bufferSize)
    #expect(choice.way == .splice)
  }

  @Test("small moves in a row end splicing, a large one between them does not let them add up")
  func ends() {
    var choice = TransferChoice()
    choice.record(TransferChoice.bufferSize)
    for _ in 1..<TransferChoice.patience { choice.record(TransferChoice.small - 1) }
    choice.record(TransferChoice.small)
    for _ in 1..<TransferChoice.patience { choice.record(1) }
    #expect(choice.way == .splice)
    choice.record(1)
    #expect(choice.way == .copy)
    choice.record(1)
    #expect(choice.way == .copy)
  }

  @Test("without a pipe it copies until the next full read")
  func noPipe() {
    var choice = TransferChoice()
    choice.record(TransferChoice.bufferSize)
    choice.copy()
    #expect(choice.way == .copy)
    choice.record(TransferChoice.bufferSize)
    #expect(choice.way == .splice)
  }
}
