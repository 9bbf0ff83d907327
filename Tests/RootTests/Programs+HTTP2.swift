/// Servers and clients that speak HTTP/2 by prior knowledge, with Debian's python3-h2: to be run by /usr/bin/python3.
extension Programs {
  /// `PORT NAME`: answers every call of gRPC with its name as the message, on any number of connections.
  static let callServer = """
    import socketserver, struct, sys
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import StreamEnded
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            h2 = H2Connection(H2Configuration(client_side=False))
            h2.initiate_connection()
            self.request.sendall(h2.data_to_send())
            while data := self.request.recv(65536):
                for event in h2.receive_data(data):
                    if isinstance(event, StreamEnded):
                        body = sys.argv[2].encode()
                        h2.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                        h2.send_data(event.stream_id, struct.pack(">BI", 0, len(body)) + body)
                        h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
                self.request.sendall(h2.data_to_send())
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True
        request_queue_size = 1024
    Server(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
    """

  /// `HOST PORT SECONDS`: calls again and again, eight at a time on one connection that stays. Says what `httpLoad` says.
  static let callLoad = """
    import collections, socket, sys, time
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2 import events
    host, port, end = sys.argv[1], int(sys.argv[2]), time.time() + float(sys.argv[3])
    counts, calls, told = collections.Counter(), {}, time.time()
    h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
    h2.initiate_connection()
    wire = socket.create_connection((host, port), timeout=10)
    while time.time() < end:
        while len(calls) < 8:
            stream = h2.get_next_available_stream_id()
            h2.send_headers(stream, [(":method", "POST"), (":scheme", "http"), (":authority", host),
                                     (":path", "/demo.Shop/Ask"), ("content-type", "application/grpc"), ("te", "trailers")])
            h2.send_data(stream, bytes(5), end_stream=True)
            calls[stream] = [b"", None]
        wire.sendall(h2.data_to_send())
        data = wire.recv(65536)
        if not data:
            print("failed: the connection ended", flush=True)
            break
        for event in h2.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, events.DataReceived):
                h2.acknowledge_received_data(event.flow_controlled_length, stream)
                if stream in calls: calls[stream][0] += event.data
            elif isinstance(event, (events.ResponseReceived, events.TrailersReceived)) and stream in calls:
                calls[stream][1] = dict(event.headers).get("grpc-status", calls[stream][1])
            elif isinstance(event, (events.StreamEnded, events.StreamReset)) and stream in calls:
                body, status = calls.pop(stream)
                if status == "0" and isinstance(event, events.StreamEnded): counts[body[5:].decode()] += 1
                else: print("failed: %r" % event, status, flush=True)
            elif isinstance(event, events.ConnectionTerminated):
                print("failed: %r" % event, flush=True)
        if time.time() > told + 0.2:
            told = time.time()
            print(" ".join("%s=%d" % one for one in sorted(counts.items())), flush=True)
            counts.clear()
    """
}
