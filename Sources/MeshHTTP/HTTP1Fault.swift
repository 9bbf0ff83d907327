/// Why a message of HTTP/1.1 is refused. The words go to logs and metrics and do not change.
package enum HTTP1Fault: String, Error, Hashable, Sendable, CaseIterable {
  case requestLine = "request_line"
  case method = "method"
  case methodTooLong = "method_too_long"
  case connect = "connect_refused"
  case target = "target"
  case targetTooLong = "target_too_long"
  case version = "version"
  case statusLine = "status_line"
  case lineEnd = "line_end"
  case emptyLines = "empty_lines"
  case fieldFold = "field_fold"
  case fieldName = "field_name"
  case fieldUnderscore = "field_underscore"
  case fieldValue = "field_value"
  case headTooLarge = "head_too_large"
  case tooManyFields = "too_many_fields"
  case connectionOptions = "connection_options"
  case hostMissing = "host_missing"
  case hostRepeated = "host_repeated"
  case host = "host"
  case hostMismatch = "host_mismatch"
  case contentLength = "content_length"
  case contentLengthRepeated = "content_length_repeated"
  case transferEncoding = "transfer_encoding"
  case transferEncodingInVersion10 = "transfer_encoding_in_1_0"
  case lengthAndEncoding = "length_and_encoding"
  case chunkSize = "chunk_size"
  case chunkExtension = "chunk_extension"
  case chunkEnd = "chunk_end"
  case expectation = "expectation"
  case upgradeWithBody = "upgrade_with_body"
  /// The stream ended inside of a message.
  case truncated = "truncated"
  /// More interim responses than a request can have, or one that nobody asked for.
  case interim = "interim_responses"
  /// Bytes of an upstream to which no request is open.
  case unsolicited = "unsolicited_response"

  /// What a client is answered whose request this is. The connection closes in each case.
  package var requestStatus: UInt16 {
    switch self {
    case .methodTooLong, .connect: 501
    case .targetTooLong: 414
    case .version: 505
    case .headTooLarge, .tooManyFields: 431
    case .expectation: 417
    default: 400
    }
  }

  /// What a client is answered whose upstream sent this.
  package var responseStatus: UInt16 { 502 }
}
