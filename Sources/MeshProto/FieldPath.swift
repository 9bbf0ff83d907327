import MeshBase
import SwiftProtobuf

/// Where in a message a value stands: the entry, and the path of the field as it is written in the .proto file
/// (`rules[1].from[0].ip_blocks[2]`). It makes the errors of the conversions.
struct FieldPath: Sendable {
  let object: String
  let path: String

  /// `name` is the entry's name as received: it is shown with everything but printable ASCII replaced, and cut.
  init(_ kind: String, _ name: String) {
    let shown = String(
      decoding: name.utf8.prefix(128).map { (0x21...0x7e).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    self.object = shown.isEmpty ? kind : "\(kind) \(shown)"
    self.path = ""
  }

  private init(object: String, path: String) {
    self.object = object
    self.path = path
  }

  subscript(field: String) -> FieldPath {
    FieldPath(object: self.object, path: self.path.isEmpty ? field : "\(self.path).\(field)")
  }

  subscript(index: Int) -> FieldPath {
    FieldPath(object: self.object, path: "\(self.path)[\(index)]")
  }

  func error(_ message: String) -> MeshError {
    MeshError(.invalid, self.object, self.path.isEmpty ? message : "\(self.path): \(message)")
  }
}

extension FieldPath {
  func resourceName(_ text: String) throws(MeshError) -> ResourceName {
    if text.isEmpty { throw self.error("missing") }
    guard let name = ResourceName(text) else { throw self.error("not a namespace/name") }
    return name
  }

  func address(_ message: Martlet_Entries_V1_Address) -> IPAddress {
    IPAddress(high: message.high, low: message.low)
  }

  /// Addresses of a workload, an endpoint or a service: something that one can connect to, each once.
  func unicastAddresses(_ messages: [Martlet_Entries_V1_Address]) throws(MeshError) -> [IPAddress] {
    var result: [IPAddress] = []
    result.reserveCapacity(messages.count)
    var seen: Set<IPAddress> = []
    for (index, message) in messages.enumerated() {
      let address = self.address(message)
      if address.isUnspecified || address.isMulticast { throw self[index].error("\(address) is no unicast address") }
      guard seen.insert(address).inserted else { throw self[index].error("\(address) occurs twice") }
      result.append(address)
    }
    return result
  }

  func prefix(_ message: Martlet_Entries_V1_Prefix) throws(MeshError) -> IPPrefix {
    guard message.hasAddress else { throw self["address"].error("missing") }
    let address = self.address(message.address)
    guard let length = Int(exactly: message.length), let prefix = IPPrefix(address, length: length) else {
      throw self["length"].error("\(message.length) is too long")
    }
    guard prefix.address == address else { throw self["address"].error("has bits past the prefix") }
    return prefix
  }

  func port(_ value: UInt32) throws(MeshError) -> UInt16 {
    guard let port = UInt16(exactly: value), port != 0 else { throw self.error("\(value) is no port (1 to 65535)") }
    return port
  }

  func number<Number: FixedWidthInteger>(
    _ value: UInt32, in range: ClosedRange<Number>
  ) throws(MeshError) -> Number {
    guard let number = Number(exactly: value), range.contains(number) else {
      throw self.error("\(value) is not from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  /// Text for people and labels: 1 to `limit` bytes, no control characters.
  func text(_ value: String, limit: Int) throws(MeshError) -> String {
    if value.isEmpty { throw self.error("missing") }
    if value.utf8.count > limit { throw self.error("longer than \(limit) bytes") }
    if value.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { throw self.error("holds control characters") }
    return value
  }

  /// Refuses what this version does not understand.
  func known(_ message: some Message) throws(MeshError) {
    guard message.unknownFields == UnknownStorage() else {
      throw self.error("holds a field that this version does not know")
    }
  }
}

extension Martlet_Entries_V1_Address {
  init(_ address: IPAddress) {
    self.init()
    self.high = address.high
    self.low = address.low
  }
}

extension Martlet_Entries_V1_Prefix {
  init(_ prefix: IPPrefix) {
    self.init()
    self.address = Martlet_Entries_V1_Address(prefix.address)
    self.length = UInt32(clamping: prefix.length)
  }
}
