/// Servers and clients that speak HTTP/1.1.
extension Programs {
  /// `PORT NAME`: answers every GET with its name, on connections that stay.
  static let httpServer = """
    import http.server, sys
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1
        def do_GET(self):
            body = sys.argv[2].encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 1024
        daemon_threads = True
    Server(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
    """

  /// `HOST PORT SECONDS`: asks again and again, on three connections that stay and on one that is new each time. A line each
  /// fifth of a second: what answered since the last one and how often, and a line `failed` for each request that did not succeed.
  static let httpLoad = """
    import collections, http.client, sys, threading, time
    host, port, end = sys.argv[1], int(sys.argv[2]), time.time() + float(sys.argv[3])
    counts, lock = collections.Counter(), threading.Lock()
    def say(text):
        with lock: print(text, flush=True)
    def ask(stays):
        connection = None
        while time.time() < end:
            try:
                if connection is None: connection = http.client.HTTPConnection(host, port, timeout=10)
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read().decode()
                if answer.status != 200: raise OSError("%d %s" % (answer.status, body.strip()))
                with lock: counts[body] += 1
                if stays: continue
            except Exception as e: say("failed: %r" % e)
            connection.close()
            connection = None
    threads = [threading.Thread(target=ask, args=(n > 0,), daemon=True) for n in range(4)]
    for t in threads: t.start()
    while any(t.is_alive() for t in threads):
        time.sleep(0.2)
        with lock:
            print(" ".join("%s=%d" % one for one in sorted(counts.items())), flush=True)
            counts.clear()
    """
}
