"""Client and server of the hook tests: real sockets, one JSON line an answer. Needs nothing but python3."""
import argparse
import json
import os
import select
import socket
import struct
import sys
import threading
import time

SOL_FLOW, SO_FLOW = 0x6D31, 1
SO_NETNS_COOKIE = 71
SO_ORIGINAL_DST = 80
IPPROTO_MPTCP = 262
TCP_FASTOPEN_CONNECT = 30
MSG_FASTOPEN = 0x20000000


def say(**fields):
    print(json.dumps(fields), flush=True)


def option(sock, level, name, size):
    try:
        return sock.getsockopt(level, name, size).hex()
    except OSError as error:
        return error.errno


def listen(address, port, family):
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    sock.bind((address, port))
    sock.listen(4096)
    return sock


def serve(args):
    """Answers the first byte of each connection with what it knows about it, until standard input ends."""
    listeners = []
    for spec in args.listen:
        address, port = spec.rsplit(",", 1)
        listeners.append(listen(address, int(port), socket.AF_INET6 if ":" in address else socket.AF_INET))

    def handle(conn):
        with conn:
            conn.settimeout(20)
            try:
                first = conn.recv(1)
                if not first:
                    return
                if first != b"x":
                    return end_as_server(conn, first)
                v6 = conn.family == socket.AF_INET6
                answer = {
                    "peer": conn.getpeername()[0],
                    "local": list(conn.getsockname()[:2]),
                    "flow": option(conn, SOL_FLOW, SO_FLOW, 112),
                    "original4": option(conn, socket.IPPROTO_IP, SO_ORIGINAL_DST, 16),
                    "original6": option(conn, socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28) if v6 else None,
                    "short": option(conn, SOL_FLOW, SO_FLOW, 8),
                }
                conn.sendall((json.dumps(answer) + "\n").encode())
                while conn.recv(65536):
                    pass
            except OSError:
                pass

    say(ready=True)
    while True:
        readable, _, _ = select.select([sys.stdin] + listeners, [], [])
        if sys.stdin in readable and not os.read(0, 4096):
            return
        for listener in readable:
            if listener is not sys.stdin:
                conn, _ = listener.accept()
                threading.Thread(target=handle, args=(conn,), daemon=True).start()


END_REQUEST, END_ANSWER = 5000, 1000


def receive(sock, size):
    while size > 0:
        part = sock.recv(size)
        if not part:
            break
        size -= len(part)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def end_as_server(conn, how):
    if how != b"s":
        receive(conn, END_REQUEST - 1)
    if how == b"c":
        receive(conn, 1)
    conn.sendall(b"a" * END_ANSWER)
    if how == b"r":
        return reset(conn)
    if how == b"s":
        conn.shutdown(socket.SHUT_WR)
    while conn.recv(65536):
        pass


def end(args):
    """One connection of END_REQUEST bytes there and END_ANSWER bytes back, that ends in one of many ways: by the client's
    close (a), its half-close (c), the server's half-close (s), the client's reset (k), the server's reset (r)."""
    with socket.create_connection((args.address, args.port), 20) as sock:
        request = args.how.encode() + b"p" * (END_REQUEST - 1)
        if args.how == "s":
            sock.sendall(request[:1])
            receive(sock, END_ANSWER + 1)
            sock.sendall(request[1:])
        else:
            sock.sendall(request)
            if args.how == "c":
                sock.shutdown(socket.SHUT_WR)
            try:
                receive(sock, END_ANSWER + (1 if args.how in "cr" else 0))
            except ConnectionResetError:
                pass
            if args.how == "k":
                reset(sock)
    say(done=True)


def attempt(args, sock=None):
    family = socket.AF_INET6 if ":" in args.address else socket.AF_INET
    protocol = IPPROTO_MPTCP if args.mptcp else 0
    try:
        sock = sock or socket.socket(family, socket.SOCK_STREAM, protocol)
    except OSError as error:
        return {"unsupported": error.errno}
    with sock:
        # A socket with a time-out is non-blocking to the kernel, for which the first Fast Open is EINPROGRESS.
        sock.settimeout(None if args.tfo else args.timeout)
        if args.device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, args.device.encode() + b"\0")
        if args.source:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            address, port = args.source.rsplit(",", 1)
            sock.bind((address, int(port)))
        start = time.monotonic()
        result = {}
        try:
            if args.tfo == "sendto":
                sock.sendto(b"x", MSG_FASTOPEN, (args.address, args.port))
            else:
                if args.tfo == "option":
                    sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
                sock.connect((args.address, args.port))
                result["peername"] = list(sock.getpeername()[:2])
                sock.sendall(b"x")
            if args.tfo:
                result["peername"] = list(sock.getpeername()[:2])
            data = b""
            while not data.endswith(b"\n"):
                part = sock.recv(65536)
                if not part:
                    break
                data += part
            result["answer"] = json.loads(data) if data else None
            result["errno"] = 0
            if args.payload:
                sock.sendall(b"p" * args.payload)
        except socket.timeout:
            result["errno"] = 110
        except OSError as error:
            result["errno"] = error.errno
        result["ms"] = (time.monotonic() - start) * 1000
    return result


def connect(args):
    results = {}
    last = None
    for _ in range(args.count):
        last = attempt(args)
        results[last.get("errno", -1)] = results.get(last.get("errno", -1), 0) + 1
    say(errnos={str(key): value for key, value in results.items()}, **(last or {}))


