"""http: requests through the node proxy (`martlet-proxy --static-http`, the path of every request but for the kernel's look-ups),
against Envoy, HAProxy and nginx, one worker each on the same CPU, and without any proxy (direct). Each routes by host and path
and sets a field; metrics are on, access logs off. The backend is nginx; the load is h2load, 64 connections.

`http small`       requests of HTTP/1.1, keep-alive, answers of 100 bytes: requests in a second of the proxy's CPU, all threads
`http 16k`         the same, answers of 16 KiB
`h2 small`         clients speak HTTP/2 by prior knowledge, 64 streams on 4 connections; nghttpx beside
`grpc small`       calls of gRPC, 64 streams on 4 connections, HTTP/2 on both sides, the backend nghttpd
`http latency`     open loop at 30 % of the slowest proxy's rate: milliseconds until 50 and 99 % of the answers were whole
`idle connections` resident memory for each of 5,000 client connections that made one request and rest

Load and backend share the other CPUs.
"""
import os
import pathlib
import re
import resource
import shutil
import socket
import statistics
import subprocess
import time

import calls
import harness

CONNECTIONS, STREAMS, H2_CONNECTIONS = 64, 16, 4
IDLE = 5000
HOST = "bench.test"


def rows(bench):
    names = ("http small", "http 16k", "h2 small", "grpc small", "http latency", "idle connections")
    if not any(bench.wants(name) for name in names):
        return
    cpus = sorted(os.sched_getaffinity(0))
    proxy_cpu = cpus[-1] if len(cpus) > 1 else None
    load_cpus = ",".join(map(str, cpus[:-1])) if len(cpus) > 1 else None
    backend, *ports = bench.free_ports(6)
    start_backend(bench, backend, load_cpus)
    sides = {}
    for (name, start), port in zip(SIDES.items(), ports):
        sides[name] = (start(bench, port, backend, proxy_cpu), port)
    sides["direct"] = (None, backend)
    for name, (_, port) in sides.items():
        check(name, port)
    rates = {}
    for row, path in (("http small", "small"), ("http 16k", "16k")):
        if bench.wants(row) or (path == "small" and bench.wants("http latency")):
            yield from requests(bench, row, {n: s for n, s in sides.items() if n != "nghttpx"}, path, ["--h1", "-c", CONNECTIONS], load_cpus, rates)
    if bench.wants("h2 small"):
        # nginx speaks HTTP/2 on a port of its own kind only, and HAProxy's is the peer of nobody here.
        chosen = {name: sides[name] for name in ("martlet", "envoy", "nghttpx")}
        yield from requests(bench, "h2 small", chosen, "small", ["-c", H2_CONNECTIONS, "-m", STREAMS], load_cpus, {})
    if bench.wants("grpc small"):
        yield from grpc(bench, proxy_cpu, load_cpus)
    if bench.wants("http latency"):
        yield from latency(bench, sides, rates, load_cpus)
    if bench.wants("idle connections"):
        yield idle(bench, {name: side for name, side in sides.items() if side[0] and name != "nghttpx"})


# ---- what is measured


def grpc(bench, proxy_cpu, load_cpus):
    backend, *ports = bench.free_ports(4)
    calls.start_backend(bench, backend, load_cpus)
    options = calls.options(bench, H2_CONNECTIONS, STREAMS)
    starts = {
        "martlet": calls.start_martlet,
        "envoy": lambda *place: start_envoy(*place, speaks_http2=True),
        "nghttpx": lambda *place: calls.start_nghttpx(*place, HOST),
    }
    sides = {name: (start(bench, port, backend, proxy_cpu), port) for (name, start), port in zip(starts.items(), ports)}
    sides["direct"] = (None, backend)
    for name, (_, port) in sides.items():
        calls.check(bench, name, port, HOST)
    yield from requests(bench, "grpc small", sides, "small", options, load_cpus, {})


