/// What a service tells systemd: one datagram of lines NAME=VALUE (sd_notify(3)).
package struct ServiceNotice: Hashable, Sendable {
  /// systemd refuses longer names (FDNAME_MAX in its basic/fd-util.h).
  static let longestName = 255

  package private(set) var lines: [String]

  private init(_ lines: [String]) { self.lines = lines }

  /// The service serves.
  package static let ready = ServiceNotice(["READY=1"])
  /// It was asked to end and is about to.
  package static let stopping = ServiceNotice(["STOPPING=1"])
  /// It is not hung.
  package static let watchdog = ServiceNotice(["WATCHDOG=1"])

  /// The configuration is read anew; `ready` ends it. systemd wants to know when that began (`Type=notify-reload`).
  package static func reloading(monotonicMicroseconds: UInt64) -> ServiceNotice {
    ServiceNotice(["RELOADING=1", "MONOTONIC_USEC=\(monotonicMicroseconds)"])
  }

  /// One line for `systemctl status`. What would begin another line becomes a space.
  package static func status(_ text: String) -> ServiceNotice {
    ServiceNotice(["STATUS=" + String(text.map { $0.isNewline ? " " : $0 })])
  }

  /// Keeps the descriptors of the same message beyond the end of this process. Nil if systemd would not take the name.
  package static func store(name: String) -> ServiceNotice? {
    self.isName(name) ? ServiceNotice(["FDSTORE=1", "FDNAME=\(name)"]) : nil
  }

  /// Lets go of every descriptor that was stored under the name.
  package static func remove(name: String) -> ServiceNotice? {
    self.isName(name) ? ServiceNotice(["FDSTOREREMOVE=1", "FDNAME=\(name)"]) : nil
  }

  /// Both in one message.
  package func and(_ other: ServiceNotice) -> ServiceNotice { ServiceNotice(self.lines + other.lines) }

  package var text: String { self.lines.joined(separator: "\n") }

  /// Printable ASCII without the colon that separates names in LISTEN_FDNAMES (`fdname_is_valid`).
  private static func isName(_ name: String) -> Bool {
    (1...self.longestName).contains(name.utf8.count)
      && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") }
  }
}
