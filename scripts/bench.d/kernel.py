"""The kernel tier between two workloads of this host, against `direct`: the same kind of pair on the same bridge, outside of the
mesh. Rounds are pairs of one measurement each, the order alternating; what counts is the quotient within a pair.
The two transfers of a pair take turns of 100 ms: alone on the machine, but never seconds apart.

No program may run more often because more bytes are sent. `edge` is told apart: it is a packet filter, whose runs follow
the packets (of up to 64 KiB between namespaces), not the connections. What it costs is a line of its own.
"""
import collections
import json
import random
import shutil
import signal
import statistics
import subprocess

import clock
import harness
import world as worlds

VIP = "240.0.0.10"
BULK = {"kernel tier bulk": 1, "kernel tier bulk x8": 8}
PER_PACKET = {"edge"}


def bound(values, seed=1):
    """The lower end of the 95 % interval of the median, by bootstrap (2,000 resamples)."""
    source = random.Random(seed)
    medians = sorted(statistics.median(source.choices(values, k=len(values))) for _ in range(2000))
    return medians[int(0.025 * len(medians))]


def pairs(world):
    """A mesh pair, an outside pair."""
    client, server = world.pod("client", "10.77.0.2"), world.pod("server", "10.77.0.3")
    caller, callee = world.outside("caller", "10.77.0.4"), world.outside("callee", "10.77.0.5")
    return client, server, caller, callee


def basics(client, server, port):
    return (
        worlds.workload("client", path=client.path) + worlds.workload("server", path=server.path)
        + worlds.service("server", "server", VIP, [(port, port)])
        + worlds.policy("server-callers", "server", [worlds.principal("client")]))


def tcp_rows(bench):
    wanted = [row for row in BULK if bench.wants(row)]
    if not wanted:
        return
    if not shutil.which("iperf3"):
        raise harness.Failure("no iperf3; run scripts/bootstrap")
    rounds = bench.rounds_or(15, quick=2)
    seconds = bench.seconds_or(2.0, quick=1.0)
    world = worlds.World(bench)
    try:
        client, server, caller, callee = pairs(world)
        for pod in (server, callee):
            pod.start(["iperf3", "-s", "-p", "5201"])
        world.write("mesh.yaml", basics(client, server, 5201))
        world.start_control()
        world.start_agent()
        world.wait_ready()

        sides = {"martlet": (client, VIP), "direct": (caller, callee.address)}

        def words(side, streams, length):
            return ["iperf3", "-c", sides[side][1], "-p", "5201", "-t", f"{length:g}", "-P", streams, "-J"]

        def send(streams, length):
            """Gbit/s of one transfer through the mesh."""
            for attempt in range(3):
                try:
                    return client.json(words("martlet", streams, length))["end"]["sum_received"]["bits_per_second"] / 1e9
                except harness.Failure:  # The server ends one test before it takes another.
                    if attempt == 2:
                        raise
                    worlds.time.sleep(0.3)

        for row in wanted:
            harness.say(f"{row}: {rounds} rounds of {seconds:g} s each side")
            samples = {"martlet": [], "direct": []}
            for number in range(rounds):
                order = ["martlet", "direct"] if number % 2 == 0 else ["direct", "martlet"]
                commands = {side: words(side, BULK[row], 4 * seconds + 10) for side in order}
                count = PARTS[BULK[row]]
                parts = [
                    in_turns({side: sides[side][0] for side in order}, commands, seconds / count) for _ in range(count)]
                for side in order:
                    samples[side].append(sum(part[side] for part in parts) / count)
                harness.say(f"  round {number + 1} of {rounds}: {samples['martlet'][-1] / samples['direct'][-1]:.3f}")
            ratios = [own / other for own, other in zip(samples["martlet"], samples["direct"])]
            detail = {
                "load_before": world.load, "paired_ratio_median": round(statistics.median(ratios), 4), "paired_ratio_bound95": round(bound(ratios), 4),
                **runs_and_bytes(world, lambda length: send(BULK[row], length))}
            yield harness.Row(row, "Gbit/s", False, samples, rounds, ratios={"direct": ratios}, detail=detail)
    finally:
        world.close()


# A connection keeps a pace of its own for as long as it lives (which processor wakes which): of one stream, several
# connections to a round; eight streams are several already, and take longer to begin.
PARTS = {1: 4, 8: 1}
TURN, DRAIN = 0.1, 0.01


