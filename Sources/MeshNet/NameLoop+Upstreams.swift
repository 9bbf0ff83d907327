import CMeshRelay
import Glibc
import MeshBase
import MeshDNS

/// One attempt's socket, or its place in the queue for one.
final class NameUpstream {
  let number: UInt64
  let attempt: DNSAttempt
  let upstream: SocketEndpoint
  let transport: DNSTransport
  let place: NameServer.Place
  /// Left to send.
  var output: [UInt8]
  var framing = DNSStreamFraming()
  /// -1: waits for one.
  var descriptor: CInt = -1
  /// Who gave the socket.
  var supplier = 0
  /// Waits for a TCP socket until then.
  var patience: UInt64 = 0

  init(
    number: UInt64, attempt: DNSAttempt, upstream: SocketEndpoint, transport: DNSTransport, place: NameServer.Place,
    output: [UInt8]
  ) {
    self.number = number
    self.attempt = attempt
    self.upstream = upstream
    self.transport = transport
    self.place = place
    self.output = output
  }

  var waiter: UpstreamStock.Waiter { .init(loop: 0, connection: self.number) }
}

extension NameLoop {
  /// A supplier that has no TCP socket has ordered some: they are there within a moment, or he is away.
  private static let streamPatience: UInt64 = 1000

  /// False: it failed at once.
  func ask(
    _ attempt: DNSAttempt, _ endpoint: SocketEndpoint, _ transport: DNSTransport, _ bytes: [UInt8],
    _ place: NameServer.Place
  ) -> Bool {
    let output = transport == .udp ? bytes : DNSStreamFraming.framed(bytes)
    guard let output else { return false }
    let upstream = NameUpstream(
      number: self.number(), attempt: attempt, upstream: endpoint, transport: transport, place: place, output: output)
    self.upstreams[upstream.number] = upstream
    self.attempts[attempt] = upstream.number
    switch transport {
    case .tcp:
      guard let socket = self.supply.stream(place) else {
        upstream.patience = self.now + Self.streamPatience
        self.streamless.append(upstream.number)
        return true
      }
      return self.begin(upstream, socket)
    case .udp:
      defer { self.order(place) }
      switch self.stocks[place, default: UpstreamStock()].take(upstream.waiter) {
      case .socket(let socket): return self.begin(upstream, socket)
      case .wait: return true
      }
    }
  }

  private func begin(_ upstream: NameUpstream, _ socket: CInt) -> Bool {
    upstream.descriptor = socket
    upstream.supplier = self.suppliers[upstream.place.namespace] ?? 0
    var address = upstream.upstream.relayAddress
    let error = cmesh_relay_connect(socket, &address)
    // Watched only from here on: an unconnected TCP socket polls as hung up.
    guard error == 0 || (upstream.transport == .tcp && error == -EINPROGRESS),
      cmesh_poll_add_stream(self.thread.poll, socket, upstream.number) == 0
    else { return false }
    guard upstream.transport == .udp else { return true }
    return cmesh_relay_send(socket, upstream.output, upstream.output.count) == upstream.output.count
  }

  /// The machine expects nothing more of the attempt.
  func end(_ attempt: DNSAttempt) {
    guard let number = self.attempts.removeValue(forKey: attempt),
      let upstream = self.upstreams.removeValue(forKey: number)
    else { return }
    guard upstream.descriptor >= 0 else {
      self.stocks[upstream.place]?.cancel(upstream.waiter)
      return
    }
    _ = cmesh_poll_remove(self.thread.poll, upstream.descriptor)
    guard upstream.transport == .udp, upstream.supplier == self.suppliers[upstream.place.namespace] ?? 0,
      self.stocks[upstream.place] != nil,
      cmesh_datagram_disconnect(upstream.descriptor) == 0
    else {
      close(upstream.descriptor)
      return
    }
    switch self.stocks[upstream.place]?.giveBack(upstream.descriptor) {
    case .delivery(let delivery): self.deliver(delivery, at: upstream.place)
    case .kept: break
    case .surplus, nil: close(upstream.descriptor)
    }
  }

