/// What the proxy says itself, to a client of HTTP/2.
extension HTTPBridge {
  /// `text` is the content, in ASCII, of a line or none; an answer to HEAD says how long it would be. Returns the content as well.
  package static func answer(
    _ status: UInt16, text: String = "", isHead: Bool = false, edit: HTTP1FieldEdit = HTTP1FieldEdit()
  ) -> (head: FieldBlock, content: [UInt8]) {
    var block = Self.status(status)
    block.add(edit)
    guard status != 204, status >= 200 else { return (block, []) }
    let content = text.isEmpty ? [] : Array(text.utf8) + [HTTPBytes.lineFeed]
    if !content.isEmpty { block.add("content-type", "text/plain".utf8) }
    block.add(contentLength: UInt64(content.count))
    return (block, isHead ? [] : content)
  }
}
