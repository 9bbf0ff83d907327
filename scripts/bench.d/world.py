"""A mesh to measure: network namespaces on a bridge, cgroups, and the real daemons, all of it made here and removed at the end,
also after an interruption. Nothing that was there before is touched.

`pod` makes a namespace whose processes run below the mesh's cgroup root; `outside` makes one of the same kind whose
processes do not, which is what `direct` stands for.
"""
import atexit
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import harness

PREFIX = "martlet-bench-"
INDEX = "/run/netns"
# Not used twice by one process: the kernel removes the links of a deleted namespace later.
LINKS = itertools.count(1)


def run(*arguments, check=True):
    result = subprocess.run([*map(str, arguments)], capture_output=True, text=True)
    if check and result.returncode != 0:
        raise harness.Failure(f"{' '.join(map(str, arguments))}: {(result.stderr or result.stdout).strip()}")
    return result.stdout


class Log:
    """Lines of a process, with the moment at which each was read."""

    def __init__(self, stream):
        self.lines, self.changed = [], threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append((time.monotonic(), line.rstrip("\n")))
                self.changed.notify_all()

    def mark(self):
        with self.changed:
            return len(self.lines)

    def wait(self, pattern, start=0, timeout=30.0):
        """The first line from `start` on that has `pattern`: when it came, the match, the index after it."""
        expression, deadline = re.compile(pattern), time.monotonic() + timeout
        with self.changed:
            while True:
                while start < len(self.lines):
                    moment, line = self.lines[start]
                    start += 1
                    found = expression.search(line)
                    if found:
                        return moment, found, start
                left = deadline - time.monotonic()
                if left <= 0 or not self.changed.wait(left):
                    if time.monotonic() >= deadline:
                        tail = "\n  ".join(line for _, line in self.lines[-8:])
                        raise harness.Failure(f"no line with {pattern!r} within {timeout:g} s; the last ones:\n  {tail}")

    def tail(self, count=8):
        with self.changed:
            return "\n  ".join(line for _, line in self.lines[-count:])


class Pod:
    def __init__(self, world, name, address, cgroup):
        self.world, self.name, self.address, self.cgroup = world, name, address, cgroup
        self.netns = f"{world.name}-{name}"
        self.path = f"{INDEX}/{self.netns}"

    def command(self, arguments):
        """Enters cgroup and namespace (ip netns exec would hide the cgroups)."""
        enter = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec "$@"', str(self.cgroup)]
        return [*enter, "nsenter", f"--net={self.path}", *map(str, arguments)]

    def start(self, arguments, **options):
        process = subprocess.Popen(
            self.command(arguments), stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.DEVNULL), stderr=options.pop("stderr", subprocess.DEVNULL),
            text=True, **options)
        self.world.processes.append(process)
        return process

    def run(self, arguments, timeout=60):
        result = subprocess.run(self.command(arguments), capture_output=True, text=True, timeout=timeout)
        if result.returncode != 0:
            raise harness.Failure(f"{' '.join(map(str, arguments))}: {(result.stderr or result.stdout).strip()[-500:]}")
        return result.stdout

    def json(self, arguments, timeout=60):
        return json.loads(self.run(arguments, timeout))


