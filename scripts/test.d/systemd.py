#!/usr/bin/env python3
"""The Debian package on real systemd: installed in a booted container, two workloads in namespaces, traffic through policy,
restarts under load, a hang, a reboot, removal. Commands are those of docs/install.md, taken from its blocks.

usage: systemd.py PACKAGE [SUITE...] (default: bookworm trixie)
"""
import collections
import json
import os
import pathlib
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nspawn

HERE = pathlib.Path(__file__).resolve().parent
VIP, KERNEL, RELAY = "240.0.0.10", "240.0.0.10:80", "240.0.0.10:8080"
PODS = {"client": 2, "server": 3, "intruder": 4}

NETWORK = """#!/bin/sh
set -e
ip link add br0 type bridge
ip addr add 10.77.0.1/24 dev br0
ip link set br0 up
number=2
for name in client server intruder; do
  ip netns add $name
  ip link add v-$name type veth peer name eth0 netns $name
  ip link set v-$name master br0 up
  ip -n $name link set lo up
  ip -n $name addr add 10.77.0.$number/24 dev eth0
  ip -n $name link set eth0 up
  ip -n $name route add default dev eth0
  number=$((number + 1))
done
"""

UNITS = {
    "/etc/systemd/system/pods.service": """[Unit]
Description=Namespaces of the workloads
DefaultDependencies=no
After=local-fs.target
Before=martletd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/opt/network
[Install]
WantedBy=multi-user.target
""",
    "/etc/systemd/system/backend.service": """[Unit]
Description=A workload
After=pods.service martlet-workloads.target
Requires=pods.service
Wants=martlet-workloads.target
[Service]
NetworkNamespacePath=/run/netns/server
ExecStart=/usr/bin/python3 /opt/echo.py 9000
Restart=on-failure
[Install]
WantedBy=multi-user.target
""",
    # Calls what it may not call as soon as it starts, and at each boot: what it gets is written down.
    "/etc/systemd/system/early.service": """[Unit]
Description=An intruder that starts early
After=pods.service martlet-workloads.target
Requires=pods.service
Wants=martlet-workloads.target
[Service]
Type=oneshot
RemainAfterExit=yes
NetworkNamespacePath=/run/netns/intruder
ExecStart=/usr/bin/python3 /opt/early.py
""",
    # Calls before anything else of it runs, at each start: what it gets is written down.
    "/etc/systemd/system/web.service": """[Unit]
Description=A service of the host itself
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStartPre=/usr/bin/python3 /opt/first.py
ExecStart=/usr/bin/python3 /opt/echo.py 9100
TimeoutStopSec=5s
""",
}

FIRST = """import socket
try:
    with socket.create_connection(("240.0.0.10", 80), 3) as s:
        s.settimeout(3)
        s.sendall(b"hello\\n")
        said = "steered" if s.recv(10) == b"hello\\n" else "closed"
except OSError as error:
    said = type(error).__name__
with open("/run/first.log", "a") as log:
    log.write(said + "\\n")
"""

EARLY = """import collections, socket, time
got = collections.Counter()
end = time.monotonic() + 8
while time.monotonic() < end:
    for target in [("240.0.0.10", 80), ("10.77.0.3", 9000)]:
        try:
            with socket.create_connection(target, 3) as s:
                s.settimeout(3)
                s.sendall(b"stolen\\n")
                got["answered" if s.recv(100) else "closed"] += 1
        except OSError as error:
            got[type(error).__name__] += 1
    time.sleep(0.02)
for word, count in got.items():
    print("got", word, count, flush=True)
"""

RESOURCES = "".join(
    f"""---
apiVersion: martlet.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: demo, labels: {{app: {name}}}}}
spec: {{node: NODE, serviceAccount: {name}, networkNamespace: /run/netns/{name}}}
"""
    for name in PODS
) + f"""---
apiVersion: v1
kind: Service
metadata: {{name: server, namespace: demo}}
spec:
  selector: {{app: server}}
  clusterIP: {VIP}
  ports:
    - {{name: plain, port: 80, targetPort: 9000}}
    - {{name: relayed, port: 8080, targetPort: 9000, appProtocol: http}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: server-callers, namespace: demo}}
spec:
  selector: {{matchLabels: {{app: server}}}}
  action: ALLOW
  rules:
    - from: [{{source: {{principals: ["cluster.local/ns/demo/sa/client", "cluster.local/ns/demo/sa/web"]}}}}]
"""


