import MeshBase
import MeshSnapshot

extension Martlet_Entries_V1_PeerModes {
  init(_ modes: PeerModes) {
    self.init()
    self.mode = Mode(modes.mode)
    self.ports = modes.ports.sorted { $0.key < $1.key }.map { port, mode in
      var message = Port()
      message.port = UInt32(port)
      message.mode = Mode(mode)
      return message
    }
  }
}

extension PeerModes {
  init(_ message: Martlet_Entries_V1_PeerModes, _ field: FieldPath) throws(MeshError) {
    var ports: [UInt16: Mode] = [:]
    for (index, entry) in message.ports.enumerated() {
      let field = field["ports"][index]
      guard let port = UInt16(exactly: entry.port), port > 0 else { throw field.error("\(entry.port) is no port") }
      guard ports.updateValue(try Mode(entry.mode, field["mode"]), forKey: port) == nil else {
        throw field.error("port \(port) occurs twice")
      }
    }
    self.init(mode: try Mode(message.mode, field["mode"]), ports: ports)
  }
}

extension Martlet_Entries_V1_PeerModes.Mode {
  fileprivate init(_ mode: PeerModes.Mode) {
    self =
      switch mode {
      case .strict: .strict
      case .permissive: .permissive
      case .disable: .disable
      }
  }
}

extension PeerModes.Mode {
  fileprivate init(_ mode: Martlet_Entries_V1_PeerModes.Mode, _ field: FieldPath) throws(MeshError) {
    switch mode {
    case .strict: self = .strict
    case .permissive: self = .permissive
    case .disable: self = .disable
    case .unspecified: throw field.error("missing")
    case .UNRECOGNIZED(let value): throw field.error("\(value) is unknown to this version")
    }
  }
}
