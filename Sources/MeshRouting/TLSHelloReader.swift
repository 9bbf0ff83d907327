/// Why the first bytes of a connection name no TLS server that it could be led to.
package enum TLSHelloFault: String, Error, Sendable, CaseIterable {
  /// Another protocol.
  case notTLS = "not_tls"
  /// The beginning of TLS, and then what is no ClientHello.
  case malformed = "tls_malformed"
  case tooLarge = "tls_hello_too_large"
  /// A ClientHello without server_name.
  case noName = "tls_no_name"
  /// server_name is no name of a host.
  case badName = "tls_bad_name"
}

/// Reads the name that a TLS client asks for (server_name, RFC 6066) from the first bytes of its connection, in whatever
/// pieces they come. Nothing is decrypted, and nothing is changed.
///
/// ```
/// record:    type 22, version 3.x, length │ fragment     a ClientHello may be spread over several
/// handshake: type 1, length (24 bits)     │ body
/// body:      version, random 32, session id, cipher suites, compression methods, extensions
/// ```
///
/// As strict as BoringSSL where two readers could find different names: every length has to fit its frame, server_name
/// occurs once and holds one name of the one type that there is, and nothing follows the ClientHello in its record. Of a client
/// that encrypts its ClientHello (ECH) the outer name counts: it is the only one that the network may go by.
package struct TLSHelloReader: Sendable {
  package enum Outcome: Equatable, Sendable {
    case needsInput
    /// Lower case.
    case name(String)
    case refused(TLSHelloFault)
  }

  /// Of the connection's bytes, with the headers of records.
  package static let limit = 16 << 10
  private static let headerLength = 5

  /// Bytes seen so far.
  package private(set) var count = 0
  /// Of the record that is read.
  private var header: [UInt8] = []
  private var fragmentLeft = 0
  /// The handshake message, with its header.
  private var message: [UInt8] = []
  private var outcome = Outcome.needsInput

  package init() {}

  /// The next bytes. Once the outcome is there, it stays.
  package mutating func receive(_ bytes: Span<UInt8>) -> Outcome {
    for index in bytes.indices where self.outcome == .needsInput {
      self.count += 1
      self.outcome = self.take(bytes[index])
      if self.outcome == .needsInput, self.count >= Self.limit { self.outcome = .refused(.tooLarge) }
    }
    return self.outcome
  }

  private mutating func take(_ byte: UInt8) -> Outcome {
    guard self.fragmentLeft > 0 else { return self.takeHeader(byte) }
    self.fragmentLeft -= 1
    self.message.append(byte)
    switch self.message.count {
    case 1: return byte == 1 ? .needsInput : .refused(.malformed)
    case 2, 3: return .needsInput
    default: break
    }
    let length = 4 + Int(self.message[1]) << 16 + Int(self.message[2]) << 8 + Int(self.message[3])
    if length > Self.limit { return .refused(.tooLarge) }
    guard self.message.count >= length else { return .needsInput }
    guard self.fragmentLeft == 0 else { return .refused(.malformed) }
    var body = TLSBytes(self.message[4..<length])
    do throws(TLSHelloFault) {
      return .name(try Self.name(inHello: &body))
    } catch {
      return .refused(error)
    }
  }

  private mutating func takeHeader(_ byte: UInt8) -> Outcome {
    self.header.append(byte)
    let isFirst = self.message.isEmpty
    switch self.header.count {
    case 1: return byte == 22 ? .needsInput : .refused(isFirst ? .notTLS : .malformed)
    case 2: return byte == 3 ? .needsInput : .refused(isFirst ? .notTLS : .malformed)
    case 3: return byte <= 4 ? .needsInput : .refused(isFirst ? .notTLS : .malformed)
    case 4: return .needsInput
    default:
      let length = Int(self.header[3]) << 8 + Int(byte)
      self.header.removeAll(keepingCapacity: true)
      // Handshake fragments are never empty (RFC 8446, 5.1).
      guard length > 0 else { return .refused(.malformed) }
      guard length <= 1 << 14 else { return .refused(isFirst ? .notTLS : .malformed) }
      self.fragmentLeft = length
      return .needsInput
    }
  }

  private static func name(inHello body: inout TLSBytes) throws(TLSHelloFault) -> String {
    guard try body.number(1) == 3 else { throw .malformed }
    try body.skip(1 + 32)
    guard try body.vector(1).count <= 32 else { throw .malformed }
    let suites = try body.vector(2).count
    guard suites >= 2, suites.isMultiple(of: 2) else { throw .malformed }
    guard try body.vector(1).count >= 1 else { throw .malformed }
    if body.isEmpty { throw .noName }
    var extensions = try body.vector(2)
    guard body.isEmpty else { throw .malformed }
    var names: TLSBytes?
    while !extensions.isEmpty {
      let type = try extensions.number(2)
      let content = try extensions.vector(2)
      guard type == 0 else { continue }
      guard names == nil else { throw .malformed }
      names = content
    }
    guard var names else { throw .noName }
    return try Self.name(inExtension: &names)
  }

  private static func name(inExtension content: inout TLSBytes) throws(TLSHelloFault) -> String {
    var list = try content.vector(2)
    guard content.isEmpty, try list.number(1) == 0 else { throw .malformed }
    let name = try list.vector(2)
    guard list.isEmpty else { throw .malformed }
    guard let text = Self.host(name.rest) else { throw .badName }
    return text
  }

  /// Nil: no name of a host. One that is written with a dot at its end (RFC 6066 has none there), or is an address, is none.
  private static func host(_ bytes: ArraySlice<UInt8>) -> String? {
    guard (1...253).contains(bytes.count) else { return nil }
    var label = 0
    var isNumber = true
    var lower: [UInt8] = []
    lower.reserveCapacity(bytes.count)
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "."):
        guard label > 0 else { return nil }
        label = 0
        isNumber = true
        lower.append(byte)
        continue
      case UInt8(ascii: "0")...UInt8(ascii: "9"): lower.append(byte)
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        isNumber = false
        lower.append(byte)
      case UInt8(ascii: "A")...UInt8(ascii: "Z"):
        isNumber = false
        lower.append(byte | 0x20)
      default: return nil
      }
      label += 1
      guard label <= 63 else { return nil }
    }
    // The last label of a name is no number (RFC 3696): it would be the end of an IPv4 address.
    return label == 0 || isNumber ? nil : String(decoding: lower, as: UTF8.self)
  }
}

/// Bytes that are taken from the front.
private struct TLSBytes {
  private(set) var rest: ArraySlice<UInt8>

  init(_ bytes: ArraySlice<UInt8>) { self.rest = bytes }

  var isEmpty: Bool { self.rest.isEmpty }
  var count: Int { self.rest.count }

  mutating func skip(_ count: Int) throws(TLSHelloFault) {
    guard self.rest.count >= count else { throw .malformed }
    self.rest.removeFirst(count)
  }

  /// Of one or two bytes.
  mutating func number(_ size: Int) throws(TLSHelloFault) -> Int {
    guard self.rest.count >= size else { throw .malformed }
    let value = self.rest.prefix(size).reduce(0) { $0 << 8 | Int($1) }
    self.rest.removeFirst(size)
    return value
  }

  /// What stands behind its length, which has so many bytes.
  mutating func vector(_ size: Int) throws(TLSHelloFault) -> TLSBytes {
    let length = try self.number(size)
    guard self.rest.count >= length else { throw .malformed }
    defer { self.rest.removeFirst(length) }
    return TLSBytes(self.rest.prefix(length))
  }
}
