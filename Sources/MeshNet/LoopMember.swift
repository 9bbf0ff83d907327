/// What the events of a loop are about: a connection with its socket, or with two of them.
protocol LoopMember: AnyObject {
  var number: UInt64 { get }
  /// The workload for which it dials.
  var sourceWorkload: UInt32 { get }
  /// Its sockets are in these.
  var namespaces: [UInt64] { get }
  /// Bytes that wait in it.
  var heldBytes: Int { get }
  /// A client waits at its other end: a proxy that drains waits for it.
  var isClients: Bool { get }

  /// Something happened to a socket (epoll(7), edge-triggered).
  func ready(_ token: RelayToken, _ events: UInt32)
  /// It used up its turn, and has another one.
  func resume()
  /// A deadline may be over.
  func expire(now: UInt64)
  /// Called every few seconds.
  func sweep(idleSweeps: Int?)
  /// An upstream socket that it waited for. False: it waits no more.
  func delivered(_ socket: CInt) -> Bool
  /// Memory runs out: what it can do without, or is not worth to be kept, goes.
  func relieve(_ strain: Strain)
  /// The process ends: what is under way is the last.
  func drain()
  /// Its workload or namespace is gone: ends now, and says so where the protocol has a word for it.
  func withdraw()
  /// Closes with RST.
  func abort()
}

extension LoopMember {
  func withdraw() { self.abort() }
  func relieve(_ strain: Strain) {}
}
