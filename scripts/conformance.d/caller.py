"""Sends requests from where it runs: in a pod's namespace and cgroup. One JSON object a line on standard input,
{"requests": [...], "parallel": N, "timeout": SECONDS}, and one on standard output, {"answers": [...]}, in the same order.

A request: protocol (http, h2c, grpc, tcp, websocket), address, port, method, host, path, headers, messages (a text each, or the bytes of a binary one). An answer: status,
headers and trailers as lists of pairs, body in base64, messages; or error, what came instead of an answer. Every request has a
connection of its own. HTTP/1 is written and read here, byte by byte, so that no library mends what a proxy does wrong.
"""
import base64
import concurrent.futures
import hashlib
import json
import os
import socket
import struct
import sys
import time

HEAD_LIMIT, BODY_LIMIT = 64 * 1024, 4 * 1024 * 1024
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WITH_BODY = {"POST", "PUT", "PATCH"}


class Wrong(Exception):
    """What came is not an answer."""


class Wire:
    """A connection with a deadline for all of it."""

    def __init__(self, request, timeout):
        self.deadline, self.held = time.monotonic() + timeout, b""
        self.socket = socket.create_connection((request["address"], request["port"]), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _arm(self):
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.socket.settimeout(left)

    def send(self, data):
        self._arm()
        self.socket.sendall(data)

    def some(self):
        """What came next; empty at the end."""
        if self.held:
            data, self.held = self.held, b""
            return data
        self._arm()
        return self.socket.recv(65536)

    def until(self, mark, limit=HEAD_LIMIT):
        while mark not in self.held:
            if len(self.held) > limit:
                raise Wrong(f"no {mark!r} within {limit} bytes")
            self._arm()
            data = self.socket.recv(65536)
            if not data:
                raise Wrong("closed without an answer" if not self.held else f"closed after {self.held[:80]!r}")
            self.held += data
        found, _, self.held = self.held.partition(mark)
        return found

    def exactly(self, size):
        if size > BODY_LIMIT:
            raise Wrong(f"a body of {size} bytes")
        while len(self.held) < size:
            self._arm()
            data = self.socket.recv(65536)
            if not data:
                raise Wrong(f"closed {size - len(self.held)} bytes before the end of the body")
            self.held += data
        found, self.held = self.held[:size], self.held[size:]
        return found

    def rest(self):
        found = b""
        while data := self.some():
            found += data
            if len(found) > BODY_LIMIT:
                raise Wrong("a body without end")
        return found


def fields(request):
    for name, value in request["headers"].items():
        for one in value if isinstance(value, list) else [value]:
            yield name, one


# ---- HTTP/1


def head(request, more):
    lines = [f"{request['method']} {request['path']} HTTP/1.1", f"Host: {request['host']}"]
    lines += [f"{name}: {value}" for name, value in [*fields(request), *more]]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def read_head(wire):
    lines = wire.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (len(code) == 3 and code.isdigit()):
        raise Wrong(f"no status line: {lines[0][:80]!r}")
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Wrong(f"no header: {line[:80]!r}")
        headers.append([name, value.strip(" \t")])
    return int(code), headers


def values(headers, name):
    return [value for key, value in headers if key.lower() == name]


def read_body(wire, method, status, headers):
    if method == "HEAD" or status in (204, 304):
        return b"", []
    coding, lengths = values(headers, "transfer-encoding"), values(headers, "content-length")
    if coding:
        if lengths or [one.lower() for one in coding] != ["chunked"]:
            raise Wrong(f"Transfer-Encoding {coding} with Content-Length {lengths}")
        body = b""
        while size := int(wire.until(b"\r\n").split(b";")[0], 16):
            body += wire.exactly(size)
            if wire.exactly(2) != b"\r\n":
                raise Wrong("a chunk that is longer than it said")
        trailers = []
        while line := wire.until(b"\r\n").decode("latin-1"):
            name, _, value = line.partition(":")
            trailers.append([name, value.strip(" \t")])
        return body, trailers
    if lengths:
        if len(set(lengths)) != 1 or not lengths[0].isdigit():
            raise Wrong(f"Content-Length {lengths}")
        return wire.exactly(int(lengths[0])), []
    return wire.rest(), []


def http(request, timeout):
    more = [("Connection", "close")]
    if request["method"] in WITH_BODY:
        more.append(("Content-Length", "0"))
    with Wire(request, timeout) as wire:
        wire.send(head(request, more))
        status, headers = read_head(wire)
        while status < 200 and status != 101:
            status, headers = read_head(wire)
        body, trailers = read_body(wire, request["method"], status, headers)
    return answer(status, headers, body, trailers)


def answer(status, headers, body=b"", trailers=(), **more):
    return {
        "status": status, "headers": [list(pair) for pair in headers], "trailers": [list(pair) for pair in trailers],
        "body": base64.b64encode(body).decode(), **more}


# ---- HTTP/2


def http2(request, timeout, body=b"", more=()):
    from h2 import events
    from h2.config import H2Configuration
    from h2.connection import H2Connection

    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    status, headers, data, trailers = None, [], b"", []
    with Wire(request, timeout) as wire:
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        pseudo = [
            (":method", request["method"]), (":scheme", "http"), (":authority", request["host"]), (":path", request["path"])]
        connection.send_headers(
            stream, pseudo + list(more) + [(name.lower(), value) for name, value in fields(request)], end_stream=not body)
        if body:
            connection.send_data(stream, body, end_stream=True)
        wire.send(connection.data_to_send())
        while True:
            received = wire.some()
            if not received:
                raise Wrong("closed before the end of the stream")
            for event in connection.receive_data(received):
                if isinstance(event, events.ResponseReceived):
                    status = int(dict(event.headers)[":status"])
                    headers = [pair for pair in event.headers if not pair[0].startswith(":")]
                elif isinstance(event, events.DataReceived):
                    data += event.data
                    if len(data) > BODY_LIMIT:
                        raise Wrong("a body without end")
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, events.TrailersReceived):
                    trailers = event.headers
                elif isinstance(event, events.StreamReset):
                    raise Wrong(f"stream reset, error {int(event.error_code)}")
                elif isinstance(event, events.ConnectionTerminated):
                    raise Wrong(f"GOAWAY, error {int(event.error_code)}")
                elif isinstance(event, events.StreamEnded):
                    return answer(status, headers, data, trailers)
            wire.send(connection.data_to_send())


