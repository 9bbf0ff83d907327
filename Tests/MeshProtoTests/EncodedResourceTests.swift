import MeshBase
import MeshProto
import MeshSnapshot
import SwiftProtobuf
import Testing

@Suite("Responses made of encoded resources")
struct EncodedResourceTests {
  @Test("are what protobuf itself reads")
  func response() throws {
    let entry = try Sample.workload()
    let resource = EncodedResource(entry)
    let bytes = EncodedResource.response(
      .workload, systemVersion: "3.4", nonce: "n", resources: [resource, resource], removed: ["shop/x", "shop/y"])
    let message = try Envoy_Service_Discovery_V3_DeltaDiscoveryResponse(serializedBytes: bytes)
    #expect(message.systemVersionInfo == "3.4")
    #expect(message.nonce == "n")
    #expect(message.typeURL == EntryKind.workload.typeURL)
    #expect(message.removedResources == ["shop/x", "shop/y"])
    #expect(message.resources.count == 2)
    #expect(message.resources[0].name == "shop/web-1")
    #expect(message.resources[0].version == VersionedEntry(entry).version.description)
    #expect(message.resources[0].resource.typeURL == EntryKind.workload.typeURL)
    #expect([UInt8](message.resources[1].resource.value) == entry.encoded())
    #expect(try message.serializedBytes() as [UInt8] == bytes)
  }

  @Test("an empty response is one")
  func empty() throws {
    let bytes = EncodedResource.response(.config, systemVersion: "1.1", nonce: "1", resources: [], removed: [])
    let message = try Envoy_Service_Discovery_V3_DeltaDiscoveryResponse(serializedBytes: bytes)
    #expect(message.resources.isEmpty)
    #expect(message.nonce == "1")
  }
}
