import Glibc
package import Logging
import MeshBase
package import MeshRouting
package import NIOCore
package import NIOPosix

/// The loops, the listeners, and what is said to all of them. Its methods may be called from any thread.
package final class Relay: Sendable {
  /// Where accepted sockets come from, and how their flow is found.
  package struct Listener: Sendable {
    package var flow: @Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>

    package init(flow: @escaping @Sendable (CInt) -> Result<AcceptedFlow, AcceptedFlow.Refusal>) {
      self.flow = flow
    }

    /// The kernel's flow, of connections from this namespace only.
    package static func kernel(namespaceCookie: UInt64) -> Listener {
      Listener { descriptor in
        AcceptedFlow.ofAccepted(descriptor).flatMap { flow in
          flow.namespaceCookie == namespaceCookie ? .success(flow) : .failure(.wrongNamespace)
        }
      }
    }
  }

  private struct Member: Sendable {
    let loop: any EventLoop
    let state: NIOLoopBoundBox<RelayLoop>
  }

  private let group: MultiThreadedEventLoopGroup
  private let members: [Member]
  private let stock: StockRoom?
  private let logger: Logger

  /// - stock: nil: upstream sockets are the process's own.
  /// - idleTimeout: relays without a byte for so long (give or take ten seconds) are closed; nil: never.
  package init(group: MultiThreadedEventLoopGroup, stock: StockRoom?, idleTimeout: TimeAmount? = nil, logger: Logger) {
    self.group = group
    self.stock = stock
    self.logger = logger
    self.members = group.makeIterator().enumerated().map { number, loop in
      Member(
        loop: loop,
        state: NIOLoopBoundBox.makeBoxSendingValue(
          RelayLoop(number: number, loop: loop, stock: stock, idleTimeout: idleTimeout), eventLoop: loop))
    }
    for member in self.members {
      member.loop.scheduleRepeatedTask(initialDelay: RelayLoop.sweepInterval, delay: RelayLoop.sweepInterval) { _ in
        member.state.value.sweep()
      }
    }
  }

  /// The table for connections accepted from now on, on every loop. Done when all loops have it.
  package func use(_ table: RoutingTable) -> EventLoopFuture<Void> {
    EventLoopFuture.andAllComplete(
      self.members.map { member in member.loop.submit { member.state.value.table = table } },
      on: self.members[0].loop)
  }

  /// Accepts on a listening socket, which is the relay's from here on.
  package func listen(_ descriptor: CInt, _ listener: Listener) -> EventLoopFuture<any Channel> {
    let members = self.members
    let logger = self.logger
    return ServerBootstrap(group: self.group)
      .serverChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          // Without descriptors left, accepting pauses for a second instead of spinning; others close meanwhile.
          try channel.pipeline.syncOperations.addHandlers([
            AcceptErrorLog(logger: logger), AcceptBackoffHandler(shouldForwardIOErrorCaught: false),
          ])
        }
      }
      .childChannelInitializer { channel in
        guard let member = members.first(where: { $0.loop === channel.eventLoop }) else {
          return channel.eventLoop.makeFailedFuture(AcceptedFlow.Refusal.noFlow)
        }
        return member.state.value.accepted(channel, by: listener)
      }
      .withBoundSocket(descriptor)
  }

  /// Fresh upstream sockets, the relay's from here on.
  package func deposit(_ sockets: [CInt], on shelf: StockRoom.Shelf) {
    guard let stock = self.stock else {
      for socket in sockets { close(socket) }
      return
    }
    for delivery in stock.deposit(sockets, on: shelf) {
      let member = self.members[delivery.waiter.loop]
      member.loop.execute {
        if !member.state.value.deliver(delivery.socket, to: delivery.waiter.connection) {
          self.deposit([delivery.socket], on: shelf)
        }
      }
    }
  }

  /// Closes the connections of a source workload with RST, and its stock.
  package func withdraw(workload: UInt32) {
    self.stock?.withdraw(workload: workload)
    for member in self.members {
      member.loop.execute { member.state.value.abortAll { $0.sourceWorkload == workload } }
    }
  }

  /// Closes the connections of a namespace with RST.
  package func withdraw(namespaceCookie: UInt64) {
    for member in self.members {
      member.loop.execute { member.state.value.abortAll { $0.namespaceCookie == namespaceCookie } }
    }
  }

  /// Closes every connection with RST.
  package func abortAll() {
    for member in self.members {
      member.loop.execute { member.state.value.abortAll { _ in true } }
    }
  }

  /// The sum over all loops.
  package func counters() async throws -> RelayCounters {
    var sum = RelayCounters()
    for member in self.members {
      sum = sum + (try await member.loop.submit { member.state.value.counters }.get())
    }
    return sum
  }
}

/// Says that accepting failed, before the backoff handler swallows it.
private final class AcceptErrorLog: ChannelInboundHandler {
  typealias InboundIn = any Channel

  private let logger: Logger

  init(logger: Logger) { self.logger = logger }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if error is IOError {
      self.logger.warning("cannot accept", metadata: [LogKey.error: "\(error)"])
    }
    context.fireErrorCaught(error)
  }
}
