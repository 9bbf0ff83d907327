import CMeshRelay
import Glibc
import MeshBase
import MeshDNS

/// A client's TCP connection (RFC 7766): questions as they come, answers as they are there.
final class NameConnection {
  let number: UInt64
  let descriptor: CInt
  let client: DNSClient
  var framing = DNSStreamFraming()
  /// Whole messages that wait until the client reads.
  var messages: [[UInt8]] = []
  var output: [UInt8] = []
  /// Questions that were taken and not answered yet.
  var awaited = 0
  var inputEnded = false
  var lastProgress: UInt64

  init(number: UInt64, descriptor: CInt, client: DNSClient, now: UInt64) {
    self.number = number
    self.descriptor = descriptor
    self.client = client
    self.lastProgress = now
  }
}

extension NameLoop {
  /// RFC 7766 section 6.2.3: a few seconds.
  private static let idleTimeout: UInt64 = 10_000
  private static let connectionsPerNamespace = 64
  /// Bytes that wait for a client that does not read; then its questions wait as well.
  private static let mostOutput = 1 << 18
  /// Bytes read in one turn.
  private static let turn = 1 << 16
  private static let batch = 16

  func accept(_ token: UInt64, _ listener: Listener) {
    for _ in 0..<Self.batch {
      let descriptor = cmesh_relay_accept(listener.descriptor)
      switch -descriptor {
      case EAGAIN: return
      // Of the one connection (accept(2)).
      case ECONNABORTED, EPROTO, EPERM: continue
      case 1...: return self.pause(token)
      default: break
      }
      let namespace = listener.place.namespace
      let number = self.number()
      // The address does not matter: the number names the client.
      let client = DNSClient(
        namespace: namespace, transport: .tcp,
        peer: SocketEndpoint(listener.place.isV4 ? .loopbackV4 : .loopbackV6, 0), connection: number)
      guard
        self.connections.values.lazy.filter({ $0.client.namespace == namespace }).count < Self.connectionsPerNamespace,
        cmesh_poll_add_stream(self.thread.poll, descriptor, number) == 0
      else {
        cmesh_relay_reset(descriptor)
        continue
      }
      self.connections[number] = NameConnection(
        number: number, descriptor: descriptor, client: client, now: self.now)
    }
  }

  /// Something happened to the socket (epoll(7), edge-triggered).
  func ready(_ connection: NameConnection, _ events: UInt32) {
    if events & (CMESH_HUNG_UP | CMESH_FAILED) != 0 { return self.drop(connection) }
    self.resume(connection)
  }

  /// Writes and reads as far as it goes.
  func resume(_ connection: NameConnection) {
    self.flush(connection)
    var read = 0
    while self.connections[connection.number] != nil {
      self.takeMessages(connection)
      guard connection.messages.isEmpty, !connection.inputEnded else { break }
      guard read < Self.turn else {
        self.again.append(connection.number)
        break
      }
      let count = cmesh_relay_receive(connection.descriptor, self.buffer.baseAddress, self.buffer.count)
      if count == -Int(EAGAIN) { break }
      guard count >= 0 else { return self.drop(connection) }
      connection.inputEnded = count == 0
      connection.lastProgress = self.now
      read += count
      connection.messages = connection.framing.feed(self.buffer[..<count])
    }
    self.closeIfDone(connection)
  }

  private func takeMessages(_ connection: NameConnection) {
    guard let zone = self.zone else { return }
    var taken = 0
    for message in connection.messages {
      guard connection.output.count < Self.mostOutput else { break }
      taken += 1
      let waiting = self.machine.waiting
      let joined = self.machine.counters.joined
      connection.awaited += 1
      let actions = self.machine.received(
        message, from: connection.client, zone: zone, now: self.now, using: &self.random)
      let isTaken = !actions.isEmpty || self.machine.waiting > waiting || self.machine.counters.joined > joined
      if !isTaken { connection.awaited -= 1 }
      self.perform(actions)
    }
    connection.messages.removeFirst(taken)
  }

  func send(_ message: [UInt8], on connection: NameConnection) {
    guard let framed = DNSStreamFraming.framed(message) else { return }
    if connection.awaited > 0 { connection.awaited -= 1 }
    connection.output += framed
    self.flush(connection)
    self.closeIfDone(connection)
  }

  private func flush(_ connection: NameConnection) {
    guard !connection.output.isEmpty else { return }
    let wasFull = connection.output.count >= Self.mostOutput
    let count = cmesh_relay_send(connection.descriptor, connection.output, connection.output.count)
    guard count >= 0 else {
      if count != -Int(EAGAIN) { self.drop(connection) }
      return
    }
    connection.output.removeFirst(count)
    connection.lastProgress = self.now
    if wasFull { self.again.append(connection.number) }
  }

  private func closeIfDone(_ connection: NameConnection) {
    guard connection.inputEnded, connection.awaited == 0, connection.messages.isEmpty, connection.output.isEmpty
    else { return }
    self.drop(connection)
  }

  func drop(_ connection: NameConnection) {
    guard self.connections.removeValue(forKey: connection.number) != nil else { return }
    close(connection.descriptor)
    self.perform(self.machine.disconnected(connection.client))
  }

  func closeIdleConnections() {
    for connection in Array(self.connections.values)
    where connection.awaited == 0 || !connection.output.isEmpty {
      if self.now >= connection.lastProgress + Self.idleTimeout { self.drop(connection) }
    }
  }
}
