"""tcp: bytes between two connections. The relay rows measure the node proxy as a plain TCP relay between loopback addresses
(`martlet-proxy --static-relay`, the path of every relayed connection but for the kernel's look-ups), against HAProxy
(mode tcp) and Envoy (tcp_proxy), one thread each on the same CPU, and without any proxy (direct).

CPU is that of the proxy process alone, all threads. Load and server share the other CPUs.
"""
import os

import harness
import kernel

CONNECTIONS = 64
SIZE = 1024
BULK_CONNECTIONS = 4


def rows(bench):
    yield from kernel.tcp_rows(bench)
    if any(bench.wants(row) for row in ("relay small", "relay bulk")):
        yield from relay_rows(bench)


def relay_rows(bench):
    load = bench.load()
    echo, sink = bench.free_ports(2)
    cpus = sorted(os.sched_getaffinity(0))
    proxy_cpu = cpus[-1] if len(cpus) > 1 else None
    load_cpus = ",".join(map(str, cpus[:-1])) if len(cpus) > 1 else None
    bench.start([load, "serve", echo, sink], ready_port=sink, cpu=load_cpus)
    targets = {"direct": (None, echo, sink)}
    for name, start in (("martlet", start_martlet), ("haproxy", start_haproxy), ("envoy", start_envoy)):
        ports = bench.free_ports(2)
        targets[name] = (start(bench, ports, (echo, sink), proxy_cpu), *ports)

    if bench.wants("relay small"):
        harness.say(f"relay small: {CONNECTIONS} connections, {SIZE} bytes each way")

        def small(name):
            process, port, _ = targets[name]
            before = bench.cpu_seconds(process) if process else 0
            result = bench.run_json([load, "small", port, CONNECTIONS, SIZE, bench.seconds], cpu=load_cpus)
            cpu = bench.cpu_seconds(process) - before if process else 0
            figures = {"rate": result["requests"] / result["seconds"], "p99": result["p99_us"]}
            if process:
                figures["cpu"] = cpu / result["requests"] * 1e6
            return figures

        samples = bench.interleave(targets, small)
        yield harness.Row("relay small", "us CPU/request", True, samples["cpu"], bench.rounds)
        if bench.only is None or bench.only != "relay small":
            yield harness.Row("relay small rate", "requests/s", False, samples["rate"], bench.rounds)

    if bench.wants("relay bulk"):
        harness.say(f"relay bulk: {BULK_CONNECTIONS} connections, one way")

        def bulk(name):
            process, _, port = targets[name]
            before = bench.cpu_seconds(process) if process else 0
            result = bench.run_json([load, "bulk", port, BULK_CONNECTIONS, bench.seconds], cpu=load_cpus)
            gigabits = result["bytes"] * 8 / 1e9
            figures = {"rate": gigabits / result["seconds"]}
            if process:
                figures["cpu"] = gigabits / (bench.cpu_seconds(process) - before)
            return figures

        samples = bench.interleave(targets, bulk)
        yield harness.Row("relay bulk", "Gbit/CPU second", False, samples["cpu"], bench.rounds)
        if bench.only is None or bench.only != "relay bulk":
            yield harness.Row("relay bulk rate", "Gbit/s", False, samples["rate"], bench.rounds)


def start_martlet(bench, listen, upstream, cpu):
    pairs = [f"127.0.0.1:{a}=127.0.0.1:{b}" for a, b in zip(listen, upstream)]
    arguments = [bench.martlet("martlet-proxy"), "--loops", "1"]
    for pair in pairs:
        arguments += ["--static-relay", pair]
    return bench.start(arguments, ready_port=listen[1], cpu=cpu)


def start_haproxy(bench, listen, upstream, cpu):
    sections = "".join(
        f"listen relay{a}\n  bind 127.0.0.1:{a}\n  server up 127.0.0.1:{b}\n" for a, b in zip(listen, upstream))
    path = bench.work / "haproxy.cfg"
    path.write_text(
        "global\n  nbthread 1\n  maxconn 4096\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n"
        f"  timeout server 1h\n{sections}")
    return bench.start([bench.haproxy(), "-db", "-f", path], ready_port=listen[1], cpu=cpu)


def start_envoy(bench, listen, upstream, cpu):
    listeners, clusters = [], []
    for a, b in zip(listen, upstream):
        listeners.append(f"""
  - name: l{a}
    address: {{socket_address: {{address: 127.0.0.1, port_value: {a}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: relay
          cluster: c{b}""")
        clusters.append(f"""
  - name: c{b}
    type: STATIC
    connect_timeout: 5s
    load_assignment:
      cluster_name: c{b}
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {b}}}}}}}""")
    path = bench.work / "envoy.yaml"
    path.write_text(f"static_resources:\n  listeners:{''.join(listeners)}\n  clusters:{''.join(clusters)}\n")
    return bench.start(
        [bench.envoy(), "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"],
        ready_port=listen[1], cpu=cpu)
