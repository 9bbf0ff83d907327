/// A TLS ClientHello in bytes, with what a test wants wrong about it.
package struct ClientHello {
  /// Of the extensions: type and content.
  package var extensions: [(type: UInt16, content: [UInt8])]
  package var version: [UInt8] = [3, 3]
  package var sessionID: [UInt8] = Array(repeating: 7, count: 32)
  package var suites: [UInt8] = [0x13, 0x01, 0x13, 0x02]
  package var compression: [UInt8] = [0]
  /// Behind the last field.
  package var excess: [UInt8] = []
  /// Nil: no extensions at all.
  package var hasExtensions = true

  /// - name: in server_name, between two other extensions.
  package init(_ name: String?) {
    self.extensions = [(0x002b, [2, 3, 4])]
    if let name { self.extensions.append((0, Self.serverName(Array(name.utf8)))) }
    self.extensions.append((0x000a, [0, 2, 0, 29]))
  }

  package static func serverName(_ name: [UInt8], type: UInt8 = 0) -> [UInt8] {
    self.vector(2, [type] + self.vector(2, name))
  }

  package static func vector(_ size: Int, _ bytes: [UInt8]) -> [UInt8] {
    (0..<size).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> (8 * $0)) } + bytes
  }

  /// The handshake message.
  package var message: [UInt8] {
    var body = self.version + Array(repeating: 9, count: 32) + Self.vector(1, self.sessionID)
    body += Self.vector(2, self.suites) + Self.vector(1, self.compression)
    if self.hasExtensions {
      body += Self.vector(
        2, self.extensions.flatMap { [UInt8($0.type >> 8), UInt8($0.type & 255)] + Self.vector(2, $0.content) })
    }
    body += self.excess
    return [1] + Self.vector(3, body)
  }

  /// In records of at most so many bytes.
  package func records(of size: Int = 1 << 14) -> [UInt8] { Self.records(self.message, of: size) }

  package static func records(_ message: [UInt8], of size: Int = 1 << 14) -> [UInt8] {
    stride(from: 0, to: message.count, by: size).flatMap { start in
      [22, 3, 1] + Self.vector(2, Array(message[start..<min(start + size, message.count)]))
    }
  }
}