def requests(bench, row, sides, path, options, cpu, rates):
    harness.say(f"{row}: {' '.join(map(str, options))}, /api/{path}")

    def measure(name):
        process, port = sides[name]
        before = bench.cpu_seconds(process) if process else 0
        count = load(bench, port, path, options, cpu)
        spent = bench.cpu_seconds(process) - before if process else 0
        figures = {"rate": count / bench.seconds}
        if process:
            figures["cpu"] = count / spent
        return figures

    for name in sides:
        load(bench, sides[name][1], path, options, cpu, seconds=1)
    samples = bench.interleave(sides, measure)
    for name, values in samples["rate"].items():
        rates[name] = statistics.median(values)
    yield harness.Row(row, "requests/CPU second", False, samples["cpu"], bench.rounds)
    if bench.only is None or bench.only != row:
        yield harness.Row(f"{row} rate", "requests/s", False, samples["rate"], bench.rounds)


def load(bench, port, path, options, cpu, seconds=None):
    """Requests that were answered with 200. Any other answer is a failure of the bench."""
    arguments = ["taskset", "-c", cpu] if cpu else []
    arguments += ["h2load", "-t", 1, "-D", f"{round((seconds or bench.seconds) * 1000)}ms", *options, "-H", f":authority: {HOST}", f"http://127.0.0.1:{port}/api/{path}"]
    result = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=120)
    codes = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", result.stdout)
    failed = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", result.stdout)
    if not codes or any(int(codes.group(at)) for at in (2, 3, 4)) or not failed or int(failed.group(2)) or not int(codes.group(1)):
        raise harness.Failure(f"port {port}: {result.stdout[-500:]} {result.stderr[-300:]}")
    return int(codes.group(1))


def latency(bench, sides, rates, cpu):
    chosen = {name: sides[name] for name in rates}
    rate = 0.3 * min(rates.values())
    each = max(1, round(rate / CONNECTIONS))
    harness.say(f"http latency: {each * CONNECTIONS} requests/s")
    log = bench.work / "h2load.log"

    def measure(name):
        log.unlink(missing_ok=True)
        load(bench, chosen[name][1], "small", ["--h1", "-c", CONNECTIONS, f"--rps={each}", f"--log-file={log}"], cpu)
        times = sorted(int(line.split("\t")[2]) / 1000 for line in log.read_text().splitlines())
        return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}

    samples = bench.interleave(chosen, measure)
    yield harness.Row("http latency p50", "ms", True, samples["p50"], bench.rounds, detail={"requests_per_second": each * CONNECTIONS})
    yield harness.Row("http latency p99", "ms", True, samples["p99"], bench.rounds)


def idle(bench, sides):
    count = 200 if bench.quick else IDLE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, count + 1000), hard), hard))
    harness.say(f"idle connections: {count} each")
    samples = {}
    for name, (process, port) in sides.items():
        before = resident(process)
        connections = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port))
            ask(connection)
            connections.append(connection)
        time.sleep(2)
        samples[name] = [(resident(process) - before) / count / 1024]
        for connection in connections:
            connection.close()
    return harness.Row("idle connections", "KiB each", True, samples, 1)


def resident(process):
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024


