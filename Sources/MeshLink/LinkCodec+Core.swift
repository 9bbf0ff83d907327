package import MeshBase

/// What is said the same in every protocol since the third, and has to stay: it is how an agent serves a proxy of another
/// build, which accepts connections until a proxy of the agent's own takes over.
///
/// - frames themselves, and the sockets they go by
/// - up: `hello`, in whose body more may follow; `stockWanted`; `draining`; of `stats` the first number
/// - down: `withdraw` and `drain`; descriptors of stock (`DescriptorHeader`, 40 bytes, layout 2)
///
/// Everything else of such a proxy is skipped, and it is told nothing else: no revision, no listener.
extension LinkCodec {
  /// No workload's number. To withdraw it says nothing but that the agent is there.
  package static let nobody = UInt32.max

  /// One frame of a proxy that speaks another protocol. Nil: it is not of the core.
  package func coreMessage(_ frame: LinkFraming.Frame) throws(MeshError) -> ProxyMessage? {
    var body = LinkReader(frame)
    switch Kind(rawValue: frame.kind) {
    case .hello: return try body.hello()
    case .stockWanted, .draining: return try self.proxyMessage(frame)
    case .stats: return .stats(ProxyStats(active: try body.integer()))
    default: return nil
    }
  }
}

extension LinkReader {
  mutating func hello() throws(MeshError) -> ProxyMessage {
    let process: Int32 = try self.integer()
    let version = try self.text()
    let spoken: UInt16 = try self.integer()
    return .hello(process: process, version: version, isDraining: try self.flag(), spoken: spoken)
  }
}