def in_turns(pods, commands, seconds):
    """Gbit/s of one iperf3 a side, of `seconds` each, in turns of 100 ms: while one side sends, the other is stopped. What the
    machine does for longer than a turn, to one processor or to all, then happens to both sides of the pair. Bytes are those
    of the sender's link, read when what was on the way has arrived."""
    clients = {}
    try:
        for side, pod in pods.items():
            clients[side] = start_sending(pod, commands[side])
            clients[side].send_signal(signal.SIGSTOP)
        worlds.time.sleep(DRAIN)
        sent, spent = dict.fromkeys(pods, 0), dict.fromkeys(pods, 0.0)
        for _ in range(max(1, round(seconds / TURN))):
            for side, pod in pods.items():
                before, begin = link_bytes(pod), worlds.time.monotonic()
                clients[side].send_signal(signal.SIGCONT)
                worlds.time.sleep(TURN)
                clients[side].send_signal(signal.SIGSTOP)
                spent[side] += worlds.time.monotonic() - begin
                worlds.time.sleep(DRAIN)
                sent[side] += link_bytes(pod) - before
        return {side: sent[side] * 8 / 1e9 / spent[side] for side in pods}
    finally:
        for process in clients.values():
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        for process in clients.values():
            process.wait(10)


def link_bytes(pod):
    # Of this process's namespace, which sysfs, mounted in another one, does not show.
    with open("/proc/self/net/dev") as file:
        return next(int(line.split(":")[1].split()[0]) for line in file if line.strip().startswith(pod.link + ":"))


def start_sending(pod, command):
    """An iperf3 that has sent its first megabytes. The server ends one test before it takes another: again if refused."""
    for _ in range(5):
        begin = link_bytes(pod)
        process = pod.start(command)
        deadline = worlds.time.monotonic() + 5
        while worlds.time.monotonic() < deadline and process.poll() is None:
            if link_bytes(pod) - begin > 20_000_000:
                return process
            worlds.time.sleep(0.005)
        process.kill()
        process.wait(5)
        worlds.time.sleep(0.3)
    raise harness.Failure(f"iperf3 does not send: {' '.join(map(str, command))}")


def runs_and_bytes(world, send):
    """Runs of each program for a short and a long transfer. The same: they do not follow the bytes."""
    with worlds.Statistics():
        counts, sent, idle = [], [], []
        for length in (1, 3):
            before = world.programs()
            worlds.time.sleep(length)
            idle.append(runs_since(before, world.programs()))
            before = world.programs()
            sent.append(send(length) * length / 8)
            after = world.programs()
            counts.append(runs_since(before, after))
            edge_time = sum(
                after[name][1] - before.get(name, (0, 0))[1] for name in after
                if name.removeprefix("mesh_") in PER_PACKET)
    short, long = counts
    edge_runs = sum(runs for name, runs in long.items() if name.removeprefix("mesh_") in PER_PACKET)
    edge = {"runs_per_gigabyte": round(edge_runs / sent[-1]), "cpu_ms_per_gigabyte": round(edge_time / sent[-1] / 1e6, 2)}
    harness.say(f"  edge: {edge['runs_per_gigabyte']} runs/GB, {edge['cpu_ms_per_gigabyte']} ms CPU/GB")
    # What the agent's own sockets cause follows the time (a look at the open connections each second, canaries every two).
    # Some runs more or less are theirs, and those of the connections' own life: iperf3's control connection closes when it
    # does. What followed the bytes would run by tens of thousands.
    grown = sorted(
        name for name in long
        if name.removeprefix("mesh_") not in PER_PACKET
        and long[name] - idle[1].get(name, 0) > short.get(name, 0) - idle[0].get(name, 0) + 100)
    if grown:
        raise harness.Failure(
            f"programs ran more often for more bytes: "
            f"{', '.join(f'{name} {short.get(name, 0)} and {long[name]} runs' for name in grown)}")
    return {
        "gigabytes_short_long": [round(value, 2) for value in sent], "runs_short": short, "runs_long": long, "runs_idle_long": idle[1],
        "programs_that_follow_bytes": grown, "edge": edge}


def runs_since(before, after):
    return {name: runs - before.get(name, (0, 0))[0] for name, (runs, _) in after.items()}


# ---- connections

SERVICES, RULES = 10_000, 10_000
# Some 65 ms. A caller keeps its place for as long as it lives (which processor it shares with whom), and the machine its pace
# for some hundred milliseconds: both are worth more than what is measured, so a round is made of many.
CONNECTIONS_OF_A_TURN = 1_000


def load_of(services, rules):
    """Files of services that all lead to the server, and of rules that all protect it: half by principal, half by address."""
    files = {}
    for part in range(0, services, 1000):
        files[f"services-{part}.yaml"] = "".join(
            worlds.service(f"s{n}", "server", f"240.1.{n // 250}.{n % 250 + 1}", [(80, 9000)])
            for n in range(part, min(part + 1000, services)))
    for part in range(0, rules, 1000):
        text = ""
        for group in range(part, min(part + 1000, rules), 100):
            entries = [
                worlds.principal(f"stranger-{n}") if n % 2
                else {"from": [{"source": {"ipBlocks": [f"10.{100 + n // 62500}.{n // 250 % 250}.{n % 250 + 1}/32"]}}],
                      "to": [{"operation": {"ports": [str(9000 + n % 5)]}}]}
                for n in range(group, min(group + 100, rules))]
            text += worlds.policy(f"rules-{group}", "server", entries)
        files[f"rules-{part}.yaml"] = text
    return files