def documented():
    """Commands of docs/install.md by the name of their block: ```sh NAME."""
    text = (nspawn.ROOT / "docs" / "install.md").read_text()
    return {name: body.strip() for name, body in re.findall(r"^```sh (\S+)\n(.*?)^```", text, re.M | re.S)}


class Run:
    def __init__(self, suite, package):
        self.suite, self.package = suite, package
        self.box = nspawn.Container(f"mt-systemd-{suite}", suite, dict(UNITS))
        self.box.write("/opt/network", NETWORK, 0o755)
        self.box.write("/opt/early.py", EARLY)
        self.box.write("/opt/first.py", FIRST)
        for name in ("echo.py", "load.py"):
            self.box.copy(HERE / name, f"/opt/{name}")
        self.box.copy(package, f"/root/{package.name}")
        self.commands = documented()
        self.used = set()
        self.failures = []
        self.began = time.monotonic()

    def check(self, what, good, detail=""):
        mark = "ok  " if good else "FAIL"
        print(f"  {time.monotonic() - self.began:6.1f}s {mark} {what}" + (f": {detail}" if detail and not good else ""), flush=True)
        if not good:
            self.failures.append(f"{self.suite}: {what}: {detail}")
        return good

    def doc(self, name, check=True):
        """Runs a block of docs/install.md as it stands."""
        self.used.add(name)
        return self.box.run(["sh", "-ec", "cd /root\n" + self.commands[name]], check=check, timeout=300)

    def until(self, probe, seconds=60):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if probe():
                return True
            time.sleep(0.1)
        return probe()

    def show(self, unit, field):
        return self.box.run(["systemctl", "show", "-P", field, unit]).stdout.strip()

    def inside(self, pod, command, timeout=60):
        return self.box.unit(command, [f"NetworkNamespacePath=/run/netns/{pod}"], timeout=timeout)

    def say(self, pod, target):
        """One line there and back from a pod; the answer, or the error's name."""
        host, port = target.split(":")
        program = (
            "import socket,sys\n"
            f"s=socket.create_connection(('{host}',{port}),10)\ns.settimeout(10)\ns.sendall(b'hello\\n')\nprint(s.recv(10).decode().strip() or 'closed')\n"
        )
        done = self.inside(pod, ["/usr/bin/python3", "-c", program])
        return done.stdout.strip() or (done.stderr.strip().splitlines() or ["?"])[-1]

    def load(self, seconds, targets=(KERNEL, RELAY)):
        """Starts the load as a unit; `loaded` ends it, at the earliest after so many seconds."""
        self.load_until = time.monotonic() + seconds
        self.box.run(
            ["systemd-run", "-q", "--unit=load", "--property=NetworkNamespacePath=/run/netns/client",
             "--property=StandardOutput=file:/run/load.json", "--", "/usr/bin/python3", "/opt/load.py", "300", *targets])
        time.sleep(1)

    def loaded(self, what, least=50):
        time.sleep(max(0, self.load_until - time.monotonic()))
        self.box.run(["systemctl", "kill", "--kill-whom=main", "-s", "TERM", "load.service"], check=False)
        self.until(lambda: self.show("load.service", "ActiveState") in ("inactive", "failed"), 120)
        text = self.box.run("cat /run/load.json; rm -f /run/load.json; systemctl reset-failed load.service 2>/dev/null; true").stdout
        try:
            result = json.loads(text)
        except ValueError:
            return self.check(what, False, f"no result: {text[:500]}")
        good = not result["failures"] and result["new"] >= least and result["kept"] > 0
        self.check(f"{what}: {result['new']} new, {result['kept']} kept connections, {len(result['failures'])} failed, slowest "
                   f"{result['slowest']} s", good, "; ".join(result["failures"][:6]))

    def ready(self):
        return self.until(lambda: self.box.run(["curl", "-sf", "-m", "2", "http://127.0.0.1:15021/readyz"], check=False).returncode == 0)

    def enrolled(self):
        return self.until(lambda: self.say("client", KERNEL) == "hello", 60)

    def traffic(self, when):
        self.check(f"{when}: client by the kernel", self.say("client", KERNEL) == "hello", self.say("client", KERNEL))
        self.check(f"{when}: client by the proxy", self.say("client", RELAY) == "hello", self.say("client", RELAY))
        for target in (KERNEL, RELAY, "10.77.0.3:9000"):
            got = self.say("intruder", target)
            self.check(f"{when}: intruder to {target} is refused", got in ("closed",) or "ConnectionRe" in got, got)

    def proxy(self):
        return self.box.run("cat /sys/fs/cgroup/system.slice/martletd.service/proxy/cgroup.procs", check=False).stdout.split()

    def run(self):
        box = self.box
        box.start()
        for part in (self.install, self.enrol, self.units, self.restart, self.hang, self.both_killed, self.upgrade, self.reboot, self.removal):
            part()
        unused = sorted(set(self.commands) - self.used)
        self.check("every block of docs/install.md for the package was run", not unused, " ".join(unused))

    def install(self):
        box = self.box
        self.check("the container boots", box.wait_until_running() in ("running", "degraded"))
        self.failed_before = box.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout
        self.before = self.inventory()
        box.run(["systemctl", "enable", "--now", "pods.service"])
        self.doc("package")
        for unit in ("martletd.service", "martlet-control.service"):
            self.check(f"{unit} is active", self.show(unit, "ActiveState") == "active", box.run(["journalctl", "-n", "40", "--no-pager", "-u", unit]).stdout)
            self.check(f"{unit} is enabled", self.show(unit, "UnitFileState") == "enabled")
        self.doc("look")
        failed = box.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout
        self.check("no unit failed", failed == self.failed_before, failed)
        verify = box.run(["systemd-analyze", "verify", "--man=no", "martletd.service", "martlet-control.service", "martlet-workloads.target", "martlet-hosts.service", "martlet-hosts.timer"], check=False)
        self.check("systemd-analyze verify is silent", verify.returncode == 0 and not (verify.stdout + verify.stderr).strip(), verify.stdout + verify.stderr)
        for unit in ("martletd.service", "martlet-control.service"):
            score = box.run(f"systemd-analyze security --no-pager {unit} | tail -n 1").stdout.strip()
            print(f"           {score}", flush=True)
        owner = box.run(["ps", "-o", "user:20=", "-p", self.show("martlet-control.service", "MainPID")]).stdout.strip()
        self.check("the control plane has an account of its own", owner == "martlet-control", owner)

    def enrol(self):
        box = self.box
        node = box.run(["hostname"]).stdout.strip()
        box.run(["sh", "-c", "cat >/etc/martlet/mesh.d/demo.yaml"], text=RESOURCES.replace("NODE", node))
        box.run(["systemctl", "enable", "-q", "backend.service", "early.service"], check=False)
        box.run(["systemctl", "start", "backend.service"])
        self.check("two workloads are enrolled", self.enrolled(), box.run(["martlet", "status"], check=False).stdout)
        self.check("the agent is ready", self.ready())
        self.traffic("installed")
        proxies = self.proxy()
        self.check("the proxy runs in proxy/", len(proxies) == 1, str(proxies))
        status = box.run(f"cat /proc/{proxies[0]}/status").stdout if proxies else ""
        self.check("the proxy has no capability", re.search(r"^CapEff:\s0+$", status, re.M) is not None)

    def first(self, times=1):
        """What the first call of web.service got, start after start."""
        restart = f"rm -f /run/first.log; for i in $(seq {times}); do systemctl restart web.service || echo failed >>/run/first.log; done; cat /run/first.log"
        return collections.Counter(self.box.run(restart, check=False, timeout=600).stdout.split())

    def units(self):
        """A service of the host, put into the mesh by one command: no start of it makes a call outside."""
        box = self.box
        before = self.first()
        self.check("a unit outside of the mesh is not steered", before and not before["steered"], str(before))
        self.doc("enroll")
        self.check("its Workload is enrolled", "yes" in box.run(["martlet", "show", "workloads", "demo/web"]).stdout)
        got = self.first(200)
        self.check("200 restarts of a unit that calls at once: 0 unsteered", got == {"steered": 200}, str(got))
        verify = box.run(["systemd-analyze", "verify", "--man=no", "web.service"], check=False)
        self.check("systemd takes the drop-in", verify.returncode == 0 and not (verify.stdout + verify.stderr).strip(), verify.stdout + verify.stderr)
        again = "martlet enroll web.service --namespace demo --port http=9100"
        box.run(f"{again} --timeout 2 && mv /etc/martlet/mesh.d/enrolled-web.service.yaml /root/")
        time.sleep(1)
        got = self.first()
        self.check("without a Workload it fails to start", got == {"failed": 1} and self.show("web.service", "ActiveState") == "failed", str(got))
        said = box.run(["journalctl", "-b", "--no-pager", "-o", "cat", "-u", "web.service"]).stdout
        self.check("its journal says why", "no Workload of node" in said, said[-500:])
        box.run(f"mv /root/enrolled-web.service.yaml /etc/martlet/mesh.d/ && {again}")
        self.check("with it, it starts", self.first() == {"steered": 1})
        self.doc("unenroll")
        got = self.first()
        self.check("unenrolled it starts without the mesh", not got["steered"] and not got["failed"], str(got))
        box.run(f"{again} && systemctl stop web.service")
        self.doc("hook")
        hook = json.loads(box.run(["cat", "/etc/containers/oci/hooks.d/martlet.json"]).stdout)
        state = json.dumps({"ociVersion": "1.0.2", "id": "ab", "status": "creating", "pid": int(self.show("systemd-journald.service", "MainPID") or 0)})
        done = box.run([hook["hook"]["path"], *hook["hook"]["args"][1:]], check=False, text=state)
        self.check("the hook lets a container pass that has no Workload", done.returncode == 0, done.stderr)

    def restart(self):
        box = self.box
        before, proxy = self.show("martletd.service", "MainPID"), self.proxy()
        self.load(12)
        for _ in range(3):
            box.run(["systemctl", "restart", "martletd.service"])
            time.sleep(1)
        self.loaded("systemctl restart martletd, three times under load")
        self.check("it is another process", self.show("martletd.service", "MainPID") != before)
        self.check("the proxy is the same", self.proxy() == proxy, f"{proxy} {self.proxy()}")
        self.load(8)
        box.run(["systemctl", "restart", "martlet-control.service"])
        time.sleep(2)
        self.loaded("systemctl restart martlet-control under load")
        self.load(8)
        box.run(["systemctl", "kill", "--kill-whom=main", "-s", "KILL", "martletd.service"])
        self.loaded("kill -9 of the agent under load")
        self.check("systemd started it again", self.until(lambda: self.show("martletd.service", "ActiveState") == "active"))
        self.traffic("after restarts")

    def hang(self):
        """A stopped agent says nothing: systemd ends and starts it."""
        box = self.box
        box.run("mkdir -p /run/systemd/system/martletd.service.d && printf '[Service]\\nWatchdogSec=10s\\nTimeoutAbortSec=1s\\n' "
                ">/run/systemd/system/martletd.service.d/test.conf && systemctl daemon-reload && systemctl restart martletd.service")
        before = self.show("martletd.service", "MainPID")
        time.sleep(25)
        self.check("a healthy agent is left alone by the watchdog", self.show("martletd.service", "MainPID") == before,
                   box.run(["journalctl", "-n", "20", "--no-pager", "-u", "martletd"]).stdout)
        self.load(24)
        box.run(["systemctl", "kill", "--kill-whom=main", "-s", "STOP", "martletd.service"])
        again = self.until(lambda: self.show("martletd.service", "MainPID") not in (before, "0") and self.show("martletd.service", "ActiveState") == "active", 40)
        self.check("an agent that hangs is started anew", again, box.run(["journalctl", "-n", "20", "--no-pager", "-u", "martletd"]).stdout)
        self.loaded("a hang of the agent under load")
        box.run("rm -r /run/systemd/system/martletd.service.d && systemctl daemon-reload && systemctl restart martletd.service")

    def both_killed(self):
        """Agent and proxy at once: listeners live on in systemd's descriptor store, connections wait in them."""
        box = self.box
        stored = self.show("martletd.service", "NFileDescriptorStore")
        self.check("systemd holds the listeners of three workloads", stored == "6", stored)
        sockets = "cat /proc/1/net/tcp >/dev/null; ip netns exec client ss -Hlnte 'sport = :15001' | grep -o 'ino:[0-9]*' | sort"
        before = box.run(sockets, check=False).stdout.split()
        self.load(10, targets=(KERNEL,))
        box.run("systemctl kill --kill-whom=all -s KILL martletd.service; kill -9 $(cat /sys/fs/cgroup/system.slice/martletd.service/proxy/cgroup.procs) 2>/dev/null; true")
        queued = self.say("client", RELAY)
        self.check("a connection made while both were dead is answered", queued == "hello", queued)
        self.loaded("kill -9 of agent and proxy: kernel tier")
        after = box.run(sockets, check=False).stdout.split()
        self.check("the listeners are the same sockets", before == after and bool(before), f"{before} {after}")
        self.traffic("after kill -9 of both")

    def upgrade(self):
        proxy = self.proxy()
        self.load(15)
        self.doc("upgrade")
        self.loaded("package installed again under load")
        self.check("a new proxy serves, and the old one ended with its last connection",
                   self.until(lambda: len(self.proxy()) == 1 and self.proxy() != proxy, 30), f"{proxy} {self.proxy()}")
        self.check("the agent is active", self.show("martletd.service", "ActiveState") == "active")
        self.traffic("after the upgrade")

    def reboot(self):
        box = self.box
        box.run("mkdir -p /etc/systemd/system/multi-user.target.wants && ln -sf ../early.service /etc/systemd/system/multi-user.target.wants/early.service")
        state = box.reboot()
        self.check("it is up again", state in ("running", "degraded"), state)
        for unit in ("martletd.service", "martlet-control.service"):
            self.check(f"{unit} is active after the reboot", self.until(lambda: self.show(unit, "ActiveState") == "active"))
        self.check("workloads are enrolled again", self.enrolled())
        self.until(lambda: self.show("early.service", "ActiveState") == "active", 60)
        early = box.run(["journalctl", "-b", "--no-pager", "-o", "cat", "-u", "early.service"]).stdout
        got = {word: int(count) for word, count in re.findall(r"^got (\S+) (\d+)$", early, re.M)}
        refused = sum(got.values())
        self.check(f"what started at boot got nothing that policy denies, in {refused} tries from its first packet on",
                   refused > 100 and not set(got) - {"ConnectionRefusedError", "ConnectionResetError", "closed"}, early)
        self.traffic("after the reboot")

    def inventory(self):
        """Everything on the container's disk, its cgroups, programs, processes and accounts."""
        return set(self.box.run(
            "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /var/lib/dpkg -o -path /var/cache "
            "-o -path /var/lib/systemd -o -path /var/tmp -o -path /root \\) -prune -o -print; find /run /sys/fs/bpf -name '*martlet*'; "
            "find /sys/fs/cgroup -type d -name '*martlet*'; ps -eo comm= | grep martlet; cut -d: -f1 /etc/passwd; true").stdout.splitlines())

    def removal(self):
        box = self.box
        box.run("systemctl disable -q --now backend.service early.service; true")
        self.doc("remove")
        left = box.run("ls -d /etc/systemd/system/web.service.d /etc/containers 2>/dev/null; true").stdout
        self.check("nothing waits for the mesh any more", not left, left)
        self.check("removed, the settings stay", box.run("test -e /etc/martlet/mesh.d/demo.yaml", check=False).returncode == 0)
        self.check("no program of ours is attached", box.run("test ! -e /sys/fs/bpf/martlet", check=False).returncode == 0, box.run("ls -R /sys/fs/bpf").stdout)
        self.doc("package")
        self.check("installed again, it works with the settings that stayed", self.ready())
        self.doc("purge")
        box.run(["systemctl", "disable", "-q", "--now", "pods.service"])
        left = sorted(line for line in self.inventory() - self.before if not line.endswith((".pyc", "__pycache__")) and not re.search(r"/(passwd-|group-|shadow-|gshadow-|\.pwd\.lock|subuid-|subgid-)$", line))
        self.check("nothing is left", not left, " ".join(left[:20]))
        failed = box.run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout
        self.check("no unit failed", failed == self.failed_before, failed)


def main():
    package = pathlib.Path(sys.argv[1]).resolve()
    suites = sys.argv[2:] or ["bookworm", "trixie"]
    failures = []
    for suite in suites:
        print(f"==> {suite}", flush=True)
        run = Run(suite, package)
        try:
            run.run()
        except Exception as error:  # the container has to go whatever happened
            run.check("the run goes to its end", False, f"{type(error).__name__}: {error}")
            if os.environ.get("MARTLET_KEEP"):
                run.box.run(["journalctl", "--no-pager", "-n", "100"], check=False)
        finally:
            failures += run.failures
            if not os.environ.get("MARTLET_KEEP"):
                run.box.remove()
    print(f"systemd: {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
