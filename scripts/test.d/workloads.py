"""Workloads on the machine: enrolled in each way that the documentation tells, called and calling by name, through policy."""
import collections
import json
import re
import time

import host

STARTS, CONTAINER_STARTS = 200, 20

THIEF = ("podman", "run", "--rm", "--replace", "--name", "thief", "--no-hosts", "--network", "podman", "-v", "/usr:/usr:ro", "-v", "/opt:/opt:ro", "bare:1")


class Workloads:
    def enrol(self):
        box = self.box
        self.node = box.run(["hostname"]).stdout.strip()
        box.run("cat >/etc/martlet/mesh.d/demo.yaml", text=host.RESOURCES.replace("NODE", self.node))
        said = box.run("martlet enroll backend.service --namespace demo").stdout
        self.check("a unit that a Workload names already keeps it", "demo/server names the unit already" in said, said)
        box.run(["systemctl", "enable", "-q", "--now", "backend.service"])
        self.check("workloads in namespaces of their own are enrolled", self.enrolled(), box.run(["martlet", "status"], check=False).stdout)
        self.check("the agent is ready", self.ready())
        self.traffic("installed")
        proxies = self.proxy()
        self.check("the proxy runs in proxy/", len(proxies) == 1, str(proxies))
        status = box.run(f"cat /proc/{proxies[0]}/status").stdout if proxies else ""
        self.check("the proxy has no capability", re.search(r"^CapEff:\s0+$", status, re.M) is not None)

    def names(self):
        """A name of the mesh in a namespace that wants names, and on the host itself in both ways."""
        box = self.box
        got = self.say("client", "server.demo:80")
        self.check("a workload with dns: true calls by name", got == "hello", got)
        got = self.say("intruder", "server.demo:80")
        self.check("one without has no names", "gaierror" in got, got)
        box.run(["systemctl", "unmask", "-q", "systemd-resolved.service"])
        self.doc("resolved")
        self.check("the agent is ready with --host-names", self.ready())
        asked = "resolvectl query --cache=no web.demo.svc.cluster.local"
        self.check("systemd-resolved asks the mesh", self.until(lambda: host.WEB in box.run(asked, check=False).stdout, 20),
                   box.run(f"{asked} 2>&1; resolvectl status 2>&1; true").stdout)
        self.doc("hosts")
        self.check("martlet-hosts.timer writes /etc/hosts", self.until(lambda: "server.demo" in self.read("/etc/hosts"), 30), self.read("/etc/hosts"))
        self.check("the host itself resolves names of the mesh", box.run(["getent", "hosts", "server.demo"], check=False).stdout.startswith(host.VIP))

    def starts(self, times=1):
        """What the first call of web.service got, start after start."""
        self.first("web")
        self.box.run(f"for i in $(seq {times}); do systemctl restart web.service || echo failed >>/var/lib/seen/web.first; done", check=False, timeout=600)
        return collections.Counter(self.first("web"))

    def units(self):
        """A service of the host, put into the mesh by one command: no start of it makes a call outside."""
        box = self.box
        before = self.starts()
        self.check("a unit outside of the mesh is not steered", before and not before["steered"], str(before))
        self.doc("enroll")
        self.check("its Workload is enrolled", self.has("demo/web"), box.run(["martlet", "show", "workloads"]).stdout)
        self.record()
        got = self.starts(STARTS)
        unsteered = self.unsteered(self.packets())
        self.check(f"{STARTS} restarts of a unit that calls by name at once: {self.arrived('backend')} calls at the backend, {len(unsteered)} unsteered",
                   got == {"steered": STARTS} and self.arrived("backend") == STARTS and not unsteered, f"{got} {unsteered[:8]}")
        verify = box.run(["systemd-analyze", "verify", "--man=no", "web.service"], check=False)
        self.check("systemd takes the drop-in", verify.returncode == 0 and not (verify.stdout + verify.stderr).strip(), verify.stdout + verify.stderr)
        for who, got, wanted in [
            ("client, which may", self.say("client", "web.demo:80"), True),
            ("intruder, which may not", self.say("intruder", "web.demo:80"), False),
            ("intruder at its own address", self.say("intruder", "10.77.0.1:9100"), False),
            ("a process that is no workload, on loopback", self.say_host("127.0.0.1:9100"), False),
        ]:
            self.check(f"the unit is called by {who}", got == "hello" if wanted else self.is_refused(got), got)
        again = "martlet enroll web.service --namespace demo --port http=9100"
        box.run(f"{again} --timeout 2 && mv /etc/martlet/mesh.d/enrolled-web.service.yaml /root/")
        time.sleep(1)
        got = self.starts()
        self.check("without a Workload it fails to start", got == {"failed": 1} and self.show("web.service", "ActiveState") in ("failed", "activating"), str(got))
        said = self.journal("web.service")
        self.check("its journal says why", "no Workload of node" in said, said[-500:])
        box.run(f"mv /root/enrolled-web.service.yaml /etc/martlet/mesh.d/ && {again}")
        # Once by `Restart=`, maybe, and once by hand.
        got = self.starts()
        self.check("with it, it starts", set(got) == {"steered"}, str(got))
        self.doc("unenroll")
        self.until(lambda: "demo/web" not in box.run(["martlet", "show", "workloads"]).stdout)
        got = self.starts()
        self.check("unenrolled it starts without the mesh", not got["steered"] and not got["failed"], str(got))
        box.run(f"{again} && systemctl restart web.service && systemctl enable -q web.service")
        self.first("web")

    def containers(self):
        """A container of podman with the hook, in podman's own network, both ways by name."""
        box = self.box
        self.doc("hook")
        hook = json.loads(box.run(["cat", "/usr/share/containers/oci/hooks.d/martlet.json"]).stdout)
        state = json.dumps({"ociVersion": "1.0.2", "id": "ab", "status": "creating", "pid": int(self.show("systemd-journald.service", "MainPID") or 0)})
        done = box.run([hook["hook"]["path"], *hook["hook"]["args"][1:]], check=False, text=state)
        self.check("martlet oci-hook lets a container pass that has no Workload", done.returncode == 0, done.stderr)
        self.doc("podman")
        box.run("cat >/etc/martlet/mesh.d/thief.yaml", text=host.THIEF.replace("NODE", self.node))
        box.unit(["sh", "-c", host.IMAGE], check=True)
        path, text = host.front(self.suite)
        box.run(f"mkdir -p $(dirname {path}) && cat >{path} && systemctl daemon-reload", text=text)
        self.doc("container")
        self.check("a container is enrolled by its name", self.has("demo/front"), box.run(["martlet", "show", "workloads", "-o", "yaml"]).stdout)
        got = self.first("front")
        self.check("its first call, by name, is steered", got == ["steered"], str(got) + self.journal("front.service"))
        address = box.run(["podman", "inspect", "-f", "{{.NetworkSettings.IPAddress}}", "front"]).stdout.strip()
        for who, got, wanted in [
            ("container to unit by name", self.say_front("web.demo:80"), True),
            ("unit to container by name", self.say_web("front.demo:80"), True),
            ("namespace to container by name", self.say("client", "front.demo:80"), True),
            ("intruder to container by name", self.say("intruder", "front.demo:80"), False),
            ("intruder to container's own address", self.say("intruder", f"{address}:9200"), False),
            ("no workload to container's own address", self.say_host(f"{address}:9200"), False),
        ]:
            self.check(who + ("" if wanted else ": refused"), got == "hello" if wanted else self.is_refused(got), got)
        self.stranger("web.demo", "front.demo")
        self.without_agent()
        self.record()
        got = collections.Counter()
        for _ in range(CONTAINER_STARTS):
            box.run(["systemctl", "restart", "front.service"])
            self.until(lambda: self.read("/var/lib/seen/front.first"), 20)
            got.update(self.first("front"))
        packets = self.packets()
        unsteered = self.unsteered(packets) + self.leaked(packets)
        self.check(f"{CONTAINER_STARTS} restarts of a container that calls by name at once: {self.arrived('web')} calls at the backend, {len(unsteered)} unsteered",
                   got == {"steered": CONTAINER_STARTS} and self.arrived("web") == CONTAINER_STARTS and not unsteered, f"{got} {unsteered[:8]}")
        self.check("it is enrolled again", self.until(lambda: self.say_web("front.demo:80") == "hello", 30))
        # A quadlet's unit is enabled by its file.
        box.run(["systemctl", "enable", "-q", "front.service"], check=False)

    def stranger(self, *names):
        """A container with a Workload that no policy names."""
        calls = "; ".join(f"python3 /opt/say.py {name} 80" for name in names)
        done = self.box.unit([*THIEF, "sh", "-c", calls])
        got = done.stdout.split()
        self.check("another container resolves the names, and is refused", len(got) == len(names) and all(map(self.is_refused, got)), done.stdout + done.stderr)

    def without_agent(self):
        """Shows as well that podman runs the hook at all: a container is enrolled a moment after its start without it too."""
        self.box.run(["systemctl", "stop", "martletd.service"])
        done = self.box.unit([*THIEF, "true"])
        self.check("while no agent answers no container starts, and podman says why", done.returncode != 0 and "agent.sock" in done.stderr,
                   f"status {done.returncode}: {done.stdout}{done.stderr}")
        self.box.run(["systemctl", "start", "martletd.service"])
        self.check("with the agent they start", self.ready() and self.until(lambda: self.box.unit([*THIEF, "true"]).returncode == 0, 20))

    def ask(self):
        """Every command that only asks, and what it says about this machine."""
        box = self.box
        self.doc("ready")
        # The container that came last has to be proven first, which is asked every 2 s.
        self.until(lambda: box.run("martlet status", check=False).returncode == 0, 15)
        for command, word in [
            ("martlet status", "ready"), ("martlet show workloads", "demo/front"), ("martlet show services", "demo/web"),
            ("martlet show policies", "front-callers"), ("martlet show connections", ""), ("martlet show programs", "mesh_connect4"),
            ("martlet show maps", "mesh_pods"), ("martlet get workloads", "demo/front"), ("martlet explain demo/client 240.0.0.10:80", "allow"),
            ("martlet observe --last 5", "demo/"), ("martlet wait web.service", ""), ("martlet wait --netns /run/netns/client", ""),
            ("martlet verify", "mesh_connect4"), ("martlet dryrun -f /etc/martlet/mesh.d", ""), ("martlet log-level debug", ""),
            ("martlet log-level info", ""), ("martlet hosts", "as it should be"), ("martlet bugreport --to /root/report.tar.gz", "report.tar.gz"),
        ]:
            done = box.run(command, check=False)
            self.check(command, done.returncode == 0 and word in done.stdout, f"status {done.returncode}: {done.stdout[-600:]}{done.stderr[-600:]}")
        got = box.run("martlet explain demo/intruder 240.0.0.10:80", check=False)
        self.check("explain says no with exit status 1", got.returncode == 1 and "not_allowed" in got.stdout, got.stdout + got.stderr)
        # In a cgroup of the machine: calls from others are not steered.
        done = box.unit(("martlet bench --rounds 1 --seconds 1 --client client --server server --mesh 10.77.0.3:5201 --direct-client plain-a "
                         "--direct-server plain-b --direct 10.77.0.6:5201").split())
        self.check("martlet bench compares both ways", done.returncode == 0, done.stdout + done.stderr)
