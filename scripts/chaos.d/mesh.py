"""The mesh that chaos breaks: a client, two backends, an intruder, and the daemons, on a `World` of the benches."""
import json
import pathlib
import subprocess
import time

import load
import world as worlds

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VIP = "240.0.0.10"
KERNEL, RELAY, TARGET = 80, 8080, 9000
CLIENT, BACKENDS, INTRUDER, EXTRA = "10.94.0.2", ["10.94.0.3", "10.94.0.4"], "10.94.0.5", "10.94.0.6"
# Room for state, so that it can be used up without harm to the machine.
STATE_BYTES = 8 << 20


class Mesh(worlds.World):
    """Agent and proxy below the cgroup that the programs are attached to, as on a host."""

    objects = ROOT / ".build" / "bpf"
    # Another build: binaries, and their BPF objects in bpf/.
    other, is_other = None, False

    def program(self, name):
        return self.other / name if self.is_other else self.bench.martlet(name)

    def __init__(self, bench):
        super().__init__(bench)
        for name in ("agent", "control"):
            path = self.directory / name
            path.mkdir(mode=0o700)
            worlds.run("mount", "-t", "tmpfs", "-o", f"size={STATE_BYTES},mode=0700", "martlet-chaos", path)

    def _remove(self, name, number):
        for state in ("agent", "control"):
            worlds.run("umount", "-l", pathlib.Path("/run") / name / state, check=False)
        super()._remove(name, number)

    def remove_pod(self, pod):
        worlds.run("ip", "netns", "del", pod.netns, check=False)
        worlds.run("ip", "link", "del", pod.link, check=False)
        self.pods.remove(pod)

    def start_agent(self, level="info"):
        health, metrics = self.bench.free_ports(2)
        self.health = f"127.0.0.1:{health}"
        service = self.cgroup / "service"
        service.mkdir(exist_ok=True)
        self.agent = self._daemon([
            self.program("martletd"), "--node", "bench", *self.instance, "--service-cgroup", service, "--state-dir",
            self.directory / "agent", "--control", f"unix:{self.directory}/control.sock", "--bpf-dir",
            self.other / "bpf" if self.is_other else self.objects, "--proxy", self.program("martlet-proxy"), "--proxy-user", "nobody", "--health-address", self.health,
            # The load speaks bytes of its own to the relayed port.
            "--metrics-address", f"127.0.0.1:{metrics}", "--log-level", level, "--no-http"])
        return self.agent

    def proxies(self):
        return [int(pid) for pid in (self.cgroup / "service" / "proxy" / "cgroup.procs").read_text().split()]


class Ground:
    """What faults and judges stand on: the mesh, its resources, and whether it has settled."""

    def build(self):
        self.world = world = Mesh(self.bench)
        world.objects = self.arguments.bpf_dir or world.objects
        world.other = self.arguments.other
        self.client = world.pod("client", CLIENT)
        self.backends = [world.pod(f"backend{number}", address) for number, address in enumerate(BACKENDS)]
        self.intruder = world.pod("intruder", INTRUDER)
        self.records = [
            load.Listener(pod.start([self.tool, "serve", TARGET], stdin=subprocess.PIPE, stdout=subprocess.PIPE)) for pod in self.backends]
        self.resources()
        world.write("policy.yaml", self.policy_text(0))
        world.start_control()
        world.start_agent()
        world.wait_ready()
        self.wait_settled()

    def resources(self, extra=False):
        text = worlds.workload("client", path=self.client.path) + worlds.workload("intruder", path=self.intruder.path)
        for pod in self.backends:
            text += worlds.workload(pod.name, labels={"app": "backend"}, path=pod.path)
        if extra:
            text += worlds.workload("extra", path=f"{worlds.INDEX}/{self.world.name}-extra")
        document = worlds.document("v1", "Service", "backend", {
            "selector": {"app": "backend"}, "clusterIP": VIP, "ports": [
                {"name": "plain", "port": KERNEL, "targetPort": TARGET},
                {"name": "relayed", "port": RELAY, "targetPort": TARGET, "appProtocol": "http"}]}, None, "bench")
        callers = [worlds.principal("client"), worlds.principal("extra")]
        self.world.write("mesh.yaml", text + document + worlds.policy("callers", "backend", callers))

    @staticmethod
    def policy_text(number):
        return worlds.policy("others", "nobody-here", [worlds.principal(f"client-{number}")])

    def status(self):
        try:
            # Exit status 1 says that it is not ready; what it says is what counts.
            found = subprocess.run(
                [self.bench.martlet("martlet"), "status", "-o", "json", "--run-dir", self.world.run_directory],
                capture_output=True, text=True, timeout=20)
            return json.loads(found.stdout)
        except (ValueError, subprocess.TimeoutExpired):
            return None

    def serving(self):
        status = self.status()
        return status["proxy"]["pid"] if status and status["proxy"]["state"] == "running" else None

    def wait_settled(self, timeout=30):
        """The agent answers, its proxy serves what it knows, nothing is being replaced."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status = self.status()
            upgrade = (status or {}).get("proxy", {}).get("upgrade") or {}
            if status and status["ready"] and upgrade.get("state") not in ("preparing", "takingOver"):
                return status
            time.sleep(0.05)
        self.violated(f"not ready within {timeout} s: {self.world.agent.log.tail(4)}")
        return self.status()
