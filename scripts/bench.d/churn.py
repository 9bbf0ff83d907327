"""churn: how fast the node follows. All with the real daemons, YAML in and kernel tables out.

`enrol`            a workload's namespace appears, until admission is attached in it; and cycles of coming and going a second
`endpoint change`  a file is renamed into place that changes one endpoint's weight, until the tables say so
`policy change`    the same for a policy of an enrolled workload
`full resync`      an agent that knows nothing, 10,000 workloads in 1,000 services: first entry at the agent until in force

`full resync` is timed by the agent, from the first decoded entries on. The two changes are timed from outside, and the
time within the agent (entry decoded until tables written) stands in the detail. The control plane's share is mostly that
it lets a file settle for 0.1 s.

Peer of `endpoint change` and `full resync`: Envoy with as many clusters and endpoints over ADS, from its control plane's push
until its statistics show it. `endpoint change` is not like for like: Martlet's begins with a file, which settles and is compiled
with all others, Envoy's with a push. Nor is the agent's part alone, which begins when the entry is decoded: Envoy's holds the
push through the control plane in Python, gRPC, and the asking. The truth lies between; the detail has `envoy_over_agent`.
"""
import os
import statistics

import eds
import harness
import world as worlds

WORKLOADS, SERVICES = 10_000, 1_000
VIP = "240.0.0.10"


def rows(bench):
    if any(bench.wants(row) for row in ("enrol", "endpoint change", "policy change", "full resync")):
        world = worlds.World(bench)
        try:
            yield from Churn(bench, world).rows()
        finally:
            world.close()


class Churn:
    def __init__(self, bench, world):
        self.bench, self.world = bench, world
        self.services = 50 if bench.quick else SERVICES
        self.each = 4 if bench.quick else WORKLOADS // SERVICES

    def rows(self):
        bench, world = self.bench, self.world
        client, server = world.pod("client", "10.77.0.2"), world.pod("server", "10.77.0.3")
        self.guest = world.pod("guest", "10.77.0.6")
        self.guest_path = world.directory / "guest"
        for name, text in self.mesh().items():
            world.write(name, text)
        world.write("local.yaml", (
            worlds.workload("client", path=client.path) + worlds.workload("server", path=server.path)
            + worlds.workload("guest", path=self.guest_path)
            + worlds.service("server", "server", VIP, [(80, 9000)])))
        world.write("policy.yaml", self.policy(0))
        world.write("one.yaml", self.one(1))
        harness.say(f"churn: {self.services * self.each} workloads in {self.services} services")
        start = worlds.time.monotonic()
        control = world.start_control()
        moment, _, _ = control.log.wait(r"\bready\b", timeout=300)
        self.compiled = moment - start
        if bench.wants("full resync"):
            yield self.full_resync()
        world.start_agent(level="debug")
        world.agent.log.wait("snapshot in force", timeout=120)
        world.wait_ready()
        if bench.wants("endpoint change"):
            envoy = self.envoy()
            if envoy:
                envoy.start()
                envoy.full_resync()
            yield self.change("endpoint change", "one.yaml", lambda number: self.one(2 + number % 2), envoy)
            if envoy:
                envoy.stop()
        if bench.wants("policy change"):
            yield self.change("policy change", "policy.yaml", lambda number: self.policy(1 + number))
        if bench.wants("enrol"):
            yield self.enrol()

    # ---- resources

    def mesh(self):
        """Workloads of another node. The first service's first workload stands in a file of its own."""
        files = {}
        for part in range(0, self.services, 50):
            text = ""
            for number in range(part, min(part + 50, self.services)):
                app = f"app-{number}"
                text += worlds.service(app, app, f"240.1.{number // 250}.{number % 250 + 1}", [(80, 8080)])
                for index in range(self.each):
                    if number or index:
                        text += self.remote(number, index)
            files[f"mesh-{part}.yaml"] = text
        return files

    def remote(self, number, index, weight=1):
        place = number * self.each + index
        return worlds.workload(
            f"app-{number}-{index}", node="elsewhere", labels={"app": f"app-{number}"}, weight=weight,
            addresses=[f"10.90.{place // 250}.{place % 250 + 1}"])

    def one(self, weight):
        return self.remote(0, 0, weight)

    def policy(self, number):
        return worlds.policy("server-callers", "server", [worlds.principal("client"), worlds.principal(f"other-{number}")])

    # ---- rows

    def envoy(self):
        return eds.Envoy(self.bench, self.services, self.each) if self.bench.churn_peer else None

    def full_resync(self):
        rounds = self.bench.rounds_or(7, quick=1)
        times, peer = [], []
        envoy = self.envoy()
        for number in range(rounds):
            if envoy:
                envoy.start()
                peer.append(envoy.full_resync())
                envoy.stop()
            agent = self.world.start_agent()
            _, found, _ = agent.log.wait(r"^(?=.*snapshot in force).*microseconds=\"?(\d+)", timeout=120)
            times.append(int(found[1]) / 1000)
            self.world.wait_ready()
            self.world.stop_agent()
            harness.say(f"  round {number + 1} of {rounds}: {times[-1]:.0f} ms" + (f", envoy {peer[-1]:.0f} ms" if peer else ""))
        return harness.Row("full resync", "ms", True, {"martlet": times} | ({"envoy": peer} if peer else {}), rounds, detail={
            "load_before": self.world.load,
            "workloads": self.services * self.each, "services": self.services,
            "control_plane_start_to_ready_s": round(self.compiled, 2)})

    def change(self, row, file, text, envoy=None):
        rounds = self.bench.rounds_or(25, quick=3)
        outside, within, peer = [], [], []
        log = self.world.agent.log
        for number in range(rounds):
            mark = log.mark()
            start = self.world.write(file, text(number))
            moment, found, _ = log.wait(r"^(?=.*tables written).*microseconds=\"?(\d+)", mark)
            outside.append((moment - start) * 1000)
            within.append(int(found[1]) / 1000)
            if envoy:
                peer.append(envoy.change(2 + number % 2))
            worlds.time.sleep(0.3)
        harness.say(f"  {row}: {statistics.median(outside):.0f} ms, of these in the agent {statistics.median(within):.2f} ms")
        return harness.Row(row, "ms", True, {"martlet": outside} | ({"envoy": peer} if peer else {}), rounds, detail=({
            "envoy_over_agent": round(statistics.median(peer) / statistics.median(within), 2)} if peer else {}) | {
            "load_before": self.world.load,
            "agent_ms_median": round(statistics.median(within), 3), "agent_ms_max": round(max(within), 3)})

    def enrol(self):
        """A symbolic link to a namespace that is there already comes and goes, so that building one is not measured."""
        rounds = self.bench.rounds_or(50, quick=3)
        log = self.world.agent.log
        times = []
        begin = worlds.time.monotonic()
        for _ in range(rounds):
            mark = log.mark()
            start = worlds.time.monotonic()
            os.symlink(self.guest.path, self.guest_path)
            moment, _, mark = log.wait(r"^(?=.*workload enrolled).*bench/guest", mark)
            times.append((moment - start) * 1000)
            os.unlink(self.guest_path)
            log.wait(r"^(?=.*workload withdrawn).*bench/guest", mark)
        seconds = worlds.time.monotonic() - begin
        return harness.Row("enrol", "ms", True, {"martlet": times}, rounds, detail={
            "load_before": self.world.load,
            "cycles_per_second": round(rounds / seconds, 2)})
