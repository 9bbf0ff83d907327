import GRPCCore

/// gRPC messages that are bytes already.
struct BytesSerializer: MessageSerializer {
  func serialize<Bytes: GRPCContiguousBytes>(_ message: [UInt8]) throws -> Bytes { Bytes(message) }
}

struct BytesDeserializer: MessageDeserializer {
  func deserialize<Bytes: GRPCContiguousBytes>(_ bytes: Bytes) throws -> [UInt8] {
    bytes.withUnsafeBytes { Array($0) }
  }
}

extension MethodDescriptor {
  static let deltaResources = MethodDescriptor(
    service: ServiceDescriptor(fullyQualifiedService: MeshWire.service), method: MeshWire.method)

  /// Updates of `WorkloadStatus` up, acknowledgements down.
  static let reportStatus = MethodDescriptor(
    service: ServiceDescriptor(fullyQualifiedService: MeshWire.statusService), method: MeshWire.statusMethod)
}
