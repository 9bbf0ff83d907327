import MeshBase
import NIOCore
package import NIOHTTP1

/// A request as the routes see it.
package struct ReportRequest: Sendable {
  package var method: HTTPMethod
  package var target: RequestTarget
  package var headers: HTTPHeaders

  package init(method: HTTPMethod, target: RequestTarget, headers: HTTPHeaders = [:]) {
    self.method = method
    self.target = target
    self.headers = headers
  }

  /// Whether its path is one of these, and its method that of the path. Answers 404 and 405 itself, and returns false then.
  package func isFor(_ paths: [String: HTTPMethod], _ writer: ReportWriter) async throws -> Bool {
    guard let method = paths[self.target.path] else {
      let known = paths.keys.sorted().joined(separator: ", ")
      try await writer.send(MeshError(.notFound, self.target.path, "is not served here", next: "there are \(known)"))
      return false
    }
    guard self.method == method || (method == .GET && self.method == .HEAD) else {
      let allowed = method == .GET ? "GET, HEAD" : method.rawValue
      try await writer.send(.methodNotAllowed, [], headers: ["allow": allowed])
      return false
    }
    return true
  }
}

/// Counts the bytes of a connection's whole input and reports when there are too many.
final class RequestMeter: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer

  struct TooLarge: Error {}

  private let limit: Int
  private var seen = 0

  init(limit: Int) { self.limit = limit }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard self.seen <= self.limit else { return }
    self.seen += Self.unwrapInboundIn(data).readableBytes
    if self.seen > self.limit {
      context.fireErrorCaught(TooLarge())
    } else {
      context.fireChannelRead(data)
    }
  }
}

/// What a writer tells the handler of its connection.
enum ReportEvent: Sendable {
  /// The answer has begun: it is the client's turn to be slow.
  case began
}

/// Takes one request from its connection, starts the task that answers it, and ends that task with the connection.
final class ReportHandler: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private enum State {
    case waiting
    case reading(HTTPRequestHead)
    case answering(Task<Void, Never>)
    case ended
  }

  private var state = State.waiting
  private var deadline: Scheduled<Void>?
  private let limits: ReportServer.Limits
  private let route: ReportServer.Route

  init(limits: ReportServer.Limits, route: @escaping ReportServer.Route) {
    self.limits = limits
    self.route = route
  }

  func channelActive(context: ChannelHandlerContext) {
    self.arm(self.limits.requestDeadline, context: context)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    self.deadline?.cancel()
    if case .answering(let task) = self.state { task.cancel() }
    self.state = .ended
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch (self.state, Self.unwrapInboundIn(data)) {
    case (.waiting, .head(let head)): self.state = .reading(head)
    case (.reading(let head), .end): self.answer(head, context: context)
    // Bodies mean nothing here; and whatever follows the first request is not read as another.
    default: break
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch self.state {
    case .waiting, .reading:
      self.state = .ended
      self.refuse(error is RequestMeter.TooLarge ? .requestHeaderFieldsTooLarge : .badRequest, context: context)
    case .answering where error is RequestMeter.TooLarge || error is HTTPParserError:
      // The answer is under way; what comes after the request is dropped.
      break
    case .answering, .ended:
      context.close(promise: nil)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if let event = event as? ReportEvent {
      switch event {
      case .began: self.deadline?.cancel()
      }
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }

  private func answer(_ head: HTTPRequestHead, context: ChannelHandlerContext) {
    guard let target = RequestTarget(head.uri) else {
      self.state = .ended
      self.refuse(.badRequest, context: context)
      return
    }
    self.arm(self.limits.answerDeadline, context: context)
    let request = ReportRequest(method: head.method, target: target, headers: head.headers)
    let writer = ReportWriter(
      channel: context.channel, version: head.version, isHead: head.method == .HEAD, limits: self.limits)
    let route = self.route
    self.state = .answering(
      Task {
        do {
          try await route(request, writer)
        } catch {
          writer.abort()
        }
      })
  }

  /// An answer to what is no request, and the end.
  private func refuse(_ status: HTTPResponseStatus, context: ChannelHandlerContext) {
    let head = HTTPResponseHead(
      version: .http1_1, status: status, headers: ["connection": "close", "content-length": "0"])
    context.write(Self.wrapOutboundOut(.head(head)), promise: nil)
    context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: nil)
    context.close(mode: .output, promise: nil)
    self.arm(self.limits.lingerDeadline, context: context)
  }

  private func arm(_ time: TimeAmount, context: ChannelHandlerContext) {
    self.deadline?.cancel()
    let channel = context.channel
    self.deadline = context.eventLoop.scheduleTask(in: time) { channel.close(promise: nil) }
  }
}