class World:
    def __init__(self, bench, prefix=PREFIX):
        if os.geteuid() != 0:
            raise harness.Failure("this makes network namespaces and loads BPF programs: run it as root")
        self.bench = bench
        self.number = os.getpid()
        self.prefix = prefix
        self.name = f"{prefix}{self.number}"
        self.unified = self._unified()
        self.processes, self.pods, self.links = [], [], []
        self.control = self.agent = None
        self.closed = False
        self._sweep()
        atexit.register(self.close)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._interrupted)
        self.cgroup = self.unified / self.name
        self.other = self.unified / f"{self.name}-direct"
        self.pins = pathlib.Path("/sys/fs/bpf") / self.name
        self.directory = pathlib.Path("/run") / self.name
        self.run_directory = self.directory / "run"
        self.resources = self.directory / "resources"
        for path in (self.cgroup, self.other, self.directory, self.run_directory, self.resources):
            path.mkdir(mode=0o755)
        # A busy machine gives figures that mean little: they say how busy it was.
        self.load = os.getloadavg()[0]
        if self.load > 1.5 and not bench.quick:
            harness.say(f"the machine is busy (load {self.load:.2f}): repeat this when it is not")
        self.bridge = f"mrb{self.number % 1_000_000}"
        run("ip", "link", "add", self.bridge, "type", "bridge")
        run("ip", "link", "set", self.bridge, "up")

    @staticmethod
    def _unified():
        for line in pathlib.Path("/proc/mounts").read_text().splitlines():
            fields = line.split()
            if fields[2] == "cgroup2":
                return pathlib.Path(fields[1])
        raise harness.Failure("cgroup2 is not mounted: mount -t cgroup2 none /sys/fs/cgroup/unified")

    def _sweep(self):
        """What a bench that was killed left, known by the number of a process that is no more."""
        for path in pathlib.Path("/run").glob(f"{self.prefix}*"):
            number = path.name[len(self.prefix):]
            if number.isdigit() and not pathlib.Path(f"/proc/{number}").exists():
                harness.say(f"removing what {path.name} left")
                self._remove(path.name, int(number))

    # ---- places

    def _make(self, name, address, cgroup):
        pod = Pod(self, name, address, cgroup / name)
        pod.cgroup.mkdir(exist_ok=True)
        self.pods.append(pod)
        # Interface names have at most 15 characters.
        link = f"mv{self.number % 1_000_000}x{next(LINKS)}"
        run("ip", "netns", "add", pod.netns)
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", pod.netns)
        run("ip", "link", "set", link, "master", self.bridge, "up")
        run("ip", "-n", pod.netns, "link", "set", "lo", "up")
        run("ip", "-n", pod.netns, "addr", "add", f"{address}/16", "dev", "eth0")
        run("ip", "-n", pod.netns, "link", "set", "eth0", "up")
        run("ip", "-n", pod.netns, "route", "add", "default", "dev", "eth0")
        pod.link = link
        return pod

    def pod(self, name, address):
        return self._make(name, address, self.cgroup)

    def outside(self, name, address):
        return self._make(name, address, self.other)

    # ---- resources

    def write(self, file, text):
        """Beside, then renamed: the control plane never sees half a file."""
        temporary = self.directory / f".{file}"
        temporary.write_text(text)
        os.rename(temporary, self.resources / file)
        return time.monotonic()

    # ---- daemons

    @property
    def instance(self):
        return ["--cgroup-root", self.cgroup, "--pin-dir", self.pins, "--run-dir", self.run_directory]

    def start_control(self):
        self.control = self._daemon([
            self.bench.martlet("martlet-control"), "--resources", self.resources, "--socket",
            self.directory / "control.sock", "--state-dir", self.directory / "control"])
        return self.control

    def start_agent(self, *words, level="info"):
        """Does not wait: the log tells. State and pins of an earlier one are used as they are. `words`: of its command line, more."""
        health, metrics = self.bench.free_ports(2)
        self.health = f"127.0.0.1:{health}"
        self.agent = self._daemon([
            self.bench.martlet("martletd"), "--node", "bench", *self.instance, "--state-dir", self.directory / "agent",
            "--control", f"unix:{self.directory}/control.sock", "--bpf-dir", self.bench.build / "bpf", "--proxy",
            self.bench.martlet("martlet-proxy"), "--proxy-user", "nobody", "--proxy-loops", "1", "--health-address",
            self.health, "--metrics-address", f"127.0.0.1:{metrics}", "--log-level", level, *words])
        return self.agent

    def wait_ready(self, timeout=120):
        deadline = time.monotonic() + timeout
        while subprocess.run(
                ["curl", "-fs", "-m", "2", f"http://{self.health}/readyz"], capture_output=True).returncode != 0:
            if self.agent.poll() is not None or time.monotonic() > deadline:
                raise harness.Failure(f"the agent did not become ready:\n  {self.agent.log.tail()}")
            time.sleep(0.05)

    def stop_agent(self, purge=True):
        self._end(self.agent)
        if purge:
            self.purge()
            shutil.rmtree(self.directory / "agent", ignore_errors=True)

    def purge(self):
        run(self.bench.martlet("martlet"), "purge", *self.instance)

    def martlet(self, *arguments):
        text = run(self.bench.martlet("martlet"), *arguments, "--run-dir", self.run_directory, "-o", "json")
        return json.loads(text)

    def programs(self):
        """Runs and nanoseconds of every program of the agent, by name. Counts only while `Statistics` is on."""
        sums = {}
        for program in self.martlet("show", "programs"):
            runs, nanoseconds = sums.get(program["name"], (0, 0))
            sums[program["name"]] = (runs + program["runs"], nanoseconds + program["runNanoseconds"])
        return sums

    def _daemon(self, arguments):
        process = subprocess.Popen(
            [*map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        process.log = Log(process.stderr)
        self.processes.append(process)
        return process

    # ---- the end

    @staticmethod
    def _end(process):
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @staticmethod
    def _interrupted(*_):
        """Ends what the main thread is at, whose end closes. Not here: it may be in the middle of reading what closing reads too."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(130)

    def close(self):
        if self.closed:
            return 0
        self.closed = True
        for process in reversed(self.processes):
            try:
                self._end(process)
            except OSError:
                pass
        try:
            self.purge()
        except (harness.Failure, OSError) as failure:
            harness.say(f"purge: {failure}")
        self._remove(self.name, self.number)
        return 0

    def _remove(self, name, number):
        for root in (self.unified / name, self.unified / f"{name}-direct"):
            if not root.exists():
                continue
            try:
                (root / "cgroup.kill").write_text("1")
            except OSError:
                pass
            for _ in range(100):
                for path in sorted(root.rglob("*"), key=lambda path: -len(path.parts)):
                    if path.is_dir():
                        try:
                            path.rmdir()
                        except OSError:
                            pass
                try:
                    root.rmdir()
                except OSError:
                    time.sleep(0.05)
                if not root.exists():
                    break
        for path in pathlib.Path("/sys/class/net").glob(f"mv{number % 1_000_000}x*"):
            run("ip", "link", "del", path.name, check=False)
        for path in pathlib.Path(INDEX).glob(f"{name}-*"):
            run("ip", "netns", "del", path.name, check=False)
        run("ip", "link", "del", f"mrb{number % 1_000_000}", check=False)
        shutil.rmtree(pathlib.Path("/sys/fs/bpf") / name, ignore_errors=True)
        shutil.rmtree(pathlib.Path("/run") / name, ignore_errors=True)


class Statistics:
    """The kernel counts runs and time of BPF programs while this is entered. It costs each run some 20 ns."""

    PATH = pathlib.Path("/proc/sys/kernel/bpf_stats_enabled")

    def __enter__(self):
        self.before = self.PATH.read_text()
        self.PATH.write_text("1")
        return self

    def __exit__(self, *_):
        self.PATH.write_text(self.before)


# ---- resources as text


def workload(name, node="bench", labels=None, path=None, addresses=(), weight=None, namespace="bench"):
    labels = labels or {"app": name}
    spec = {"node": node, "serviceAccount": name}
    if path:
        spec["networkNamespace"] = str(path)
    if addresses:
        spec["addresses"] = list(addresses)
    if weight is not None:
        spec["weight"] = weight
    return document("martlet.dev/v1alpha1", "Workload", name, spec, labels, namespace)


def service(name, app, address, ports, namespace="bench"):
    spec = {
        "selector": {"app": app}, "clusterIP": address,
        "ports": [{"name": f"p{port}", "port": port, "targetPort": target} for port, target in ports]}
    return document("v1", "Service", name, spec, None, namespace)


def policy(name, app, rules, namespace="bench"):
    spec = {"selector": {"matchLabels": {"app": app}}, "action": "ALLOW", "rules": rules}
    return document("security.istio.io/v1", "AuthorizationPolicy", name, spec, None, namespace)


def principal(name, namespace="bench"):
    return {"from": [{"source": {"principals": [f"cluster.local/ns/{namespace}/sa/{name}"]}}]}


def document(version, kind, name, spec, labels, namespace):
    metadata = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = labels
    # JSON is YAML.
    return "---\n" + json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}) + "\n"