def ask(connection):
    """One request of HTTP/1.1; the answer's head and body."""
    connection.sendall(f"GET /api/small HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 100:
        data = connection.recv(65536)
        if not data:
            raise harness.Failure(f"the connection ended after {answer!r}")
        answer += data
    return answer


def check(name, port):
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        answer = ask(connection)
    if not answer.startswith(b"HTTP/1.1 200") or (name != "direct") != (b"\r\nx-got: 1\r\n" in answer.lower()):
        raise harness.Failure(f"{name} does not route as it should: {answer[:300]!r}")


# ---- the backend and the sides


def start_backend(bench, port, cpu):
    """Says in `X-Got` whether the proxy's field came."""
    place = bench.work / "http"
    shutil.rmtree(place, ignore_errors=True)
    (place / "api").mkdir(parents=True)
    (place / "api" / "small").write_text("s" * 100)
    (place / "api" / "16k").write_text("k" * 16384)
    path = place / "backend.conf"
    path.write_text(f"""daemon off; master_process off; pid {place}/backend.pid; error_log /dev/null crit;
events {{ worker_connections 16384; }}
http {{
  {nginx_places(place)} access_log off; keepalive_requests 100000000; sendfile on; open_file_cache max=10; default_type text/plain; etag off;
  server {{ listen 127.0.0.1:{port} reuseport backlog=4096; root {place}; location / {{ add_header X-Got $http_x_static; }} }}
}}
""")
    return bench.start([nginx(), "-p", place, "-c", path, "-e", place / "backend.err"], ready_port=port, cpu=cpu)


def nginx():
    path = shutil.which("nginx") or "/usr/sbin/nginx"
    if not os.path.exists(path):
        raise harness.Failure("nginx is not installed; run scripts/bootstrap")
    return path


def nginx_places(place):
    return " ".join(f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


def start_martlet(bench, port, backend, cpu):
    return bench.start(
        [bench.martlet("martlet-proxy"), "--loops", "1", "--static-http", f"127.0.0.1:{port}=127.0.0.1:{backend}"], ready_port=port, cpu=cpu)


def start_nginx(bench, port, backend, cpu):
    place = bench.work / "http"
    path = place / "proxy.conf"
    path.write_text(f"""daemon off; master_process off; pid {place}/proxy.pid; error_log /dev/null crit;
events {{ worker_connections 16384; }}
http {{
  {nginx_places(place)} access_log off; keepalive_requests 100000000;
  upstream up {{ server 127.0.0.1:{backend}; keepalive 128; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096 default_server; return 404; }}
  server {{
    listen 127.0.0.1:{port}; server_name {HOST};
    location / {{ return 404; }}
    location /api/ {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host; proxy_set_header X-Static 1; }}
  }}
}}
""")
    return bench.start([nginx(), "-p", place, "-c", path, "-e", place / "proxy.err"], ready_port=port, cpu=cpu)


def start_haproxy(bench, port, backend, cpu):
    path = bench.work / "http" / "haproxy.cfg"
    path.write_text(f"""global
  nbthread 1
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  use_backend up if {{ hdr(host),host_only -i {HOST} }} {{ path_beg /api/ }}
backend up
  http-request set-header x-static 1
  server up 127.0.0.1:{backend}
""")
    return bench.start([bench.haproxy(), "-db", "-f", path], ready_port=port, cpu=cpu)


def start_envoy(bench, port, backend, cpu, speaks_http2=False):
    path = bench.work / "http" / ("envoy-http2.yaml" if speaks_http2 else "envoy.yaml")
    http2 = """
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}""" if speaks_http2 else ""
    path.write_text(f"""static_resources:
  listeners:
  - name: http
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - name: bench
              domains: ["{HOST}", "{HOST}:*"]
              routes:
              - match: {{prefix: "/api/"}}
                route: {{cluster: up}}
                request_headers_to_add: [{{header: {{key: x-static, value: "1"}}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: up
    type: STATIC
    connect_timeout: 5s{http2}
    circuit_breakers: {{thresholds: [{{max_connections: 20000, max_pending_requests: 20000, max_requests: 20000}}]}}
    load_assignment:
      cluster_name: up
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {backend}}}}}}}
""")
    return bench.start(
        [bench.envoy(), "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"], ready_port=port, cpu=cpu)


def start_nghttpx(bench, port, backend, cpu):
    path = shutil.which("nghttpx")
    if path is None:
        raise harness.Failure("nghttpx is not installed; run scripts/bootstrap --bench")
    return bench.start(
        [path, f"--frontend=127.0.0.1,{port};no-tls", f"--backend=127.0.0.1,{backend};{HOST}/api/", f"--backend=127.0.0.1,{backend}", "--workers=1", "--single-process",
         "--add-request-header=x-static: 1", "--accesslog-file=/dev/null", "--errorlog-file=/dev/null", "--conf=/dev/null",
         "--backend-connections-per-host=128"], ready_port=port, cpu=cpu)


SIDES = {"martlet": start_martlet, "envoy": start_envoy, "haproxy": start_haproxy, "nginx": start_nginx, "nghttpx": start_nghttpx}
