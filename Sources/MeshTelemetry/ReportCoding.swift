import FoundationEssentials
package import MeshBase

/// The JSON of reports: keys sorted, so that equal reports are equal text.
package enum ReportCoding {
  package static func encode(_ value: some Encodable, pretty: Bool = false) throws(MeshError) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting =
      pretty ? [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted] : [.sortedKeys, .withoutEscapingSlashes]
    do {
      return Array(try encoder.encode(value))
    } catch {
      throw MeshError(.internal, "report", "cannot be written as JSON", cause: "\(error)")
    }
  }

  package static func decode<Value: Decodable>(_: Value.Type, from bytes: [UInt8]) throws(MeshError) -> Value {
    do {
      return try JSONDecoder().decode(Value.self, from: Data(bytes))
    } catch {
      throw MeshError(
        .invalid, "answer", "is not what this version expects", cause: "\(error)",
        next: "use a martlet of the agent's version")
    }
  }
}

/// What an answer other than 200 carries.
package struct ErrorReport: Codable, Sendable, Hashable {
  package var code: String
  package var object: String
  package var message: String
  package var cause: String?
  package var next: String?

  package init(_ error: MeshError) {
    self.code = error.code.rawValue
    self.object = error.object
    self.message = error.message
    self.cause = error.cause
    self.next = error.next
  }

  package var error: MeshError {
    MeshError(
      MeshError.Code(rawValue: self.code) ?? .internal, self.object, self.message, cause: self.cause, next: self.next)
  }
}

/// One line of `GET /v1/flows`: a record, or how many this reader was too slow for.
package enum FlowLine: Codable, Sendable, Hashable {
  case record(FlowRecord)
  case missed(UInt64)

  private enum Key: String, CodingKey { case missed }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    if let count = try container.decodeIfPresent(UInt64.self, forKey: .missed) {
      self = .missed(count)
    } else {
      self = .record(try FlowRecord(from: decoder))
    }
  }

  package func encode(to encoder: any Encoder) throws {
    switch self {
    case .record(let record): try record.encode(to: encoder)
    case .missed(let count):
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(count, forKey: .missed)
    }
  }
}
