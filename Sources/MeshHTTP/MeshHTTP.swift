/// # MeshHTTP: what HTTP's bytes mean
///
/// The machines of HTTP connections: bytes in, events out. Floor 3: no socket, no clock, no task; pointers only as spans, and in the
/// byte loops of `HTTPBytes`. A driver owns the read buffer, the sockets and the time. NIOCore and NIOHPACK are imported by
/// `HPACKCodec` only.
///
/// HTTP/1.1, in this order: `HTTP1ServerConnection` and `HTTP1ClientConnection` (the two sides, each with its drawing),
/// `HTTP1HeadParser` and `HTTP1BodyParser` (where heads and bodies begin and end), `HTTP1FieldRules` and `HTTP1Heads` (what they
/// mean), `HTTP1Writer` (what goes out), `HTTP1Fault` (why not), `HTTP1Limits`.
///
/// HTTP/2, in this order: `HTTP2Connection` (either side of one, with its drawing; a file each for frames, heads, data, what is
/// sent, and time), `HTTP2Stream` (what each side of an exchange may still say), `HTTP2ReceiveWindow`, `HTTP2ResetRing` (streams
/// of which the peer may still be sending), `HTTP2Limits` (and budgets: `RateBudget`), `HTTP2Frame` (frame headers, error codes,
/// the scope of a failure), `HTTP2Settings` (what the peer set), `FieldBlock` and `HeaderBlockCodec` (names and values as
/// ranges of bytes; `HPACKCodec` makes them with NIOHPACK), `HTTP2Head` (a field block that is a lawful head or trailer).
/// gRPC: `GRPCStatus`, `GRPCTimeout`. From one version into the other: `HTTPBridge`.
///
/// Invariants: any bytes end in an event or a fault, never in a trap, in time bounded by their number and wherever they were cut;
/// a body is told as ranges of the input and never copied; a head is parsed once, and what goes out is written from
/// what was parsed: framing, host and connection are never copied from the input; a connection is used again only if the ends of
/// request and response were both proven; who is refused is told why by a word of `HTTP1Fault`, and nothing of it is passed on.
package enum MeshHTTP {}