def grpc(request, timeout):
    # An EchoRequest without fields, uncompressed.
    more = [("content-type", "application/grpc"), ("te", "trailers")]
    return http2({**request, "method": "POST"}, timeout, struct.pack(">BI", 0, 0), more)


# ---- others


def tcp(request, timeout):
    with Wire(request, timeout) as wire:
        welcome = wire.until(b"\n")
        wire.send(b"TEST\n")
        return answer(None, [], wire.until(b"\n"), welcome=welcome.decode("latin-1"))


def websocket(request, timeout):
    key = base64.b64encode(os.urandom(16))
    with Wire(request, timeout) as wire:
        wire.send(head({**request, "method": "GET"}, [
            ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", key.decode())]))
        status, headers = read_head(wire)
        if status != 101:
            return answer(status, headers, *read_body(wire, "GET", status, headers))
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest()).decode()
        if values(headers, "sec-websocket-accept") != [accept]:
            raise Wrong("101 with another Sec-WebSocket-Accept")
        echoed = []
        for message in request.get("messages") or []:
            sent = payload(message)
            wire.send(frame(*sent))
            came = read_frame(wire)
            echoed.append(message if came == sent else came[1].decode("latin-1"))
        wire.send(frame(0x8, struct.pack(">H", 1000)))
    return answer(status, headers, messages=echoed)


def payload(message):
    """Opcode and bytes of a message: a text, or the bytes of a binary one, as numbers."""
    return (0x1, message.encode()) if isinstance(message, str) else (0x2, bytes(message))


def frame(opcode, payload):
    mask, size = os.urandom(4), len(payload)
    length = struct.pack(">B", 0x80 | size) if size < 126 else struct.pack(">BH", 0x80 | 126, size)
    return bytes([0x80 | opcode]) + length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def read_frame(wire):
    first, size = wire.exactly(2)
    if size & 0x80:
        raise Wrong("a masked frame from the server")
    if size == 126:
        (size,) = struct.unpack(">H", wire.exactly(2))
    elif size == 127:
        (size,) = struct.unpack(">Q", wire.exactly(8))
    return first & 0x0F, wire.exactly(size)


# ---- all


SENDERS = {"http": http, "h2c": http2, "grpc": grpc, "tcp": tcp, "websocket": websocket}


def send(request, timeout):
    try:
        return SENDERS[request["protocol"]](request, timeout)
    except Exception as error:  # whatever it is, it is what came of the request
        return {"error": f"{type(error).__name__}: {error}"}


def main():
    for line in sys.stdin:
        order = json.loads(line)
        with concurrent.futures.ThreadPoolExecutor(order["parallel"]) as pool:
            answers = list(pool.map(lambda request: send(request, order["timeout"]), order["requests"]))
        print(json.dumps({"answers": answers}), flush=True)


if __name__ == "__main__":
    main()
