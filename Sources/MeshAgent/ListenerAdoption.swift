import MeshBase
import MeshLinux

/// After the agent's own restart its listeners live on: in systemd's descriptor store, and in the proxy that runs on (copied
/// back by pidfd_getfd(2)). New ones cannot be opened while the old are there, and must not: connections and questions wait
/// in them.
enum ListenerAdoption {
  /// Its word is part of the name under which systemd keeps the socket.
  enum Kind: String, Sendable {
    case outbound
    case tunnel
    case nameDatagrams = "names-udp"
    case nameListener = "names-tcp"
  }

  struct Key: Hashable, Sendable {
    var cookie: UInt64
    var isV4: Bool
    var kind = Kind.outbound

    init(cookie: UInt64, isV4: Bool, kind: Kind = .outbound) {
      self.cookie = cookie
      self.isV4 = isV4
      self.kind = kind
    }

    /// Nil for a socket that the agent does not open.
    init?(_ socket: ServingSocket) {
      switch (socket.local.port, socket.isDatagram) {
      case (MeshPort.outbound, false): self.kind = .outbound
      case (MeshPort.hbone, false): self.kind = .tunnel
      case (MeshPort.dns, true): self.kind = .nameDatagrams
      case (MeshPort.dns, false): self.kind = .nameListener
      default: return nil
      }
      self.cookie = socket.cookie
      self.isV4 = socket.isV4
      guard socket.local == self.place else { return nil }
    }

    /// Where it is bound.
    var place: SocketEndpoint {
      switch self.kind {
      case .outbound: SocketEndpoint(.loopback(isV4: self.isV4), MeshPort.outbound)
      case .tunnel:
        SocketEndpoint(self.isV4 ? IPAddress(v4: 0) : IPAddress(high: 0, low: 0), MeshPort.hbone)
      case .nameDatagrams, .nameListener: SocketEndpoint(.loopback(isV4: self.isV4), MeshPort.dns)
      }
    }
  }

  struct Found {
    var listeners: [Key: RelayListener] = [:]
    var names: [Key: NameSocket] = [:]

    var keys: Set<Key> { Set(self.listeners.keys).union(self.names.keys) }

    /// What nobody else gave.
    mutating func add(_ other: Found) {
      self.listeners.merge(other.listeners) { known, _ in known }
      self.names.merge(other.names) { known, _ in known }
    }

    mutating func take(_ descriptor: consuming Descriptor, _ key: Key) {
      guard self.listeners[key] == nil, self.names[key] == nil else { return }
      switch key.kind {
      case .outbound, .tunnel:
        self.listeners[key] = RelayListener(descriptor, isV4: key.isV4, isTunnel: key.kind == .tunnel)
      case .nameDatagrams, .nameListener:
        self.names[key] = NameSocket(descriptor, isV4: key.isV4, isDatagram: key.kind == .nameDatagrams)
      }
    }
  }

  private static let ports: Set<UInt16> = [MeshPort.outbound, MeshPort.hbone, MeshPort.dns]

  /// Copies of what the process holds.
  static func sockets(in process: ProcessHandle) -> Found {
    var copied = Found()
    process.copySockets(ports: self.ports) { descriptor, socket in
      if let key = Key(socket) { copied.take(descriptor, key) }
    }
    return copied
  }

  /// Those that systemd kept for us, and what it keeps that is none of them: names to be removed. A descriptor counts as what
  /// it is, and only under its own name, so that it can be removed by it.
  static func stored() -> (found: Found, strange: Set<String>) {
    var found = Found()
    var strange: Set<String> = []
    StoredDescriptors.take { descriptor, name in
      guard let key = descriptor.serving(ports: self.ports).flatMap({ Key($0) }), ListenerStore.name(of: key) == name
      else {
        strange.insert(name)
        return
      }
      found.take(descriptor, key)
    }
    return (found, strange)
  }
}
