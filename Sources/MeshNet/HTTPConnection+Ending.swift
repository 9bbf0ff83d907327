import CMeshRelay
import Glibc
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// Deadlines and ends.
extension HTTPConnection {
  // MARK: deadlines

  /// When somebody has waited for too long; nil: nobody waits.
  private var deadline: UInt64? {
    let http = self.loop.http
    switch self.phase {
    case .over: return nil
    case .lingering: return self.lingerEnd
    case .closing: return self.movedAt + http.stallTimeout
    case .open: break
    }
    var first = self.dispatch.deadline
    if self.dispatch.isBetween {
      // The rest waits for what comes of that.
    } else if self.clientIsAwaited {
      first = min(first, self.movedAt + http.stallTimeout)
    } else if http.idleTimeout > 0 {
      first = min(first, self.movedAt + http.idleTimeout)
    }
    if let began = self.headBegan { first = min(first, began + http.headTimeout) }
    return first == .max ? nil : first
  }

  /// The client has to take or to send something, so that it goes on.
  private var clientIsAwaited: Bool {
    !self.output.isEmpty || (self.server.request != nil && !self.requestHasEnded)
  }

  /// Later deadlines the sweep finds.
  func arm() {
    guard let deadline = self.deadline, deadline < self.armedFor, deadline <= self.loop.now + self.loop.sweepInterval
    else { return }
    self.armedFor = deadline
    self.loop.deadlines.add(deadline, self.number)
  }

  func expire(now: UInt64) {
    if self.armedFor <= now { self.armedFor = .max }
    guard let deadline = self.deadline, deadline <= now else { return self.arm() }
    switch self.phase {
    case .over: return
    case .lingering: return self.close()
    case .closing: return self.abort()
    case .open: self.expireOpen(now)
    }
    self.pump()
  }

  private func expireOpen(_ now: UInt64) {
    let action = self.dispatch.expired(now: now)
    if action != .none { return self.perform(action, .durationTimeout) }
    if !self.output.isEmpty || self.dispatch.phase == .answering {
      self.loop.count("stalled")
      self.account.flags.insert(.streamIdleTimeout)
      self.abort()
    } else if self.headBegan != nil {
      self.answerLocally(.headTimeout)
    } else if self.dispatch.phase == .waiting {
      let isUpstreams =
        self.requestHasEnded || self.upstream?.output.isEmpty == false || self.leg?.outflow.hasWork == true
      if isUpstreams { self.dispatch.stalled(now: now) }
      self.answerLocally(isUpstreams ? .upstreamIdle : .bodyTimeout)
    } else {
      // Between requests, or what is left of a body does not come.
      self.finish(lingers: false)
    }
  }

  /// Gives back what a quiet connection holds.
  func sweep(idleSweeps: Int?) {
    if self.dispatch.phase == .idle {
      self.output.rest()
      self.dispatch.bytes = []
      self.dispatch.block = nil
    }
    self.expire(now: self.loop.now)
  }

  /// A head that is not whole is new work. A client that takes nothing of its answer is cut before the kernel ends everybody's.
  func relieve(_ strain: Strain) {
    guard self.phase == .open else { return }
    if strain >= .shed, self.headBegan != nil, self.dispatch.phase == .idle {
      self.answerLocally(.overloaded)
      self.pump()
    } else if strain >= .full, !self.output.isEmpty, self.movedAt + RelayLoop.strainPatience <= self.loop.now {
      self.loop.count(HTTPLocalAnswer.overloaded.reason)
      self.account.flags.formUnion(HTTPLocalAnswer.overloaded.flags)
      self.abort()
    }
  }

  func drain() {
    self.server.drain()
    guard self.phase == .open, self.server.isIdle, self.held.isEmpty, !self.isReadable else { return }
    self.finish(lingers: false)
    self.pump()
  }

  // MARK: ends

  /// Closes when everything is written.
  func finish(lingers: Bool) {
    guard self.phase == .open else { return }
    self.phase = .closing(lingers: lingers)
    self.held = []
    self.heldStart = 0
  }

  /// Everything is written, and nothing more will be.
  func written(lingers: Bool) {
    guard lingers || self.isReadable, !self.hasEnded else { return self.close() }
    // A close with bytes unread is an RST, which would take the answer from the client.
    shutdown(self.client, CInt(SHUT_WR))
    self.phase = .lingering
    self.lingerEnd = self.loop.now + self.loop.http.lingerTimeout
    self.dropInput()
    self.arm()
  }

  func close() {
    if self.client >= 0 { cmesh_relay_close(self.client) }
    self.over()
  }

  func abort() {
    if self.client >= 0 { cmesh_relay_reset(self.client) }
    self.over()
  }

  func over() {
    guard self.phase != .over else { return }
    self.phase = .over
    // Whoever else was the reason has said so.
    self.dispatch.account.wasLeft()
    self.loop.ended(&self.dispatch.account)
    self.dispatch.ended()
    self.client = -1
    self.held = []
    self.output = OutputQueue()
    if !self.dispatch.mirrors.isEmpty { self.abandonMirrors() }
    self.dropWay()
    self.loop.ended(self)
  }
}
