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
}
