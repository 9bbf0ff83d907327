import MeshHTTP
import MeshRouting

/// Copies of a request for its rule's mirrors, which get the head and the body as the client sends them.
extension HTTP2Exchange {
  func beginMirrors(_ direction: HTTPDirection) {
    for target in direction.mirrors {
      guard let head = self.mirrorHead(direction, target) else {
        self.loop.noteMirror(.unsayable, of: self.server.flow)
        continue
      }
      let call = self.loop.mirror(
        head, to: target, isHead: self.isHead, isWhole: self.isWhole, of: self.server.flow, from: self)
      if let call, !self.isWhole { self.mirrors.append(call) }
    }
  }

  private func mirrorHead(_ direction: HTTPDirection, _ target: HTTPMirrorTarget) -> HTTPMirrorCall.Head? {
    if target.speaksHTTP2 {
      let block = try? HTTPBridge.request(
        self.head, ends: self.isWhole, edit: direction.requestEdit, passage: self.loop.passage,
        target: direction.target, authority: direction.authority)
      return block.map { .http2($0) }
    }
    var bytes: [UInt8] = []
    let framing = try? HTTPBridge.request(
      self.head, ends: self.isWhole, edit: direction.requestEdit, passage: self.loop.passage, target: direction.target,
      authority: direction.authority, to: &bytes)
    return framing.map { .http1(bytes, $0) }
  }

  func mirrorEnd() {
    var end = HTTPMirrorEnd()
    HTTPBridge.lastChunk(self.trailers, to: &end.chunk)
    end.block = self.trailers.flatMap { HTTPBridge.trailers($0) }
    for mirror in self.mirrors { mirror.ended(end) }
    self.mirrors = []
  }

  /// The rest of the body is nobody's.
  func abandonMirrors() {
    for mirror in self.mirrors { mirror.abandon() }
    self.mirrors = []
  }
}
