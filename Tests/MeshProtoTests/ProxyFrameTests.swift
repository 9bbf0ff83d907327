import MeshBase
import MeshProto
import MeshSnapshot
import MeshTestSupport
import Testing

@Suite("The stream from agent to proxy")
struct ProxyFrameTests {
  private func frames() throws -> [ProxyFrame] {
    let snapshot = try Sample.snapshot()
    let delta = Delta(upserts: [snapshot.entries[0]], removals: [EntryKey(.service, "shop/web")])
    return ProxyFrame.frames(of: snapshot, revision: 1) + ProxyFrame.frames(of: delta, revision: .max) + [
      .applied(revision: 1, error: nil), .applied(revision: 2, error: "no"),
    ]
  }

  @Test("frames come out as they went in: whole, merged, and byte by byte")
  func pieces() throws {
    let frames = try self.frames()
    let bytes = frames.flatMap { $0.encoded() }
    for size in [1, 2, 3, 7, 64, bytes.count] {
      var decoder = FrameDecoder()
      var decoded: [ProxyFrame] = []
      for start in stride(from: 0, to: bytes.count, by: size) {
        decoder.append(bytes[start..<min(start + size, bytes.count)])
        while let frame = try decoder.next() { decoded.append(frame) }
      }
      #expect(decoded == frames)
      #expect(decoder.bufferedCount == 0)
    }
  }

  @Test("a frame that is too large is refused by its length, before its bytes come")
  func tooLarge() {
    var decoder = FrameDecoder()
    decoder.append([0xff, 0xff, 0xff, 0xff])
    #expect(throws: MeshError.self) { try decoder.next() }
  }

  @Test("an empty frame and noise are errors, not traps")
  func noise() throws {
    var decoder = FrameDecoder()
    decoder.append([0, 0, 0, 0])
    #expect(throws: MeshError.self) { try decoder.next() }
    var random = SplitMix64(seed: 2)
    for _ in 0..<2000 {
      let body = (0..<Int.random(in: 0...40, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      _ = try? ProxyFrame(body: body)
    }
  }
}
