import CMeshRelay
import Glibc
import MeshHTTP

/// Whose request a connection of HTTP/1.1 serves. `input` of a head or of trailers begins with it.
protocol HTTPUpstreamUser: AnyObject {
  /// The accepted socket, which the upstream's leg is told with; -1: it is gone.
  var client: CInt { get }
  /// Of the request that is served.
  var account: RequestAccount { get set }
  /// Whether there is room for more of the answer. If not, it has the upstream pumped again when there is.
  func takesAnswer() -> Bool

  func upstreamOpened(_ upstream: HTTPUpstream)
  func upstreamUnreachable(_ upstream: HTTPUpstream)
  /// Something happened to its socket: it may be pumped.
  func upstreamReady(_ upstream: HTTPUpstream, isWritable: Bool)
  /// So many bytes came, of whatever they will be.
  func upstreamHeard(_ count: Int)
  func answerInterim(_ status: UInt16, _ upstream: HTTPUpstream, _ input: Span<UInt8>)
  /// `rest`: what has come behind the head.
  func answerBegan(_ upstream: HTTPUpstream, _ input: Span<UInt8>, rest: Span<UInt8>)
  func answerBody(_ input: Span<UInt8>, _ range: Range<Int>)
  func answerEnded(_ upstream: HTTPUpstream, _ input: Span<UInt8>, isReusable: Bool)
  func upstreamFailed(_ fault: HTTP1Fault?)
  func abort()
}

/// Reading the answer.
extension HTTPUpstream {
  /// Passes on what has come, as far as its user takes it. Reads into the loop's buffer: nobody else may be about to.
  /// False: it used up its turns.
  func pump() -> Bool {
    var turns = 16
    while let user = self.user, self.isOpen, self.isReadable {
      guard user.takesAnswer() else { return true }
      guard turns > 0 else { return false }
      turns -= 1
      self.receive(for: user)
    }
    return true
  }

  private func receive(for user: any HTTPUpstreamUser) {
    let buffer = self.loop.kit.buffer
    let count = cmesh_relay_receive(self.descriptor, buffer.baseAddress, buffer.count)
    guard count > 0 else {
      self.isReadable = false
      if count == -Int(EAGAIN) { return }
      guard count == 0, self.dial.bridged?.isCut != true else { return user.upstreamFailed(nil) }
      self.hasEnded = true
      let held = self.held
      return self.take(held.span, for: user)
    }
    if count < buffer.count, !self.endIsNear { self.isReadable = false }
    self.loop.counters.receivedBytes &+= UInt64(count)
    user.upstreamHeard(count)
    if self.held.isEmpty {
      self.take(
        Span(
          _unsafeElements: UnsafeBufferPointer(
            rebasing: UnsafeRawBufferPointer(buffer).bindMemory(to: UInt8.self)[..<count])), for: user)
    } else {
      let held = self.held + buffer[..<count]
      self.take(held.span, for: user)
    }
  }

  /// Deals with all of `input`. What the machine has not consumed it gets again.
  private func take(_ input: Span<UInt8>, for user: any HTTPUpstreamUser) {
    var at = 0
    while self.user === user {
      let rest = input.extracting(at..<input.count)
      let step = self.machine.receive(rest, ended: self.hasEnded)
      at += step.consumed
      switch step.event {
      case .needsInput:
        if step.consumed == 0 { return self.held.replace(with: rest) }
      case .interim(let status): user.answerInterim(status, self, rest)
      case .response: user.answerBegan(self, rest, rest: input.extracting(at..<input.count))
      case .body(let range): user.answerBody(rest, range)
      case .responseEnd(let from, let isReusable):
        return user.answerEnded(self, rest.extracting(from..<rest.count), isReusable: isReusable)
      case .refused(let fault): return user.upstreamFailed(fault == .truncated && self.hasEnded ? nil : fault)
      case .closed, .tunnel: return user.upstreamFailed(nil)
      }
    }
  }
}