def storm(args):
    """Connects and closes as fast as it can; where it arrived is not asked, only whether."""
    deadline = time.monotonic() + args.seconds
    results = {}
    peers = set()
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            code = sock.connect_ex((args.address, args.port))
            if code == 0:
                peers.add(sock.getpeername()[0])
            results[code] = results.get(code, 0) + 1
    say(errnos={str(key): value for key, value in results.items()}, peers=sorted(peers))


def reconnect(args):
    """One socket: connects, disconnects with AF_UNSPEC, connects elsewhere (BP-07)."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(args.timeout)
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    codes, peers = [], []
    for target in args.targets:
        address, port = target.rsplit(",", 1)
        codes.append(sock.connect_ex((address, int(port))))
        peers.append(list(sock.getpeername()) if codes[-1] == 0 else None)
        unspec = struct.pack("H14x", 0)
        libc.connect(sock.fileno(), unspec, 16)
    say(codes=codes, peers=peers)


def reuse(args):
    """The same 4-tuple again and again, aimed at two services in turn (BP-03): each answer has to be the right one."""
    wrong, errors = 0, 0
    for index in range(args.count):
        address, port = args.targets[index % len(args.targets)].rsplit(",", 1)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.settimeout(5)
            sock.bind((args.source, 41000))
            try:
                sock.connect((address, int(port)))
                if sock.getpeername()[0] != address:
                    wrong += 1
                sock.sendall(b"x")
                data = b""
                while not data.endswith(b"\n"):
                    part = sock.recv(4096)
                    if not part:
                        break
                    data += part
                flow = json.loads(data)["flow"]
                if isinstance(flow, str):
                    original = bytes.fromhex(flow)[16:32]
                    if original[12:] != socket.inet_aton(address):
                        wrong += 1
                else:
                    wrong += 1
            except OSError:
                errors += 1
    say(wrong=wrong, errors=errors, count=args.count)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def forge(args):
    """Sends frames by hand through a packet socket, as a workload with CAP_NET_RAW can."""
    device = args.device
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((device, 0))
    mac = sock.getsockname()[4]
    everybody = b"\xff" * 6
    payload = b"forged"
    if args.kind == "ipv4":
        udp = struct.pack("!HHHH", 7, args.port, 8 + len(payload), 0) + payload
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0)
        head += socket.inet_aton(args.source) + socket.inet_aton(args.destination)
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        frame = everybody + mac + struct.pack("!H", 0x0800) + head + udp
    elif args.kind in ("ipv6", "advertisement", "hidden"):
        source = socket.inet_pton(socket.AF_INET6, args.source)
        destination = socket.inet_pton(socket.AF_INET6, args.destination)
        if args.kind == "ipv6":
            after, body = 17, struct.pack("!HHHH", 7, args.port, 8 + len(payload), 1) + payload
        else:
            after = 58
            body = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + socket.inet_pton(socket.AF_INET6, args.target)
            if args.kind == "hidden":
                body = struct.pack("!BB", 58, 0) + b"\x01\x04\0\0\0\0" + body
                after = 60
        frame = everybody + mac + struct.pack("!H", 0x86DD)
        frame += struct.pack("!IHBB", 6 << 28, len(body), after, 255) + source + destination + body
    elif args.kind == "arp":
        frame = everybody + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + mac
        frame += socket.inet_aton(args.source) + b"\0" * 6 + socket.inet_aton(args.destination)
    elif args.kind == "vlan":
        frame = everybody + mac + struct.pack("!HHH", 0x8100, 5, 0x0800) + b"\0" * 40
    else:
        frame = everybody + mac + struct.pack("!H", 0x88CC) + b"\0" * 46
    for _ in range(args.count):
        sock.send(frame.ljust(60, b"\0"))
    say(sent=args.count)


def cookie(_):
    with socket.socket() as sock:
        say(cookie=int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), sys.byteorder))


parser = argparse.ArgumentParser()
commands = parser.add_subparsers(required=True)
command = commands.add_parser("serve")
command.add_argument("listen", nargs="+")
command.set_defaults(run=serve)
command = commands.add_parser("connect")
command.add_argument("address")
command.add_argument("port", type=int)
command.add_argument("--device")
command.add_argument("--source")
command.add_argument("--tfo", choices=["sendto", "option"])
command.add_argument("--mptcp", action="store_true")
command.add_argument("--count", type=int, default=1)
command.add_argument("--payload", type=int, default=0)
command.add_argument("--timeout", type=float, default=5)
command.set_defaults(run=connect)
command = commands.add_parser("end")
command.add_argument("address")
command.add_argument("port", type=int)
command.add_argument("how", choices=["a", "c", "s", "k", "r"])
command.set_defaults(run=end)
command = commands.add_parser("storm")
command.add_argument("address")
command.add_argument("port", type=int)
command.add_argument("--seconds", type=float, default=2)
command.set_defaults(run=storm)
command = commands.add_parser("reconnect")
command.add_argument("targets", nargs="+")
command.add_argument("--timeout", type=float, default=3)
command.set_defaults(run=reconnect)
command = commands.add_parser("reuse")
command.add_argument("source")
command.add_argument("targets", nargs="+")
command.add_argument("--count", type=int, default=1000)
command.set_defaults(run=reuse)
command = commands.add_parser("forge")
command.add_argument("kind", choices=["ipv4", "ipv6", "advertisement", "hidden", "arp", "vlan", "other"])
command.add_argument("--device", default="eth0")
command.add_argument("--source", default="")
command.add_argument("--destination", default="")
command.add_argument("--target", default="")
command.add_argument("--port", type=int, default=9)
command.add_argument("--count", type=int, default=5)
command.set_defaults(run=forge)
command = commands.add_parser("cookie")
command.set_defaults(run=cookie)
arguments = parser.parse_args()
arguments.run(arguments)
