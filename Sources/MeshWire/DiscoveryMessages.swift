import FoundationEssentials
import MeshBase
import MeshProto
import MeshSnapshot
import MeshSync
import SwiftProtobuf

typealias RequestMessage = Envoy_Service_Discovery_V3_DeltaDiscoveryRequest
typealias ResponseMessage = Envoy_Service_Discovery_V3_DeltaDiscoveryResponse

extension SessionRequest {
  private static let rejectionsTypeURL = "type.googleapis.com/martlet.entries.v1.Rejections"
  /// google.rpc.Code.INVALID_ARGUMENT
  private static let invalidArgument: Int32 = 3

  func encoded() throws -> [UInt8] {
    var message = RequestMessage()
    if let node = self.node { message.node.id = node }
    message.typeURL = self.kind.typeURL
    message.resourceNamesSubscribe = self.subscribe
    message.resourceNamesUnsubscribe = self.unsubscribe
    message.initialResourceVersions = self.initialVersions.mapValues(\.description)
    message.responseNonce = self.nonce
    if let refusal = self.refusal {
      message.errorDetail.code = Self.invalidArgument
      message.errorDetail.message = refusal.message
      var rejections = Martlet_Entries_V1_Rejections()
      rejections.rejections = refusal.rejections.map { rejection in
        var message = Martlet_Entries_V1_Rejection()
        message.name = rejection.name
        message.reason = rejection.reason
        return message
      }
      var detail = Google_Protobuf_Any()
      detail.typeURL = Self.rejectionsTypeURL
      detail.value = try rejections.serializedBytes()
      message.errorDetail.details = [detail]
    }
    return try message.serializedBytes()
  }

  init(bytes: [UInt8]) throws(MeshError) {
    let message: RequestMessage
    do {
      message = try RequestMessage(serializedBytes: bytes)
    } catch {
      throw MeshError(.invalid, "delta session", "not a valid request", cause: "\(error)")
    }
    guard let kind = EntryKind(typeURL: message.typeURL) else {
      throw MeshError(.unsupported, "delta session", "no kind of entry has the type \(message.typeURL.prefix(128))")
    }
    self.init(
      node: message.hasNode ? message.node.id : nil, kind: kind, subscribe: message.resourceNamesSubscribe,
      unsubscribe: message.resourceNamesUnsubscribe,
      // A version that is none of ours differs from every one of ours: the entry is sent again.
      initialVersions: message.initialResourceVersions.mapValues { ContentVersion($0) ?? ContentVersion(value: 0) },
      nonce: message.responseNonce)
    if message.hasErrorDetail {
      var refusal = Refusal(message: message.errorDetail.message, rejections: [])
      for detail in message.errorDetail.details where detail.typeURL == Self.rejectionsTypeURL {
        if let rejections = try? Martlet_Entries_V1_Rejections(serializedBytes: detail.value) {
          refusal.rejections += rejections.rejections.map { Rejection(name: $0.name, reason: $0.reason) }
        }
      }
      self.refusal = refusal
    }
  }
}

extension SessionResponse {
  /// Resources that are no valid entry are in `failures`; what makes the whole response meaningless is thrown.
  init(bytes: [UInt8]) throws(MeshError) {
    let message: ResponseMessage
    do {
      message = try ResponseMessage(serializedBytes: bytes)
    } catch {
      throw MeshError(.invalid, "delta session", "not a valid response", cause: "\(error)")
    }
    guard let kind = EntryKind(typeURL: message.typeURL) else {
      throw MeshError(.unsupported, "delta session", "no kind of entry has the type \(message.typeURL.prefix(128))")
    }
    guard let (version, isPartial) = SessionResponse.parse(systemVersion: message.systemVersionInfo) else {
      throw MeshError(.invalid, "delta session", "the response does not say its epoch and revision")
    }
    self.init(
      kind: kind, nonce: message.nonce, version: version, isPartial: isPartial, removals: message.removedResources)
    self.upserts.reserveCapacity(message.resources.count)
    for resource in message.resources {
      do throws(MeshError) {
        self.upserts.append(try Self.entry(kind, resource))
      } catch {
        self.failures.append(Rejection(name: resource.name, reason: error.description))
      }
    }
  }

  private static func entry(
    _ kind: EntryKind, _ resource: Envoy_Service_Discovery_V3_Resource
  ) throws(MeshError) -> VersionedEntry {
    guard resource.resource.typeURL == kind.typeURL else {
      throw MeshError(.invalid, "\(kind)", "the resource has another type than its response")
    }
    let entry = try VersionedEntry(kind, bytes: [UInt8](resource.resource.value))
    guard entry.value.key.name == resource.name else {
      throw MeshError(.invalid, "\(entry.value.key)", "is sent under another name")
    }
    guard entry.version.description == resource.version else {
      throw MeshError(.invalid, "\(entry.value.key)", "the version is not the hash of the content")
    }
    return entry
  }
}
