/// # MeshProto: entries as bytes
///
/// The conversion of entries to and from protobuf, and the last good snapshot on disk (`SnapshotFile`). Such bytes also
/// travel in the delta session with the control plane (`MeshWire`) and from agent to proxy (`MeshLink`). Floor 3: pure, no
/// pointers, no I/O; imports SwiftProtobuf and, for `Data`, FoundationEssentials. `protos/` holds the definitions,
/// `Generated/` what `scripts/generate-proto` makes of them.
///
/// Read in this order: `Entry+Bytes`, `FieldPath`, `PolicyEntry+Proto` (the strictest conversion), `HTTPRouting+Proto`,
/// `SnapshotFile`.
///
/// Invariants:
/// - One content has one encoding: no maps, fields in the order of their numbers. Its hash is the entry's version.
/// - Decoding is total: any bytes give an entry or a `MeshError` that names the field. Nothing traps.
/// - Whatever decodes is a valid entry; every valid entry decodes to itself.
/// - A policy, workload or configuration with a field or enum value that this version does not know is refused, because
///   what it leaves out could widen what is allowed. A service or its endpoints may carry unknown fields: they only route.
/// - So is a service with a rule for requests (`HTTPRouting`) that is not understood: the rule would take other requests. So is
///   one with settings of its traffic (`TrafficSettings`) that are not understood: a fault, say, would hit other requests.
package enum MeshProto {
  /// The largest encoded entry that is sent or accepted, in bytes.
  package static let maximumEntrySize = 8 << 20
  /// The largest message of a delta session that is accepted, in bytes.
  package static let maximumMessageSize = 16 << 20
}
