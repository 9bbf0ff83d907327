/// What texts of HTTP may hold, for whoever takes them from a user or from a peer.
package enum HTTPText {
  /// A token of RFC 9110, 5.6.2: methods, names of headers, names of cookies.
  package static func isToken(_ text: some StringProtocol) -> Bool {
    !text.isEmpty
      && text.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x21, 0x23...0x27, 0x2a, 0x2b, 0x2d, 0x2e, 0x5e...0x60, 0x7c, 0x7e:
          true
        default: false
        }
      }
  }

  /// A path with its query as a request line has it: printable ASCII that begins with `/`, without a fragment.
  package static func isTarget(_ text: some StringProtocol) -> Bool {
    text.utf8.first == UInt8(ascii: "/")
      && text.utf8.allSatisfy { (0x21...0x7e).contains($0) && $0 != UInt8(ascii: "#") }
  }

  /// A value of Host: a name or an address, and a port.
  package static func isHost(_ text: some StringProtocol) -> Bool {
    (1...260).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        switch $0 {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        default: "-._:[]".utf8.contains($0)
        }
      }
  }
}
