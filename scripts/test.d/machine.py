"""One booted machine with the package under test: what all parts of the test use to look, to call and to judge."""
import ipaddress
import json
import re
import time

import documents
import host
import nspawn

OF_THE_MESH = re.compile(r"\.demo(\.svc(\.cluster\.local)?)?$")
SERVICES = [ipaddress.ip_network("240.0.0.0/8"), ipaddress.ip_network("fd6d:6172:746c:6574::/64")]


class Machine:
    """Commands run in the machine as root; calls are made from the cgroups and namespaces of its workloads."""

    def __init__(self, suite, package, older):
        self.suite = suite
        self.box = nspawn.Container(f"mt-systemd-{suite}", suite, dict(host.UNITS), binds=[f"{nspawn.ROOT}:/src:norbind"])
        self.box.mask("systemd-resolved.service")
        self.box.write("/opt/network", host.NETWORK, 0o755)
        self.box.write("/opt/as-web", host.AS_WEB, 0o755)
        self.box.write("/var/lib/seen/.keep", "")
        for name in ("echo.py", "load.py", "say.py", "early.py", "record.py"):
            self.box.copy(nspawn.ROOT / "scripts" / "test.d" / name, f"/opt/{name}")
        self.box.copy(package, f"/root/{package.name}")
        self.box.copy(older, f"/root/older/{older.name}")
        self.commands = documents.blocks()
        self.failures = []
        self.began = time.monotonic()

    def check(self, what, good, detail=""):
        mark = "ok  " if good else "FAIL"
        print(f"  {time.monotonic() - self.began:6.1f}s {mark} {what}" + (f": {detail}" if detail and not good else ""), flush=True)
        if not good:
            self.failures.append(f"{self.suite}: {what}: {detail}")
        return good

    def doc(self, name, check=True, directory="/root"):
        """Runs a block of the documentation as it stands."""
        return self.box.run(["sh", "-ec", f"cd {directory}\n{self.commands[name]}"], check=check, timeout=300)

    def until(self, probe, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if probe():
                return True
            time.sleep(0.1)
        return probe()

    def show(self, unit, field):
        return self.box.run(["systemctl", "show", "-P", field, unit]).stdout.strip()

    def journal(self, unit, lines=40):
        return self.box.run(["journalctl", "-b", "-n", str(lines), "--no-pager", "-o", "cat", "-u", unit]).stdout

    def failed_units(self):
        return self.box.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout

    def read(self, path):
        return self.box.run(["cat", path], check=False).stdout

    # Calls: what an application gets, as a word.

    def say(self, pod, target):
        """One line there and back from a namespace; the answer, or the error's name."""
        name, port = target.rsplit(":", 1)
        return self.word(self.box.unit(["/usr/bin/python3", "/opt/say.py", name, port], [f"NetworkNamespacePath=/run/netns/{pod}"]))

    def say_web(self, target):
        """The same from within the cgroup of web.service."""
        name, port = target.rsplit(":", 1)
        return self.word(self.box.unit(["/opt/as-web", "/usr/bin/python3", "/opt/say.py", name, port]))

    def say_front(self, target):
        """The same from within the container."""
        name, port = target.rsplit(":", 1)
        return self.word(self.box.unit(["podman", "exec", "front", "python3", "/opt/say.py", name, port]))

    def say_host(self, target):
        """The same from a process that is no workload."""
        name, port = target.rsplit(":", 1)
        return self.word(self.box.unit(["/usr/bin/python3", "/opt/say.py", name, port]))

    @staticmethod
    def word(done):
        return done.stdout.strip() or (done.stderr.strip().splitlines() or ["?"])[-1]

    @staticmethod
    def is_refused(word):
        return word == "closed" or "ConnectionRe" in word

    def first(self, unit):
        """What the first calls of a unit got since the last question, start after start."""
        path = f"/var/lib/seen/{unit}.first"
        return self.box.run(f"cat {path} 2>/dev/null; rm -f {path}").stdout.split()

    # What really happened, whatever an application says: packets on every interface of the host, and what the backends got.

    def record(self):
        """Begins both anew."""
        self.box.run("systemctl stop record.service; rm -f /var/lib/seen/packets; for unit in backend web front; do : >/var/lib/seen/$unit; done; "
                     "systemctl start record.service")
        self.until(lambda: self.read("/var/lib/seen/packets").startswith("# begun"), 10)

    def arrived(self, backend, line="hello"):
        """How many calls with that line reached a backend."""
        return sum(line in text for text in self.read(f"/var/lib/seen/{backend}").splitlines())

    def packets(self):
        """(source, destination, port, interface[, name]) of each connection that was begun, and of each question for a name."""
        return [line.split() for line in self.read("/var/lib/seen/packets").splitlines() if not line.startswith("#")]

    @staticmethod
    def unsteered(packets):
        """Calls that left for the address of a service: where the mesh is, none does."""
        return [line for line in packets if any(ipaddress.ip_address(line[1]) in network for network in SERVICES)]

    @staticmethod
    def leaked(packets):
        """Questions of containers for names of the mesh that left their namespace; other names go on to the host's name servers."""
        return [line for line in packets if line[2] == "53" and line[0].startswith("10.88.") and OF_THE_MESH.search(line[-1])]

    # Load: connections that stay and new ones, from the namespace `client`.

    def load(self, seconds, targets=(host.KERNEL, host.RELAY)):
        """Starts the load as a unit; `loaded` ends it, at the earliest after so many seconds."""
        self.box.run(
            ["systemd-run", "-q", "--unit=load", "--property=NetworkNamespacePath=/run/netns/client",
             "--property=StandardOutput=file:/run/load.json", "--", "/usr/bin/python3", "/opt/load.py", "900", *targets])
        self.until(lambda: self.read("/run/load.json").startswith("begun"), 30)
        self.load_until = time.monotonic() + seconds

    def loaded(self, what, least=50):
        time.sleep(max(0, self.load_until - time.monotonic()))
        self.box.run(["systemctl", "kill", "--kill-whom=main", "-s", "TERM", "load.service"], check=False)
        self.until(lambda: self.show("load.service", "ActiveState") in ("inactive", "failed"), 120)
        text = self.box.run("cat /run/load.json; rm -f /run/load.json; systemctl reset-failed load.service 2>/dev/null; true").stdout
        try:
            result = json.loads(text.splitlines()[-1])
        except (ValueError, IndexError):
            return self.check(what, False, f"no result: {text[:500]}")
        good = not result["failures"] and result["new"] >= least and result["kept"] > 0
        self.check(f"{what}: {result['new']} new, {result['kept']} kept connections, {result['exchanges']} exchanges, "
                   f"{len(result['failures'])} failed, slowest {result['slowest']} s"
                   + (f", the machine stood still for {result['stood_still']} s" if result["stood_still"] > 1 else ""), good, "; ".join(result["failures"][:6]))

    # What holds.

    def ready(self):
        return self.until(lambda: self.box.run(["curl", "-sf", "-m", "2", "http://127.0.0.1:15021/readyz"], check=False).returncode == 0)

    def enrolled(self):
        return self.until(lambda: self.say("client", host.KERNEL) == "hello", 60)

    def has(self, workload):
        return self.until(lambda: re.search(r"\byes\b", self.box.run(["martlet", "show", "workloads", workload], check=False).stdout) is not None)

    def traffic(self, when):
        for what, target in (("kernel", host.KERNEL), ("proxy", host.RELAY)):
            got = self.say("client", target)
            self.check(f"{when}: client by the {what}", got == "hello", got)
        for target in (host.KERNEL, host.RELAY, "10.77.0.3:9000"):
            got = self.say("intruder", target)
            self.check(f"{when}: intruder to {target} is refused", self.is_refused(got), got)

    def proxy(self):
        return self.read("/sys/fs/cgroup/system.slice/martletd.service/proxy/cgroup.procs").split()

    def inventory(self):
        """Everything on the machine's disk, its cgroups, namespaces, interfaces, processes, accounts, and lines of /etc/hosts."""
        return set(self.box.run(
            "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/lib/dpkg -o -path /var/cache "
            "-o -path /var/lib/systemd -o -path /var/tmp -o -path /root -o -path /src -o -path /var/lib/containers -o -path /var/lib/seen \\) "
            "-prune -o -print; find /run /sys/fs/bpf -name '*martlet*'; find /sys/fs/cgroup -type d -name '*martlet*'; "
            "ps -eo comm= | grep martlet; cut -d: -f1 /etc/passwd | sed 's/^/account /'; cut -d: -f1 /etc/group | sed 's/^/group /'; "
            "sed 's/^/hosts: /' /etc/hosts; ip netns list | sed 's/^/netns /'; ip -o link | cut -d: -f2 | sed 's/^/link/'; true").stdout.splitlines())

    def kernel_objects(self):
        """(kind, id) of each program and map that a pin of ours holds now."""
        script = (
            "for p in $(find /sys/fs/bpf/martlet -type f); do for k in link map prog; do "
            "bpftool -j $k show pinned $p 2>/dev/null | grep -q '\"id\"' && { echo $k; bpftool -j $k show pinned $p; break; }; done; done; true")
        found, kind = set(), None
        for line in self.box.run(script).stdout.splitlines():
            if line in ("link", "map", "prog"):
                kind = line
                continue
            entry = json.loads(line)
            entry = entry[0] if isinstance(entry, list) else entry
            found.add((kind, entry["id"]))
            if kind == "link":
                found.add(("prog", entry["prog_id"]))
        return found

    def still_there(self, objects):
        return [f"{kind} {number}" for kind, number in sorted(objects)
                if self.box.run(["bpftool", kind, "show", "id", str(number)], check=False).returncode == 0]
