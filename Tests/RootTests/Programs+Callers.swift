/// More clients and servers for the tests with root.
extension Programs {
  /// `MODE HOST PORT`: connects in an unusual way, prints what came back for `hello`, or the name of the error.
  static let variantCall = """
    import errno, os, socket, sys
    mode, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if mode == "uid1000":
        os.setgroups([])
        os.setgid(1000)
        os.setuid(1000)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if mode == "fastopen":
            s = socket.socket(family)
            # With a timeout the socket would not block, and the call would say EINPROGRESS.
            s.sendto(b"hello", 0x20000000, (host, port))
            s.settimeout(5)
        elif mode == "udp":
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.settimeout(5)
            s.connect((host, port))
            s.send(b"hello")
        elif mode == "sendto":
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.settimeout(5)
            s.sendto(b"hello", (host, port))
        else:
            s = socket.socket(family, socket.SOCK_STREAM, 262 if mode == "mptcp" else 0)
            s.settimeout(5)
            if mode == "device": s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\\0")
            s.connect((host, port))
            if s.getpeername()[:2] != (host, port): print("peer", s.getpeername()[:2])
            s.sendall(b"hello")
        got = b""
        while len(got) < 5:
            b = s.recv(5 - len(got))
            if not b: break
            got += b
        print(got.decode())
    except socket.timeout: print("timeout")
    except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
    """

  /// A UDP server that sends back what it gets.
  static let udpEcho = """
    import socket, sys
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", int(sys.argv[1])))
    print("ready", flush=True)
    while True:
        b, a = s.recvfrom(2048)
        s.sendto(b, a)
    """

  /// `PORT NAME`: answers five bytes with its name and closes.
  static let nameServer = """
    import socket, sys
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", int(sys.argv[1])))
    s.listen(1024)
    while True:
        c, _ = s.accept()
        try:
            c.settimeout(5)
            c.recv(5, socket.MSG_WAITALL)
            c.sendall(sys.argv[2].encode())
        except OSError: pass
        c.close()
    """

  /// `HOST PORT SECONDS`: asks again and again; a line each: the name that answered, or `failed` and why.
  static let askLoop = """
    import socket, sys, time
    host, port, end = sys.argv[1], int(sys.argv[2]), time.time() + float(sys.argv[3])
    while time.time() < end:
        try:
            s = socket.create_connection((host, port), 5)
            s.settimeout(5)
            s.sendall(b"hello")
            got = b""
            while True:
                b = s.recv(100)
                if not b: break
                got += b
            s.close()
            print(got.decode() or "failed: nothing", flush=True)
        except OSError as e:
            print("failed:", e, flush=True)
        time.sleep(0.002)
    """

  /// Makes a socket, waits for SIGUSR1, and only then connects.
  static let earlySocket = """
    import errno, signal, socket, sys
    s = socket.socket()
    s.settimeout(5)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    print("made", flush=True)
    signal.sigwait([signal.SIGUSR1])
    try:
        s.connect((sys.argv[1], int(sys.argv[2])))
        s.sendall(b"hello")
        print("answer", s.recv(5, socket.MSG_WAITALL).decode(), flush=True)
    except OSError as e: print("error", errno.errorcode.get(e.errno, str(e)), flush=True)
    """
}
