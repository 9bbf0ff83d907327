import FoundationEssentials
package import MeshBase

/// The state of a container that a runtime gives its hooks on standard input (OCI runtime specification, "State").
package struct OCIState: Sendable, Hashable {
  package var id: String
  package var process: Int32
  package var status: String

  /// Of the whole state, annotations included.
  package static let limit = 1 << 20

  package init(_ bytes: [UInt8]) throws(MeshError) {
    guard bytes.count <= Self.limit else {
      throw MeshError(.invalid, "state", "is larger than \(Self.limit) bytes")
    }
    let state: State
    do {
      state = try JSONDecoder().decode(State.self, from: Data(bytes))
    } catch {
      throw MeshError(
        .invalid, "state", "is not the state of a container", cause: "\(error)",
        next: "a runtime gives it on standard input of a createRuntime hook")
    }
    guard ContainerRecord.isID(state.id) else { throw MeshError(.invalid, "state", "its id is none") }
    guard let process = Int32(exactly: state.pid), process > 1 else {
      throw MeshError(
        .invalid, "container \(state.id)", "has no process yet", next: "run the hook at the stage createRuntime")
    }
    self.id = state.id
    self.process = process
    self.status = state.status ?? ""
  }

  private struct State: Decodable {
    var id: String
    var pid: Int64
    var status: String?
  }
}
