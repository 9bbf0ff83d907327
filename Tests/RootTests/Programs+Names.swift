/// Programs of the tests about names, in Python, because no tool asks by every kind of socket.
extension Programs {
  /// `MODE SERVER NAME TYPE`: asks SERVER, port 53, for NAME. MODE: `connected`, `unconnected`, `device` (connected, bound to
  /// eth0), `mapped` (an IPv6 socket that asks `::ffff:SERVER`), `tcp`. One line: the code, who answered, what getpeername
  /// says if connected, the answers.
  static let askName = """
    import random, socket, struct, sys
    mode, server, name, kind = sys.argv[1:5]
    family = socket.AF_INET6 if ":" in server or mode.startswith("mapped") else socket.AF_INET
    if mode.startswith("mapped"): server = "::ffff:" + server
    number = {"A": 1, "AAAA": 28, "SRV": 33}.get(kind) or int(kind)
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.rstrip(".").split("."))
    question = struct.pack("!HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, 0) + labels + b"\\0" \
      + struct.pack("!HH", number, 1)
    def exactly(s, n):
        got = b""
        while len(got) < n:
            more = s.recv(n - len(got))
            if not more: raise OSError("closed")
            got += more
        return got
    def ask():
        s = socket.socket(family, socket.SOCK_STREAM if mode == "tcp" else socket.SOCK_DGRAM)
        s.settimeout(8)
        if mode == "tcp":
            s.connect((server, 53))
            s.sendall(struct.pack("!H", len(question)) + question)
            return exactly(s, struct.unpack("!H", exactly(s, 2))[0]), server, s.getpeername()
        if mode == "unconnected" or mode == "mapped-unconnected":
            s.sendto(question, (server, 53))
            answer, source = s.recvfrom(65535)
            return answer, "%s,%d" % source[:2], None
        if mode == "device": s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0\\0")
        s.connect((server, 53))
        s.send(question)
        answer, source = s.recvfrom(65535)
        return answer, "%s,%d" % source[:2], s.getpeername()
    def skip(b, at):
        while b[at]:
            if b[at] >= 192: return at + 2
            at += b[at] + 1
        return at + 1
    def spell(b, at):
        out = []
        while b[at]:
            if b[at] >= 192: at = (b[at] & 63) << 8 | b[at + 1]
            else:
                out.append(b[at + 1:at + 1 + b[at]].decode())
                at += b[at] + 1
        return ".".join(out)
    try: answer, source, peer = ask()
    except socket.timeout: sys.exit(print("timeout"))
    except OSError as e: sys.exit(print("error", e))
    assert answer[:2] == question[:2], "another id"
    words = struct.unpack("!HHHHHH", answer[:12])
    code = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"][words[1] & 15]
    at, found = skip(answer, 12) + 4, []
    for _ in range(words[3]):
        at = skip(answer, at)
        number, _, _, length = struct.unpack("!HHIH", answer[at:at + 10])
        data = answer[at + 10:at + 10 + length]
        if number == 1: found.append(socket.inet_ntop(socket.AF_INET, data))
        elif number == 28: found.append(socket.inet_ntop(socket.AF_INET6, data))
        elif number == 33: found.append("%d %s" % (struct.unpack("!H", data[4:6])[0], spell(answer, at + 16)))
        else: found.append("type%d=%s" % (number, data.hex()))
        at += 10 + length
    said = " peer " + ",".join(map(str, peer[:2])) if peer else ""
    print(code, "from", source + said, *sorted(found))
    """

