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

  static let join = MethodDescriptor.identity("Join")
  static let renew = MethodDescriptor.identity("Renew")
  static let sign = MethodDescriptor.identity("Sign")

  private static func identity(_ method: String) -> MethodDescriptor {
    MethodDescriptor(service: ServiceDescriptor(fullyQualifiedService: MeshWire.identityService), method: method)
  }

  /// Updates of `WorkloadStatus` up, acknowledgements down.
  static let reportStatus = MethodDescriptor(
    service: ServiceDescriptor(fullyQualifiedService: MeshWire.statusService), method: MeshWire.statusMethod)
}
