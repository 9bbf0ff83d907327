import MeshHTTP
import MeshRouting

/// Copies of a request for its rule's mirrors, which get the head and the body as the client sends them. An upgrade is not copied:
/// what follows it is no request.
extension HTTPConnection {
  func beginMirrors(
    _ request: HTTP1RequestHead, _ input: Span<UInt8>, _ direction: HTTPDirection, authority: [UInt8]?
  ) {
    guard !request.upgrades else { return }
    self.beginMirrors(direction.mirrors) { target in
      if target.speaksHTTP2 {
        let block = try? HTTPBridge.request(
          request, self.server.fields, input, edit: direction.requestEdit, passage: self.loop.passage,
          target: direction.target, authority: authority)
        return block.map { .http2($0) }
      }
      var bytes: [UInt8] = []
      HTTP1Writer.request(
        request, self.server.fields, present: self.server.present, input, edit: direction.requestEdit,
        passage: self.loop.passage, target: direction.target, authority: authority, to: &bytes)
      return .http1(bytes, request.framing)
    }
  }

  /// `input` begins with the trailers.
  func mirrorEnd(_ input: Span<UInt8>) {
    var end = HTTPMirrorEnd()
    HTTP1Writer.lastChunk(self.server.trailers, input, to: &end.chunk)
    end.block = HTTPBridge.trailers(self.server.trailers, input)
    self.endMirrors(end)
  }
}