  /// A name server on port 53, UDP and TCP, of every address. Knows everything: A 192.0.2.7, AAAA 2001:db8::7, for any other
  /// type four bytes; `mesh.example` has an address of the mesh's own, `big.example` 40 addresses that only TCP carries.
  /// Prints each question: transport, who asked, its bytes.
  static let everyName = """
    import socket, struct, threading
    def answer(q, tcp):
        end = 12
        while q[end]: end += q[end] + 1
        name, kind = q[12:end + 1], struct.unpack("!H", q[end + 1:end + 3])[0]
        data = {1: [socket.inet_aton("192.0.2.7")], 28: [socket.inet_pton(socket.AF_INET6, "2001:db8::7")]}
        data = data.get(kind, [b"\\x00\\x01\\xfe\\xff"])
        flags = 0x8180
        if b"mesh" in name and kind == 1: data = [socket.inet_aton("240.240.1.1")]
        if b"big" in name and tcp: data = [bytes([192, 0, 2, n]) for n in range(40)]
        if b"big" in name and not tcp: data, flags = [], 0x8380
        out = q[:2] + struct.pack("!HHHHH", flags, 1, len(data), 0, 0) + q[12:end + 5]
        for d in data: out += b"\\xc0\\x0c" + struct.pack("!HHIH", kind, 1, 60, len(d)) + d
        return out
    def say(*words): print(*words, flush=True)
    def datagrams(s):
        while True:
            q, a = s.recvfrom(65535)
            say("udp", a[0], q.hex())
            s.sendto(answer(q, False), a)
    def one(c, a):
        try:
            while True:
                n = c.recv(2, socket.MSG_WAITALL)
                if len(n) < 2: break
                q = c.recv(struct.unpack("!H", n)[0], socket.MSG_WAITALL)
                say("tcp", a[0], q.hex())
                r = answer(q, True)
                c.sendall(struct.pack("!H", len(r)) + r)
        except OSError: pass
        c.close()
    def streams(l):
        while True:
            c, a = l.accept()
            threading.Thread(target=one, args=(c, a), daemon=True).start()
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind, serve in ((socket.SOCK_DGRAM, datagrams), (socket.SOCK_STREAM, streams)):
            s = socket.socket(family, kind)
            if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((address, 53))
            if kind == socket.SOCK_STREAM: s.listen(64)
            threading.Thread(target=serve, args=(s,)).start()
    say("ready")
    """

  /// `SERVER NAME SECONDS`: asks by UDP, one question after the other, each from a socket of its own; resends what is not
  /// answered within a second. Prints `slowest MILLISECONDS`, `asked COUNT` and each failure.
  static let askNames = """
    import random, socket, struct, sys, time
    server, name, end = sys.argv[1], sys.argv[2], time.time() + float(sys.argv[3])
    labels = b"".join(bytes([len(l)]) + l.encode() for l in name.split("."))
    slowest, asked = 0, 0
    print("begin", flush=True)
    while time.time() < end:
        q = struct.pack("!HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, 0) + labels + b"\\0\\0\\1\\0\\1"
        begin, done = time.time(), False
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(1)
        for attempt in range(5):
            try:
                s.connect((server, 53))
                s.send(q)
                a = s.recv(65535)
                done = a[:2] == q[:2] and a[3] & 15 == 0 and a[7] > 0
                break
            except socket.timeout: continue
            except OSError as e:
                print("error", e, flush=True)
                break
        if not done: print("failed", flush=True)
        s.close()
        asked += 1
        slowest = max(slowest, time.time() - begin)
        time.sleep(0.005)
    print("slowest %d" % (slowest * 1000))
    print("asked %d" % asked)
    """

  /// `ADDRESS NAME`: asks port 15053 of the address by UDP. Prints code and number of answers.
  static let askDirectly = """
    import socket, struct, sys
    labels = b"".join(bytes([len(l)]) + l.encode() for l in sys.argv[2].split("."))
    s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(5)
    try:
        s.sendto(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\\0\\0\\1\\0\\1", (sys.argv[1], 15053))
        a = s.recv(65535)
        print(a[3] & 15, a[7])
    except OSError as e: print("error", e)
    """

  /// Takes port 15053 on loopback, and keeps it until SIGTERM.
  static let takeNamesPort = """
    import signal, socket
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 15053))
    print("taken", flush=True)
    signal.pause()
    """
}