def conn_rows(bench):
    row = "kernel tier connect"
    if not bench.wants(row):
        return
    rounds = bench.rounds_or(25, quick=3)
    count = 2_000 if bench.quick else 10_000
    services, rules = (200, 200) if bench.quick else (SERVICES, RULES)
    loop = bench.compiled("connloop")
    world = worlds.World(bench)
    try:
        client, server, caller, callee = pairs(world)
        servers = {}
        for side, pod in (("martlet", server), ("direct", callee)):
            servers[side] = pod.start(
                [loop, "serve", "0.0.0.0", "9000"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            servers[side].stdout.readline()
        for name, text in load_of(services, rules).items():
            world.write(name, text)
        world.write("mesh.yaml", basics(client, server, 9000))
        harness.say(f"{row}: {services} services and {rules} policy rules")
        world.start_control().log.wait(r"\bready\b", timeout=300)
        world.start_agent()
        world.wait_ready()
        vip = f"240.1.{(services // 2) // 250}.{(services // 2) % 250 + 1}"

        def measure(side, count):
            """CPU and wall-clock seconds of so many connections."""
            pod, address, port = (client, vip, 80) if side == "martlet" else (caller, callee.address, 9000)
            before = bench.cpu_seconds(servers[side])
            result = pod.json([loop, "count", address, port, count])
            if result["connections"] != count:
                raise harness.Failure(f"{side}: {result['errnos']}")
            cpu = result["cpu_seconds"] + bench.cpu_seconds(servers[side]) - before
            return cpu, result["seconds"]

        def in_turns(order):
            """The same of a round for each side."""
            spent = {side: [0.0, 0.0] for side in order}
            for _ in range(count // CONNECTIONS_OF_A_TURN):
                for side in order:
                    for index, seconds in enumerate(measure(side, CONNECTIONS_OF_A_TURN)):
                        spent[side][index] += seconds
                order = order[::-1]
            return spent

        cpu, rate = {"martlet": [], "direct": []}, {"martlet": [], "direct": []}
        for side in cpu:
            measure(side, count)
        for number in range(rounds):
            order = ["martlet", "direct"] if number % 2 == 0 else ["direct", "martlet"]
            for side, (busy, seconds) in in_turns(order).items():
                cpu[side].append(busy / count * 1e6)
                rate[side].append(count / seconds)
            harness.say(f"  round {number + 1} of {rounds}: {cpu['martlet'][-1] - cpu['direct'][-1]:+.2f} us")
        more = [own - other for own, other in zip(cpu["martlet"], cpu["direct"])]
        rates = [own / other for own, other in zip(rate["martlet"], rate["direct"])]
        times, runs = collections.defaultdict(list), collections.defaultdict(list)
        with worlds.Statistics():
            empty = clock.nanoseconds_of_an_empty_run()
            for _ in range(1 if bench.quick else 5):
                before = world.programs()
                measure("martlet", count)
                for name, (ran, nanoseconds) in world.programs().items():
                    earlier = before.get(name, (0, 0))
                    times[name].append((nanoseconds - earlier[1]) / count)
                    runs[name].append((ran - earlier[0]) / count)
        times = {name: round(statistics.median(values)) for name, values in times.items() if statistics.median(values) >= 1}
        runs = {name: round(statistics.median(runs[name]), 1) for name in times}
        detail = {
            "load_before": world.load, "cpu_difference_us_median": round(statistics.median(more), 3), "rate_ratio_median": round(statistics.median(rates), 4),
            "rate_ratio_bound95": round(bound(rates), 4), "program_ns_per_connection": times,
            "program_ns_per_connection_sum": sum(times.values()), "program_runs_per_connection": runs,
            "ns_of_an_empty_run": round(empty), "program_ns_without_empty_runs": round(sum(times.values()) - empty * sum(runs.values())), "services": services, "policy_rules": rules,
            "maps": {one["name"]: one["entries"] for one in world.martlet("show", "maps") if one["entries"]}}
        yield harness.Row(row, "us CPU/connection", True, cpu, rounds, detail=detail)
        if bench.only is None or bench.only != row:
            yield harness.Row(f"{row} rate", "connections/s", False, rate, rounds, ratios={"direct": rates})
    finally:
        world.close()
