import Glibc
import Synchronization

/// What systemd kept of an earlier process of the service and hands to this one (sd_listen_fds(3)).
package enum StoredDescriptors {
  private static let first: CInt = 3
  /// More is no store of ours.
  private static let most = 65_536

  /// Number and name of each, from the environment; none if they are meant for another process.
  static func list(_ environment: [String: String], process: Int32) -> [(number: CInt, name: String)] {
    guard environment["LISTEN_PID"].flatMap({ Int32($0) }) == process,
      let count = environment["LISTEN_FDS"].flatMap({ Int($0) }), (1...self.most).contains(count)
    else { return [] }
    let names = environment["LISTEN_FDNAMES"]?.split(separator: ":", omittingEmptySubsequences: false) ?? []
    return (0..<count).map { (self.first + CInt($0), $0 < names.count ? String(names[$0]) : "unknown") }
  }

  private static let isTaken = Atomic(false)

  /// Gives each to `body`, which owns it. Only the first call in a process has any: a descriptor has one owner.
  package static func take(_ body: (consuming Descriptor, _ name: String) -> Void) {
    guard !self.isTaken.exchange(true, ordering: .relaxed) else { return }
    for (number, name) in self.list(ServiceSupervisor.environment, process: getpid()) {
      // systemd passes them without close-on-exec; a number that is not open is not ours to close.
      guard fcntl(number, F_SETFD, FD_CLOEXEC) == 0 else { continue }
      body(Descriptor(owning: number), name)
    }
  }
}
