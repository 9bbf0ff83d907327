import Glibc
import MeshHTTP
import MeshRouting
import MeshSnapshot

/// The session of a request while it is under way.
final class HTTPSessionDraft {
  private let sessions: HTTPSessions
  /// What the request bore, if it leads to an endpoint that is ready.
  private let token: SessionToken?
  /// That endpoint.
  let choice: RoutingTable.Choice?
  private let now: UInt32

  init(_ sessions: HTTPSessions, _ token: SessionToken?, _ choice: RoutingTable.Choice?, now: UInt32) {
    self.sessions = sessions
    self.token = token
    self.choice = choice
    self.now = now
  }

  /// Of the answer of the endpoint that gave it.
  func edit(_ edit: HTTP1FieldEdit, for choice: RoutingTable.Choice?) -> HTTP1FieldEdit {
    guard let choice, let field = self.sessions.field(for: choice, after: self.token, now: self.now) else {
      return edit
    }
    var own = HTTP1FieldEdit()
    // Cookies of the application stay.
    if field.name == "set-cookie" { _ = own.add(field.name, field.value) } else { _ = own.set(field.name, field.value) }
    return edit.followed(by: own)
  }
}

extension RelayLoop {
  /// The session of a request, and the backend that it is with. A session stays with its backend whatever weight that has, as
  /// GEP-1619 has it; `share`: of a backend, if it has an endpoint that is ready.
  func session(
    _ sessions: HTTPSessions, of action: HTTPRouteAction, _ table: RoutingTable, in input: Span<UInt8>,
    share: (HTTPRouteAction.Backend) -> RoutingTable.Share?
  ) -> (draft: HTTPSessionDraft, place: (index: Int, share: RoutingTable.Share)?) {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let now = UInt32(clamping: time.tv_sec)
    if let token = sessions.token(in: self.routed, input, now: now) {
      for index in action.backends.indices {
        guard let share = share(action.backends[index]),
          let choice = table.endpoint(in: share, where: { sessions.names($0, token) })
        else { continue }
        return (HTTPSessionDraft(sessions, token, choice, now: now), (index, share))
      }
    }
    return (HTTPSessionDraft(sessions, nil, nil, now: now), nil)
  }
}
