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
        elif mode == "sendmmsg":
            import ctypes, struct
            class iovec(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
            class msghdr(ctypes.Structure):
                _fields_ = [("name", ctypes.c_void_p), ("namelen", ctypes.c_uint32), ("iov", ctypes.POINTER(iovec)),
                    ("iovlen", ctypes.c_size_t), ("control", ctypes.c_void_p), ("controllen", ctypes.c_size_t),
                    ("flags", ctypes.c_int)]
            class mmsghdr(ctypes.Structure): _fields_ = [("header", msghdr), ("length", ctypes.c_uint32)]
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.settimeout(5)
            address = ctypes.create_string_buffer(struct.pack("=HH4s8x", family, socket.htons(port), socket.inet_aton(host)), 16)
            text = ctypes.create_string_buffer(b"hello", 5)
            vector = iovec(ctypes.addressof(text), 5)
            messages = (mmsghdr * 2)()
            for m in messages:
                m.header.name, m.header.namelen = ctypes.addressof(address), 16
                m.header.iov, m.header.iovlen = ctypes.pointer(vector), 1
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.sendmmsg(s.fileno(), messages, 2, 0) != 2: raise OSError(ctypes.get_errno(), "sendmmsg")
            s.recv(5)
        elif mode == "udpagain":
            import ctypes
            s = socket.socket(family, socket.SOCK_DGRAM)
            s.settimeout(5)
            s.connect((host, port))
            ctypes.CDLL(None).connect(s.fileno(), bytes(16), 16)
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

  /// `HOST:PORT...`: one TCP socket connects to each in turn, and disconnects by AF_UNSPEC in between. Prints a line each.
  static let reconnects = """
    import ctypes, errno, socket, sys
    libc = ctypes.CDLL(None, use_errno=True)
    s = socket.socket()
    s.settimeout(5)
    for target in sys.argv[1:]:
        host, port = target.rsplit(":", 1)
        try:
            s.connect((host, int(port)))
            s.sendall(b"hello")
            print(s.recv(5, socket.MSG_WAITALL).decode(), *s.getpeername())
        except socket.timeout: print("timeout")
        except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
        libc.connect(s.fileno(), bytes(16), 16)
    """

  /// `HOST PORT`: connects and sends by io_uring (io_uring_setup(2), io_uring_enter(2)), so that no connect(2) is made.
  static let ringCall = """
    import ctypes, errno, mmap, os, socket, struct, sys
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(120)
    ring = libc.syscall(ctypes.c_long(425), ctypes.c_uint(4), parameters)
    if ring < 0: sys.exit("io_uring_setup: " + errno.errorcode[ctypes.get_errno()])
    words = struct.unpack("30I", parameters.raw)
    entries, completions = words[0], words[1]
    tail_at, mask_at, array_at = words[11], words[12], words[16]
    head_c, tail_c, mask_c, cqes_at = words[20], words[21], words[22], words[25]
    requests = mmap.mmap(ring, array_at + entries * 4, offset=0)
    results = mmap.mmap(ring, cqes_at + completions * 16, offset=0x8000000)
    slots = mmap.mmap(ring, entries * 64, offset=0x10000000)
    def word(m, at): return struct.unpack_from("I", m, at)[0]
    def submit(opcode, descriptor, address, offset, length):
        tail = word(requests, tail_at)
        index = tail & word(requests, mask_at)
        struct.pack_into("BBHiQQIIQ", slots, index * 64, opcode, 0, 0, descriptor, offset, address, length, 0, 7)
        slots[index * 64 + 40:index * 64 + 64] = bytes(24)
        struct.pack_into("I", requests, array_at + index * 4, index)
        struct.pack_into("I", requests, tail_at, tail + 1)
        if libc.syscall(ctypes.c_long(426), ctypes.c_uint(ring), ctypes.c_uint(1), ctypes.c_uint(1), ctypes.c_uint(1), None, ctypes.c_size_t(0)) < 0:
            raise OSError(ctypes.get_errno(), "io_uring_enter")
        head = word(results, head_c)
        result = struct.unpack_from("i", results, cqes_at + (head & word(results, mask_c)) * 16 + 8)[0]
        struct.pack_into("I", results, head_c, head + 1)
        return result
    host, port = sys.argv[1], int(sys.argv[2])
    s = socket.socket()
    address = ctypes.create_string_buffer(struct.pack("=HH4s8x", 2, socket.htons(port), socket.inet_aton(host)), 16)
    text = ctypes.create_string_buffer(b"hello", 5)
    got = submit(16, s.fileno(), ctypes.addressof(address), 16, 0)
    if got < 0: print(errno.errorcode.get(-got, got))
    else:
        got = submit(26, s.fileno(), ctypes.addressof(text), 0, 5)
        if got != 5: sys.exit("send: %d" % got)
        s.settimeout(5)
        try: print(s.recv(5, socket.MSG_WAITALL).decode())
        except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
    """

  /// `PATH`: makes a socket and gives it to whoever connects to the path.
  static let giveSocket = """
    import array, socket, sys, time
    s = socket.socket()
    door = socket.socket(socket.AF_UNIX)
    door.bind(sys.argv[1])
    door.listen(1)
    print("ready", flush=True)
    c, _ = door.accept()
    c.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [s.fileno()]))])
    time.sleep(60)
    """

  /// `PATH HOST PORT`: takes a socket from there and connects it.
  static let useSocket = """
    import array, errno, socket, sys
    c = socket.socket(socket.AF_UNIX)
    c.settimeout(5)
    c.connect(sys.argv[1])
    _, extra, _, _ = c.recvmsg(1, socket.CMSG_SPACE(4))
    s = socket.socket(fileno=array.array("i", extra[0][2])[0])
    s.settimeout(5)
    try:
        s.connect((sys.argv[2], int(sys.argv[3])))
        s.sendall(b"hello")
        print(s.recv(5, socket.MSG_WAITALL).decode())
    except socket.timeout: print("timeout")
    except OSError as e: print(errno.errorcode.get(e.errno, str(e)))
    """

  /// `SOURCE DESTINATION PORT COUNT`: TCP SYNs from a raw socket, with that source address.
  static let rawSyns = """
    import socket, struct, sys, time
    source, destination, port = socket.inet_aton(sys.argv[1]), socket.inet_aton(sys.argv[2]), int(sys.argv[3])
    def checksum(b):
        t = sum(struct.unpack("!%dH" % (len(b) // 2), b))
        while t >> 16: t = (t & 0xffff) + (t >> 16)
        return ~t & 0xffff
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for n in range(int(sys.argv[4])):
        def tcp(c): return struct.pack("!HHIIBBHHH", 40000 + n, port, 1000, 0, 5 << 4, 2, 65535, c, 0)
        pseudo = source + destination + struct.pack("!BBH", 0, 6, 20)
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, n, 0, 64, 6, 0, source, destination)
        s.sendto(head + tcp(checksum(pseudo + tcp(0))), (sys.argv[2], 0))
        time.sleep(0.01)
    print("sent")
    """

  /// `HOST:PORT... COUNT`: opens as many connections at once as COUNT, to the targets in turn, and holds them; says hello on
  /// each and prints how often each came to which end; ends on SIGUSR1.
  static let flood = """
    import errno, collections, resource, select, signal, socket, sys, time
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    targets, count = [t.rsplit(":", 1) for t in sys.argv[1:-1]], int(sys.argv[-1])
    ends, open_ = collections.Counter(), {}
    poll = select.poll()
    def end(s, what):
        ends[what] += 1
        poll.unregister(s)
        del open_[s.fileno()]
    keep = []
    for n in range(count):
        host, port = targets[n % len(targets)]
        s = socket.socket()
        s.setblocking(False)
        keep.append(s)
        code = s.connect_ex((host, int(port)))
        if code not in (0, errno.EINPROGRESS):
            ends[host + " " + errno.errorcode.get(code, str(code))] += 1
            continue
        open_[s.fileno()] = [s, host, False]
        poll.register(s, select.POLLOUT)
    limit = time.time() + 20
    while open_ and time.time() < limit:
        for fd, _ in poll.poll(500):
            if fd not in open_: continue
            s, host, said = open_[fd]
            try:
                if not said:
                    code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if code: raise OSError(code, "")
                    s.sendall(b"hello")
                    open_[fd][2] = True
                    poll.modify(s, select.POLLIN)
                else:
                    got = s.recv(100)
                    end(s, host + " " + (got.decode() or "closed"))
            except OSError as e: end(s, host + " " + errno.errorcode.get(e.errno, str(e.errno)))
    for _, host, _ in open_.values(): ends[host + " timeout"] += 1
    for what, n in sorted(ends.items()): print(what, n, flush=True)
    print("done", flush=True)
    signal.sigwait([signal.SIGUSR1])
    """

  /// `PORT`: a listener whose queue is full after one connection; accepts and echoes after SIGUSR1.
  static let fullQueue = """
    import signal, socket, sys, threading
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    l = socket.socket()
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind(("0.0.0.0", int(sys.argv[1])))
    l.listen(0)
    print("ready", flush=True)
    signal.sigwait([signal.SIGUSR1])
    def serve(c):
        try:
            while True:
                b = c.recv(100)
                if not b: break
                c.sendall(b)
        except OSError: pass
    while True:
        c, _ = l.accept()
        threading.Thread(target=serve, args=(c,), daemon=True).start()
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
