import MeshBase
import Testing

@Suite("CanaryAnswer")
struct CanaryAnswerTests {
  @Test("is sixteen bytes, big-endian, and nothing else is one")
  func bytes() {
    let answer = CanaryAnswer(namespaceCookie: 0x0102_0304_0506_0708, socketCookie: .max - 1)
    #expect(answer.bytes == [1, 2, 3, 4, 5, 6, 7, 8, 255, 255, 255, 255, 255, 255, 255, 254])
    #expect(answer.bytes.count == CanaryAnswer.size)
    #expect(CanaryAnswer(answer.bytes) == answer)
    #expect(CanaryAnswer(answer.bytes.dropLast()) == nil)
    #expect(CanaryAnswer(answer.bytes + [0]) == nil)
    #expect(CanaryAnswer([]) == nil)
  }
}
