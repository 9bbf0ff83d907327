/// # MeshNet: connections
///
/// Accepts on handed-over listeners, asks the kernel what the application dialled, dials an endpoint with a socket of the
/// source's namespace, and moves bytes both ways until both ends are done.
///
/// Read in this order: `AcceptedFlow` (what a connection is), `RelayMachine` (the life of a relay), `UpstreamStock`
/// (sockets of other namespaces), `TransferChoice` (copy or splice), then the drivers: `LoopThread` (a loop on a thread of
/// its own), `RelayLoop` (what it knows), `RelayConnection` (one connection), `RelayStream` (the bytes of one
/// direction), `Relay` (all loops and listeners).
///
/// Ports that speak HTTP are parsed on the same loops. In this order: `HTTPExchange` (a request and its answer as a value),
/// `HTTPLocalAnswer` (what the proxy says itself), `UpstreamPool` and `DeadlineQueue` (values too), `HTTPConnection` (the client's
/// socket; `+Request`, `+Answer`, `+Ending`), `HTTPUpstream` (the other socket), `OutputQueue`, `RelayLoop+HTTP` (what the requests
/// of a loop share; `HTTPDirection`: where a request goes), `UpstreamDial` (how all sorts of connection get an upstream socket).
/// Whoever sends a request, of either version or as a copy for a mirror, has an `HTTPDispatch` (the request's way to an endpoint as a
/// value: its attempts, and what becomes of them) and is an `HTTPDispatcher`, which performs what follows.
/// HTTP/2: `HTTP2Wire` (a socket that it is spoken on), `HTTP2Server` (an accepted one) with an `HTTP2Exchange` a stream,
/// `HTTP2Upstream` (one toward an endpoint, shared) with an `HTTP2Leg` a stream, `HTTP2Outflow` (what a stream has still to say).
/// Either version's client can use either version's upstream: `HTTPUpstreamUser` and `HTTP2LegUser` are all that they know of
/// each other. What the bytes mean is MeshHTTP's, where they go is MeshRouting's.
///
/// Names are answered beside that, on one more thread: `NameServer` (its outside), `NameLoop` (sockets that drive a
/// `ResolverMachine`; `+Clients`, `+Upstreams`).
///
/// The loop is our own, edge-triggered: a relayed message costs a receive and a send and nothing else, and bulk is
/// spliced through a pipe, so that its bytes are never copied here.
///
/// Invariants: a connection and its upstream live on one loop and touch nothing else; the table of a loop is replaced by
/// a message to that loop; a failure on one side is an RST on the other, never a clean end; a descriptor has one owner;
/// an upstream connection is used again only by the workload that it was dialled for, and only if both messages on it were whole;
/// the loop's buffer is read into by one connection at a time; an idle connection holds no buffer; what one direction holds is bounded by one copy buffer or one pipe.
package enum MeshNet {}
