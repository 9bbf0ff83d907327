import MeshBase
import MeshHTTP
import MeshRouting
import MeshTelemetry

/// Deadlines and ends of a stream.
extension HTTP2Exchange {
  /// When somebody has waited for too long. Calls may be silent for long: only their own deadline ends them.
  var deadline: UInt64? {
    let http = self.loop.http
    var first = self.dispatch.deadline
    if self.dispatch.isBetween {
      // The rest waits for what comes of that.
    } else if self.outflow.hasWork || self.awaitsBody {
      first = min(first, self.movedAt + http.stallTimeout)
    } else if http.idleTimeout > 0 {
      first = min(first, self.movedAt + http.idleTimeout)
    }
    return first == .max ? nil : first
  }

  /// The client owes the rest of what was asked for with one message.
  private var awaitsBody: Bool {
    !self.isCall && !self.requestHasEnded && self.dispatch.phase == .waiting && self.pending.isEmpty
  }

  func expire(now: UInt64) {
    guard let deadline = self.deadline, deadline <= now, !self.isOver else { return }
    let action = self.dispatch.expired(now: now)
    if action == .cut {
      self.account.flags.insert(.durationTimeout)
      return self.cut(.cancel)
    }
    if action != .none { return self.perform(action, []) }
    if self.outflow.hasWork || self.answerHasBegun {
      self.loop.count("stalled")
      self.account.flags.insert(.streamIdleTimeout)
      self.cut(.cancel)
    } else {
      if !self.awaitsBody { self.dispatch.stalled(now: now) }
      self.answerLocally(self.awaitsBody ? .bodyTimeout : .upstreamIdle)
    }
  }

  /// The answer cannot be ended: RST_STREAM, so that it does not look whole.
  func cut(_ code: HTTP2ErrorCode) {
    guard !self.isOver else { return }
    self.server.reset(self.id, code)
    self.over()
  }

  /// The client gave it up, or is gone.
  func cancelled() { self.over() }

  func over() {
    guard !self.isOver else { return }
    self.isOver = true
    // Whoever else was the reason has said so.
    self.dispatch.account.wasLeft()
    self.loop.ended(&self.dispatch.account)
    self.dispatch.ended()
    if !self.dispatch.mirrors.isEmpty { self.abandonMirrors() }
    self.dropWay()
    self.dropBody()
    self.server.remove(self.id)
  }
}
