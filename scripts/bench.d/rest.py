"""rest: what the daemons cost while nothing happens.

`idle CPU`  100 workloads of this host, each in a namespace of its own, nobody calls: CPU of the agent and of the proxy, of one
            processor
`memory`    10,000 workloads of another node in 1,000 services: anonymous and all resident memory of the agent and of the proxy,
            after the first snapshot, and after ten changes of a policy. Peer: Envoy with as many clusters and endpoints

Both rows name the agent `martlet`; the proxy is a side of its own.
"""
import pathlib

import churn
import eds
import harness
import world as worlds

HERE = 100


def rows(bench):
    if bench.wants("idle CPU"):
        yield idle(bench)
    if bench.wants("memory"):
        yield from memory(bench)


class Process:
    """Just the number, as `Bench.cpu_seconds` asks for it."""

    def __init__(self, pid):
        self.pid = pid

    def memory(self):
        """Anonymous and all resident memory, MiB."""
        fields = dict(
            line.split(":", 1) for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines() if ":" in line)
        return tuple(int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "VmRSS"))


def daemons(world):
    proxies = pathlib.Path(f"/proc/{world.agent.pid}/task").glob("*/children")
    children = [int(pid) for path in proxies for pid in path.read_text().split()]
    if len(children) != 1:
        raise harness.Failure(f"the agent has {len(children)} processes below it, not one proxy")
    return {"martlet": Process(world.agent.pid), "proxy": Process(children[0])}


def idle(bench):
    count = 10 if bench.quick else HERE
    rounds, seconds = bench.rounds_or(5, quick=1), bench.seconds_or(20.0, quick=1.0)
    world = worlds.World(bench)
    try:
        text = ""
        for number in range(count):
            pod = world.pod(f"w{number}", f"10.77.1.{number + 1}")
            text += worlds.workload(pod.name, path=pod.path)
            text += worlds.service(pod.name, pod.name, f"240.0.1.{number + 1}", [(80, 9000)])
        world.write("mesh.yaml", text)
        world.start_control()
        world.start_agent()
        world.wait_ready()
        worlds.time.sleep(1 if bench.quick else 10)
        harness.say(f"idle CPU: {count} workloads, {rounds} rounds of {seconds:g} s")
        sides = daemons(world)
        samples = {name: [] for name in sides}
        for _ in range(rounds):
            before = {name: bench.cpu_seconds(process) for name, process in sides.items()}
            worlds.time.sleep(seconds)
            for name, process in sides.items():
                samples[name].append((bench.cpu_seconds(process) - before[name]) / seconds * 100)
        return harness.Row(
            "idle CPU", "% of a processor", True, samples, rounds, detail={"load_before": world.load, "workloads": count})
    finally:
        world.close()


def memory(bench):
    world = worlds.World(bench)
    try:
        loads = churn.Churn(bench, world)
        client, server = world.pod("client", "10.77.0.2"), world.pod("server", "10.77.0.3")
        for name, text in loads.mesh().items():
            world.write(name, text)
        world.write("one.yaml", loads.one(1))
        world.write("policy.yaml", loads.policy(0))
        world.write("local.yaml", (
            worlds.workload("client", path=client.path) + worlds.workload("server", path=server.path)
            + worlds.service("server", "server", churn.VIP, [(80, 9000)])))
        world.start_control().log.wait(r"\bready\b", timeout=300)
        world.start_agent(level="debug")
        world.wait_ready()
        worlds.time.sleep(2)
        harness.say(f"memory: {loads.services * loads.each} workloads in {loads.services} services")
        sides = daemons(world)
        first = {name: process.memory() for name, process in sides.items()}
        for number in range(1, 11):
            mark = world.agent.log.mark()
            world.write("policy.yaml", loads.policy(number))
            world.agent.log.wait("tables written", mark)
        worlds.time.sleep(2)
        after = {name: process.memory() for name, process in sides.items()}
        if bench.churn_peer:
            envoy = eds.Envoy(bench, loads.services, loads.each)
            envoy.start()
            before = Process(envoy.processes[0].pid).memory()
            envoy.full_resync()
            worlds.time.sleep(2)
            first["envoy"], after["envoy"] = before, Process(envoy.processes[0].pid).memory()
            envoy.stop()
        detail = {
            "load_before": world.load, "workloads": loads.services * loads.each, "services": loads.services,
            "first": {name: [round(value, 1) for value in values] for name, values in first.items()}}
        for index, name in enumerate(("memory, anonymous", "memory, all resident")):
            yield harness.Row(
                name, "MiB", True, {side: [values[index]] for side, values in after.items()}, 1,
                detail=detail if index == 0 else None)
    finally:
        world.close()
