import MeshHTTP
import MeshRouting

/// Copies of a request for its rule's mirrors, which get the head and the body as the client sends them.
extension HTTP2Exchange {
  func beginMirrors(_ direction: HTTPDirection) {
    self.beginMirrors(direction.mirrors) { self.mirrorHead(direction, $0) }
  }

  private func mirrorHead(_ direction: HTTPDirection, _ target: HTTPMirrorTarget) -> HTTPMirrorCall.Head? {
    if target.speaksHTTP2 {
      let block = try? HTTPBridge.request(
        self.head, ends: self.dispatch.isWhole, edit: direction.requestEdit, passage: self.loop.passage,
        target: direction.target, authority: direction.authority)
      return block.map { .http2($0) }
    }
    var bytes: [UInt8] = []
    let framing = try? HTTPBridge.request(
      self.head, ends: self.dispatch.isWhole, edit: direction.requestEdit, passage: self.loop.passage,
      target: direction.target,
      authority: direction.authority, to: &bytes)
    return framing.map { .http1(bytes, $0) }
  }

  func mirrorEnd() {
    var end = HTTPMirrorEnd()
    HTTPBridge.lastChunk(self.trailers, to: &end.chunk)
    end.block = self.trailers.flatMap { HTTPBridge.trailers($0) }
    self.endMirrors(end)
  }
}
