package import MeshBase

/// Whom a listener for tunnels (`MeshPort.hbone`) leads to, and who may come in. Asked on the loops' threads.
package struct TunnelEntrance: Sendable {
  /// A workload that is reached here.
  package struct Resident: Sendable {
    package var workload: UInt32
    package var namespaceCookie: UInt64
    package var context: TLSContext
    /// Its own, and no others are dialled.
    package var addresses: Set<IPAddress>

    package init(workload: UInt32, namespaceCookie: UInt64, context: TLSContext, addresses: Set<IPAddress>) {
      self.workload = workload
      self.namespaceCookie = namespaceCookie
      self.context = context
      self.addresses = addresses
    }
  }

  package enum Residents: Sendable {
    /// The listener is at its own address: no name is asked for.
    case one(Resident)
    /// By the names that clients ask for: `w-` and 16 hexadecimal digits.
    case several([String: Resident])
  }

  package struct Question: Sendable, Hashable {
    package var source: SPIFFEID
    package var sourceAddress: IPAddress
    package var workload: UInt32
    package var destination: SocketEndpoint

    package init(source: SPIFFEID, sourceAddress: IPAddress, workload: UInt32, destination: SocketEndpoint) {
      self.source = source
      self.sourceAddress = sourceAddress
      self.workload = workload
      self.destination = destination
    }
  }

  package enum Verdict: Sendable, Hashable {
    case allow
    /// - reason: as it is counted and logged.
    /// - policy: its name and version; nil: none said it.
    case deny(reason: String, policy: String? = nil)
  }

  /// Clients are of it.
  package var trustDomain: @Sendable () -> String
  package var residents: @Sendable () -> Residents
  package var judge: @Sendable (Question) -> Verdict

  package init(
    trustDomain: @escaping @Sendable () -> String, residents: @escaping @Sendable () -> Residents,
    judge: @escaping @Sendable (Question) -> Verdict
  ) {
    self.trustDomain = trustDomain
    self.residents = residents
    self.judge = judge
  }

  /// Why a CONNECT leads nowhere, as it is counted and logged.
  enum Refusal: String, Equatable {
    case method = "tunnel_method"
    case authority = "tunnel_authority"
    /// The address is not of a workload that is reached here: no proxy for others.
    case elsewhere = "tunnel_elsewhere"
    case ownPort = "tunnel_own_port"
    case headOnly = "tunnel_head_only"
  }

  /// Where a CONNECT leads, by its authority alone. No name is resolved.
  static func target(_ authority: some Sequence<UInt8>, at addresses: Set<IPAddress>) -> Result<SocketEndpoint, Refusal>
  {
    guard let target = SocketEndpoint(String(decoding: Array(authority.prefix(64)), as: UTF8.self)), target.port != 0
    else { return .failure(.authority) }
    guard addresses.contains(target.address) else { return .failure(.elsewhere) }
    guard !MeshPort.all.contains(target.port) else { return .failure(.ownPort) }
    return .success(target)
  }
}

extension TunnelEntrance.Refusal: Error {}