  private func failed(_ upstream: NameUpstream) {
    self.perform(self.machine.failed(upstream.attempt, now: self.now, using: &self.random))
  }

  // MARK: answers

  /// Something happened to the socket (epoll(7), edge-triggered).
  func ready(_ upstream: NameUpstream, _ events: UInt32) {
    guard upstream.descriptor >= 0 else { return }
    switch upstream.transport {
    case .udp: if events & (CMESH_READABLE | CMESH_FAILED) != 0 { self.receive(upstream) }
    case .tcp:
      if cmesh_relay_error(upstream.descriptor) < 0 { return self.failed(upstream) }
      if events & CMESH_WRITABLE != 0, !self.flush(upstream) { return self.failed(upstream) }
      if events & (CMESH_READABLE | CMESH_INPUT_ENDS | CMESH_HUNG_UP) != 0 { self.receive(upstream) }
    }
  }

  /// False: the connection is broken.
  private func flush(_ upstream: NameUpstream) -> Bool {
    guard !upstream.output.isEmpty else { return true }
    let count = cmesh_relay_send(upstream.descriptor, upstream.output, upstream.output.count)
    guard count >= 0 else { return count == -Int(EAGAIN) }
    upstream.output.removeFirst(count)
    return true
  }

  /// Reads until the socket is empty or the attempt is over.
  private func receive(_ upstream: NameUpstream) {
    while self.upstreams[upstream.number] != nil, let zone = self.zone {
      let count = cmesh_relay_receive(upstream.descriptor, self.buffer.baseAddress, self.buffer.count)
      if count == -Int(EAGAIN) { return }
      guard count > 0 || (count == 0 && upstream.transport == .udp) else { return self.failed(upstream) }
      let messages: [[UInt8]]
      switch upstream.transport {
      case .udp: messages = [Array(self.buffer[..<count])]
      case .tcp: messages = upstream.framing.feed(self.buffer[..<count])
      }
      for message in messages {
        // The socket is connected: the kernel gives only what comes from the upstream's address and port.
        self.perform(
          self.machine.replied(
            message, from: upstream.upstream, to: upstream.attempt, zone: zone, now: self.now, using: &self.random))
      }
    }
  }

  // MARK: sockets

  /// Looked at again and again while questions wait: nobody tells when there is one.
  func supplyStreams() {
    var waiting: [UInt64] = []
    swap(&waiting, &self.streamless)
    for number in waiting {
      guard let upstream = self.upstreams[number], upstream.descriptor < 0 else { continue }
      if let socket = self.supply.stream(upstream.place) {
        if !self.begin(upstream, socket) { self.failed(upstream) }
      } else if self.now >= upstream.patience {
        self.failed(upstream)
      } else {
        self.streamless.append(number)
      }
    }
  }

  func order(_ place: NameServer.Place) {
    let wanted = self.stocks[place, default: UpstreamStock()].order()
    if wanted > 0 { self.supply.orderDatagrams(place, wanted) }
  }

  func deposit(_ sockets: [CInt], at place: NameServer.Place) {
    guard self.stocks[place] != nil else {
      for socket in sockets { close(socket) }
      return
    }
    for delivery in self.stocks[place]?.deposit(sockets) ?? [] { self.deliver(delivery, at: place) }
  }

  private func deliver(_ delivery: UpstreamStock.Delivery, at place: NameServer.Place) {
    guard let upstream = self.upstreams[delivery.waiter.connection], upstream.descriptor < 0 else {
      if self.stocks[place]?.giveBack(delivery.socket) != .kept { close(delivery.socket) }
      return
    }
    if !self.begin(upstream, delivery.socket) { self.failed(upstream) }
  }

  func renewSupply(namespace: UInt64) {
    self.suppliers[namespace, default: 0] += 1
    for place in Array(self.stocks.keys) where place.namespace == namespace {
      for socket in self.stocks[place]?.reset() ?? [] { close(socket) }
      self.order(place)
    }
  }
}
