import MeshBase
import MeshLink
import Synchronization

/// With what the workloads of this node prove who they are, and whom they believe. In memory only: the agent says it again to
/// each proxy. May be called from any thread.
final class ProxyIdentities: Sendable {
  struct State: Sendable {
    var materials: [SPIFFEID: IdentityMaterial] = [:]
    var trust: [TrustMaterial] = []
  }

  private let state = Mutex(State())
  private let onChange: @Sendable (State) -> Void

  /// - onChange: what holds from here on. Called under no lock, by whoever changed it.
  init(onChange: @escaping @Sendable (State) -> Void) { self.onChange = onChange }

  var current: State { self.state.withLock { $0 } }

  func use(_ material: IdentityMaterial) { self.change { $0.materials[material.identity] = material } }

  func trust(_ domains: [TrustMaterial]) { self.change { $0.trust = domains } }

  func retain(_ identities: [SPIFFEID]) {
    let kept = Set(identities)
    self.change { state in state.materials = state.materials.filter { kept.contains($0.key) } }
  }

  private func change(_ body: (inout State) -> Void) {
    let new = self.state.withLock { state in
      body(&state)
      return state
    }
    self.onChange(new)
  }
}
