/// A call's end, as gRPC numbers it.
package enum GRPCStatus: UInt8, Hashable, Sendable, CaseIterable {
  case ok, cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
  case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, `internal`, unavailable, dataLoss
  case unauthenticated

  /// What an answer without `grpc-status` means (gRPC's http-grpc-status-mapping). 200 without it is a broken answer.
  package init(httpStatus: UInt16) {
    switch httpStatus {
    case 400: self = .internal
    case 401: self = .unauthenticated
    case 403: self = .permissionDenied
    case 404: self = .unimplemented
    case 429, 502, 503, 504: self = .unavailable
    default: self = .unknown
    }
  }

  /// `grpc-status` of a head or of trailers, also one that gRPC has no name for. Nil: none.
  package static func told(by head: HTTP2Head) -> UInt8? {
    for field in head.fields where head.text(field.name).elementsEqual("grpc-status".utf8) {
      return Self.code(head.text(field.value))
    }
    return nil
  }

  /// The same of HTTP/1.1.
  package static func told(by fields: [HTTP1Field], _ input: Span<UInt8>) -> UInt8? {
    for field in fields where input.matches(field.nameRange, "grpc-status") {
      return Self.code(field.valueRange.map { input[$0] })
    }
    return nil
  }

  private static func code(_ text: some Collection<UInt8>) -> UInt8? {
    var code: UInt8? = text.isEmpty ? nil : 0
    for byte in text {
      guard let before = code, before < 25, HTTPBytes.isDigit(byte) else { return nil }
      code = before * 10 + (byte - 0x30)
    }
    return code
  }

  /// For metrics and logs (google.rpc.Code).
  package var httpStatus: UInt16 {
    switch self {
    case .ok: 200
    case .invalidArgument, .failedPrecondition, .outOfRange: 400
    case .unauthenticated: 401
    case .permissionDenied: 403
    case .notFound: 404
    case .alreadyExists, .aborted: 409
    case .resourceExhausted: 429
    case .cancelled: 499
    case .unknown, .internal, .dataLoss: 500
    case .unimplemented: 501
    case .unavailable: 503
    case .deadlineExceeded: 504
    }
  }

  /// The head of an answer that is nothing but a status.
  package func answer(_ message: String) -> FieldBlock {
    var block = FieldBlock()
    block.append(":status", "200")
    block.append("content-type", "application/grpc")
    block.append("grpc-status", String(self.rawValue))
    if !message.isEmpty {
      block.append(name: "grpc-message".utf8, value: Self.percentEncoded(message))
    }
    return block
  }

  private static func percentEncoded(_ message: String) -> [UInt8] {
    var result: [UInt8] = []
    let digits = Array("0123456789ABCDEF".utf8)
    for byte in message.utf8 {
      if byte > 0x20 && byte < 0x7f && byte != UInt8(ascii: "%") {
        result.append(byte)
      } else {
        result += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return result
  }
}

/// `grpc-timeout`: at most eight digits and a unit.
package enum GRPCTimeout {
  /// Rounded up; nil: not a timeout.
  package static func milliseconds(_ text: some Collection<UInt8>) -> UInt64? {
    guard (2...9).contains(text.count) else { return nil }
    var value: UInt64 = 0
    for byte in text.dropLast() {
      guard (0x30...0x39).contains(byte) else { return nil }
      value = value * 10 + UInt64(byte - 0x30)
    }
    switch text.suffix(1).first {
    case UInt8(ascii: "H"): return value * 3_600_000
    case UInt8(ascii: "M"): return value * 60_000
    case UInt8(ascii: "S"): return value * 1000
    case UInt8(ascii: "m"): return value
    case UInt8(ascii: "u"): return (value + 999) / 1000
    case UInt8(ascii: "n"): return (value + 999_999) / 1_000_000
    default: return nil
    }
  }
}
