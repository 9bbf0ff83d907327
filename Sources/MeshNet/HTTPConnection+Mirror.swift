import MeshHTTP
import MeshRouting

/// Copies of a request for its rule's mirrors, which get the head and the body as the client sends them. An upgrade is not copied:
/// what follows it is no request.
extension HTTPConnection {
  func beginMirrors(
    _ request: HTTP1RequestHead, _ input: Span<UInt8>, _ direction: HTTPDirection, authority: [UInt8]?
  ) {
    guard !request.upgrades else { return }
    for target in direction.mirrors {
      let head: HTTPMirrorCall.Head
      if target.speaksHTTP2 {
        guard
          let block = try? HTTPBridge.request(
            request, self.server.fields, input, edit: direction.requestEdit, passage: self.loop.passage,
            target: direction.target, authority: authority)
        else {
          self.loop.noteMirror(.unsayable, of: self.flow)
          continue
        }
        head = .http2(block)
      } else {
        var bytes: [UInt8] = []
        HTTP1Writer.request(
          request, self.server.fields, present: self.server.present, input, edit: direction.requestEdit,
          passage: self.loop.passage, target: direction.target, authority: authority, to: &bytes)
        head = .http1(bytes, request.framing)
      }
      let isWhole = request.framing.isEmpty
      let call = self.loop.mirror(
        head, to: target, isHead: request.isHead, isWhole: isWhole, of: self.flow, from: self)
      if let call, !isWhole { self.mirrors.append(call) }
    }
  }

  /// `input` begins with the trailers.
  func mirrorEnd(_ input: Span<UInt8>) {
    var end = HTTPMirrorEnd()
    HTTP1Writer.lastChunk(self.server.trailers, input, to: &end.chunk)
    end.block = HTTPBridge.trailers(self.server.trailers, input)
    for mirror in self.mirrors { mirror.ended(end) }
    self.mirrors = []
  }

  /// The rest of the body is nobody's.
  func abandonMirrors() {
    for mirror in self.mirrors { mirror.abandon() }
    self.mirrors = []
  }
}
