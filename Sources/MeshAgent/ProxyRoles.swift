import MeshLink
import Synchronization

/// What the link asks when a proxy says hello: whoever is not named here serves. Locked, because it is asked on the link's
/// loop while the supervisor writes it.
final class ProxyRoles: Sendable {
  private let roles = Mutex<[Int32: ProxyRole]>([:])

  func role(of process: Int32) -> ProxyRole { self.roles.withLock { $0[process] ?? .serving } }

  /// Nil: it serves, or is gone.
  func set(_ role: ProxyRole?, of process: Int32) { self.roles.withLock { $0[process] = role } }

  /// Starts a process whose hello is not heard before its role is known. `start` returns its number.
  func start<Failure: Error>(_ role: ProxyRole, _ start: () throws(Failure) -> Int32) throws(Failure) {
    try self.roles.withLock { roles throws(Failure) in
      let process = try start()
      roles[process] = role
    }
  }
}
