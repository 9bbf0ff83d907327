import MeshBase
import MeshLinux

/// How a call of a test client ended.
package enum CallOutcome: Hashable, Sendable {
  /// What the server sent before it closed, or as many bytes as were sent to it.
  case answer(String)
  /// ECONNREFUSED.
  case refused
  /// Connected, then ECONNRESET or ECONNABORTED.
  case reset
  /// Nothing within the time.
  case timedOut
  /// Any other error, by its errno name.
  case failed(String)
}

extension Place {
  /// A TCP server that sends back what it gets, on every address of one family each. Returns when it listens.
  @discardableResult
  package func startEcho(port: UInt16) throws -> WorldProcess {
    let process = try self.start(["python3", "-c", Self.echoProgram, "\(port)"])
    try self.waitForListener(port: port, process: process)
    return process
  }

  /// Waits until a socket of the namespace listens on the port.
  package func waitForListener(port: UInt16, process: WorldProcess? = nil, within timeout: Duration = .seconds(30))
    throws
  {
    let found = try eventually(within: timeout) {
      if let process, !process.isRunning { return true }
      return try self.namespace.sockets().contains { $0.isListening && $0.local.port == port }
    }
    guard found, process?.isRunning ?? true else {
      throw MeshError(
        .unavailable, "\(self.name):\(port)", "nobody listens", cause: process.map { "\($0.stdout)\n\($0.stderr)" })
    }
  }

  /// Connects to `address:port` as a program of this place, sends the text and reads as much back.
  package func call(_ target: String, _ text: String = "hello", timeout: Duration = .seconds(5)) throws -> CallOutcome {
    guard let target = SocketEndpoint(target) else { throw MeshError(.invalid, target, "is no address and port") }
    let seconds = Double(timeout.milliseconds) / 1000
    let finished = try self.run(
      ["python3", "-c", Self.callProgram, "\(target.address)", "\(target.port)", text, "\(seconds)"],
      timeout: timeout * 2 + .seconds(10))
    let line = finished.stdout.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
    guard finished.isSuccess, let word = line.first else {
      throw MeshError(.internal, self.name, "the test client failed", cause: finished.description)
    }
    switch word {
    case "answer": return .answer(line.count > 1 ? String(line[1]) : "")
    case "ECONNREFUSED": return .refused
    case "ECONNRESET", "ECONNABORTED", "EPIPE": return .reset
    case "timeout", "ETIMEDOUT": return .timedOut
    default: return .failed(String(word))
    }
  }

  /// One thread a connection; sockets of IPv4 and IPv6 apart, because that is what most servers do.
  private static var echoProgram: String {
    """
    import socket, sys, threading
    def serve(c):
        try:
            while True:
                b = c.recv(65536)
                if not b: break
                c.sendall(b)
        except OSError: pass
        finally: c.close()
    def accept(l):
        while True:
            c, _ = l.accept()
            threading.Thread(target=serve, args=(c,), daemon=True).start()
    ls = []
    for f, a in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        l = socket.socket(f, socket.SOCK_STREAM)
        l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if f == socket.AF_INET6: l.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        l.bind((a, int(sys.argv[1])))
        ls.append(l)
    for l in ls: l.listen(1024)
    for l in ls[1:]: threading.Thread(target=accept, args=(l,), daemon=True).start()
    accept(ls[0])
    """
  }

  private static var callProgram: String {
    """
    import errno, socket, sys
    host, port, text, seconds = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode(), float(sys.argv[4])
    try:
        s = socket.create_connection((host, port), seconds)
        s.settimeout(seconds)
        s.sendall(text)
        got = b""
        while len(got) < len(text):
            b = s.recv(65536)
            if not b: break
            got += b
        sys.stdout.write("answer\\n" + got.decode())
    except socket.timeout: print("timeout")
    except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
    """
  }
}
