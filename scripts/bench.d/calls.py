"""Calls of gRPC for the bench http: unary, 100 bytes each way behind the five of a message, `grpc-status` in the trailers. The backend is
nghttpd, which every proxy speaks HTTP/2 to. HAProxy and nginx are no peers: neither was set up for HTTP/2 on both sides here."""
import re
import shutil
import subprocess

import harness

MESSAGE = b"\0" + (100).to_bytes(4, "big") + b"g" * 100
FIELDS = ("content-type: application/grpc", "te: trailers")


def options(bench, connections, streams):
    body = bench.work / "http" / "call"
    body.write_bytes(MESSAGE)
    return ["-c", connections, "-m", streams, "-d", body, *(word for field in FIELDS for word in ("-H", field))]


def start_backend(bench, port, cpu):
    path = shutil.which("nghttpd")
    if path is None:
        raise harness.Failure("nghttpd is not installed; run scripts/bootstrap --bench")
    place = bench.work / "http" / "calls"
    (place / "api").mkdir(parents=True, exist_ok=True)
    (place / "api" / "small").write_bytes(MESSAGE)
    return bench.start([path, "--no-tls", "-a", "127.0.0.1", "-d", place, "--trailer=grpc-status: 0", port], ready_port=port, cpu=cpu)


def start_martlet(bench, port, backend, cpu):
    return bench.start(
        [bench.martlet("martlet-proxy"), "--loops", "1", "--static-grpc", f"127.0.0.1:{port}=127.0.0.1:{backend}"], ready_port=port, cpu=cpu)


def start_nghttpx(bench, port, backend, cpu, host):
    return bench.start(
        [shutil.which("nghttpx") or "nghttpx", f"--frontend=127.0.0.1,{port};no-tls", f"--backend=127.0.0.1,{backend};{host}/api/;proto=h2",
         f"--backend=127.0.0.1,{backend};;proto=h2", "--workers=1", "--single-process", "--add-request-header=x-static: 1", "--accesslog-file=/dev/null",
         "--errorlog-file=/dev/null", "--conf=/dev/null"], ready_port=port, cpu=cpu)


def check(bench, name, port, host):
    """One call: the answer's message, and the status behind it."""
    body = bench.work / "http" / "call"
    words = [word for field in (*FIELDS, f":authority: {host}") for word in ("-H", field)]
    said = subprocess.run(
        ["nghttp", "-v", "-d", str(body), *words, f"http://127.0.0.1:{port}/api/small"], capture_output=True, timeout=20).stdout
    text = re.sub(rb"\x1b\[[0-9;]*m", b"", said)
    if b"recv (stream_id=13) :status: 200" not in text or b"grpc-status: 0" not in text.split(b":status: 200", 1)[1] or MESSAGE not in said:
        raise harness.Failure(f"{name} does not carry a call: {text[-1500:]!r}")
