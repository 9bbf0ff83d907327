"""Installing, and that nothing stays when it is removed: by the package, and from the built tree."""
import re

import host


class Installing:
    def install(self):
        box = self.box
        self.check("the machine boots", box.wait_until_running() in ("running", "degraded"))
        self.failed_before = self.failed_units()
        # The load speaks bytes of its own to the relayed port.
        box.run("d=/etc/systemd/system/martletd.service.d; mkdir -p $d && { echo '[Service]'; echo ExecStart=; "
                "sed -n 's/^ExecStart=.*/& --no-http/p' /src/scripts/systemd/martletd.service; } >$d/bytes.conf")
        self.before = self.inventory()
        box.run(["systemctl", "enable", "-q", "--now", "pods.service"])
        self.doc("package")
        self.services()
        self.doc("look")
        self.check("no unit failed", self.failed_units() == self.failed_before, self.failed_units())
        verify = box.run(["systemd-analyze", "verify", "--man=no", "martletd.service", "martlet-control.service", "martlet-workloads.target", "martlet-hosts.service", "martlet-hosts.timer"], check=False)
        self.check("systemd-analyze verify is silent", verify.returncode == 0 and not (verify.stdout + verify.stderr).strip(), verify.stdout + verify.stderr)
        for unit in ("martletd.service", "martlet-control.service"):
            score = box.run(f"systemd-analyze security --no-pager {unit} | tail -n 1").stdout.strip()
            print(f"           {score}", flush=True)
        owner = box.run(["ps", "-o", "user:20=", "-p", self.show("martlet-control.service", "MainPID")]).stdout.strip()
        self.check("the control plane has an account of its own", owner == "martlet-control", owner)

    def services(self):
        for unit in ("martletd.service", "martlet-control.service"):
            self.check(f"{unit} is active", self.show(unit, "ActiveState") == "active", self.journal(unit))
            self.check(f"{unit} is enabled", self.show(unit, "UnitFileState") == "enabled")

    def removal(self):
        box = self.box
        objects = self.kernel_objects()
        self.check(f"{len(objects)} programs, maps and links are pinned", {kind for kind, _ in objects} == {"link", "map", "prog"}, str(objects)[:300])
        self.doc("remove")
        left = box.run("ls -d /etc/systemd/system/*.d/50-martlet.conf /usr/share/containers/oci /etc/systemd/resolved.conf.d/martlet.conf 2>/dev/null; true").stdout
        self.check("nothing waits for the mesh any more, nor asks it", not left, left)
        self.check("/etc/hosts has no names of the mesh", "martlet" not in self.read("/etc/hosts"), self.read("/etc/hosts"))
        self.check("removed, the settings stay", box.run("test -e /etc/martlet/mesh.d/demo.yaml", check=False).returncode == 0)
        self.gone(objects)
        box.run(["systemctl", "restart", "web.service", "front.service", "backend.service"])
        got = self.say("intruder", "10.77.0.3:9000")
        self.check("workloads run on without the mesh", got == "hello", got)
        self.doc("package")
        self.check("installed again, it works with the settings that stayed", self.ready())
        objects = self.kernel_objects()
        box.run("systemctl disable -q --now backend.service web.service; systemctl disable -q front.service; systemctl stop front.service; "
                f"rm -f {host.front(self.suite)[0]}; systemctl daemon-reload; podman rm -fa; podman network prune -f; ip link del podman0 2>/dev/null; true")
        self.doc("purge")
        self.gone(objects)
        self.nothing_left("purged")
        self.check("no unit failed", self.failed_units() == self.failed_before, self.failed_units())

    def gone(self, objects):
        box = self.box
        self.check("no pin of ours is left", box.run("test ! -e /sys/fs/bpf/martlet", check=False).returncode == 0, box.run("ls -R /sys/fs/bpf").stdout)
        self.until(lambda: not self.still_there(objects), 20)
        left = self.still_there(objects)
        self.check("its programs, maps and links are gone from the kernel", not left, " ".join(left))
        attached = box.run("bpftool cgroup tree /sys/fs/cgroup; for n in $(ip netns list | cut -d' ' -f1); do ip netns exec $n bpftool net show; done; true").stdout
        self.check("nothing of ours is attached to cgroups or interfaces", "mesh_" not in attached, attached)

    def nothing_left(self, when):
        """But what the machine's own packages wrote meanwhile, and the test's workloads."""
        box = self.box
        box.run("systemctl disable -q --now pods.service; for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done; ip link del br0 2>/dev/null; "
                "systemctl mask -q --now systemd-resolved.service; true")
        noise = re.compile(r"\.pyc$|__pycache__|^/etc/containers/systemd$|/sockets\.target\.wants/podman\.socket$|/(passwd|group|shadow|gshadow|subuid|subgid)-$|\.pwd\.lock$|^/etc/(cni|containers/networks)(/|$)|^/var/lib/cni")
        left = sorted(line for line in self.inventory() - self.before if not noise.search(line))
        self.check(f"{when}: nothing is left", not left, " ".join(left[:20]))

    def tree(self):
        """The same without the package, from the built tree."""
        box = self.box
        self.doc("tree", directory="/src")
        self.services()
        self.check("installed from the tree, the agent is ready", self.ready())
        objects = self.kernel_objects()
        again = self.doc("tree", directory="/src").stdout
        self.check("installed once more, settings are kept", "mesh.yaml (kept)" in again and self.ready(), again)
        self.doc("uninstall")
        self.gone(objects)
        self.nothing_left("uninstalled")
        self.check("no unit failed", self.failed_units() == self.failed_before, self.failed_units())
