"""What happens to a host while it runs: restarts, a hang, kills, upgrades and downgrades, state of another version."""
import time

import host

# Writes another layout's number into the file's header: the second word of four bytes after eight of magic.
NEWER = "p='/var/lib/martlet/snapshot'; b=bytearray(open(p,'rb').read()); b[8:12]=(99).to_bytes(4,'big'); open(p,'wb').write(b)"


class Running:
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
        self.load(8)
        self.doc("upgrade-proxy")
        self.loaded("martlet upgrade-proxy under load")
        self.traffic("after restarts")

    def hang(self):
        """A stopped agent says nothing: systemd ends and starts it, here before a call that waits for a socket of the agent's gives up (10 s)."""
        box = self.box
        box.run("mkdir -p /run/systemd/system/martletd.service.d && printf '[Service]\\nWatchdogSec=6s\\nTimeoutAbortSec=1s\\n' "
                ">/run/systemd/system/martletd.service.d/test.conf && systemctl daemon-reload && systemctl restart martletd.service")
        before = self.show("martletd.service", "MainPID")
        time.sleep(20)
        self.check("a healthy agent is left alone by the watchdog", self.show("martletd.service", "MainPID") == before, self.journal("martletd", 20))
        self.load(16)
        box.run(["systemctl", "kill", "--kill-whom=main", "-s", "STOP", "martletd.service"])
        again = self.until(lambda: self.show("martletd.service", "MainPID") not in (before, "0") and self.show("martletd.service", "ActiveState") == "active", 40)
        self.check("an agent that hangs is started anew", again, self.journal("martletd", 20))
        self.loaded("a hang of the agent under load")
        box.run("rm -r /run/systemd/system/martletd.service.d && systemctl daemon-reload && systemctl restart martletd.service")

    def both_killed(self):
        """Agent and proxy at once: listeners live on in systemd's descriptor store, connections wait in them."""
        box = self.box
        self.ready()
        stored = self.show("martletd.service", "NFileDescriptorStore")
        self.check("systemd holds the listeners of the workloads", int(stored or 0) >= 6, stored)
        sockets = "cat /proc/1/net/tcp >/dev/null; ip netns exec client ss -Hlnte 'sport = :15001' | grep -o 'ino:[0-9]*' | sort"
        before = box.run(sockets, check=False).stdout.split()
        self.load(10, targets=(host.KERNEL,))
        box.run("systemctl kill --kill-whom=all -s KILL martletd.service; kill -9 $(cat /sys/fs/cgroup/system.slice/martletd.service/proxy/cgroup.procs) 2>/dev/null; true")
        queued = self.say("client", host.RELAY)
        self.check("a connection made while both were dead is answered", queued == "hello", queued)
        self.loaded("kill -9 of agent and proxy: kernel tier")
        after = box.run(sockets, check=False).stdout.split()
        self.check("the listeners are the same sockets", before == after and bool(before), f"{before} {after}")
        self.traffic("after kill -9 of both")

    def upgrade(self):
        """Older, then newer again, ten times: 20 replacements of everything under load. A part of them at a time, because a connection
        that stays on a replaced proxy for longer than its drain timeout (5 min) is ended."""
        version = lambda: self.box.run(["dpkg-query", "-W", "-f", "${Version}", "martlet"]).stdout
        new = version()
        for part in range(1, 6):
            self.load(10)
            for _ in range(2):
                proxy = self.proxy()
                self.doc("downgrade")
                if version() == new:
                    self.check("it is the older version", False, version())
                self.doc("upgrade")
            self.loaded(f"4 replacements of the package, down and up, under load ({part} of 5)")
        self.check("it is the newer version again", version() == new, version())
        self.check("a new proxy serves, and the old ones ended with their last connection",
                   self.until(lambda: len(self.proxy()) == 1 and self.proxy() != proxy, 60), f"{proxy} {self.proxy()}")
        self.check("the agent is active", self.show("martletd.service", "ActiveState") == "active")
        self.check("the agent is ready after the upgrades", self.ready())
        self.traffic("after the upgrades")

    def layouts(self):
        """State of a version that is not this one's: refused with the reason, while what is enforced goes on."""
        box = self.box
        box.run(["systemctl", "stop", "martletd.service", "martlet-control.service"])
        box.run(["python3", "-c", NEWER])
        box.run(["systemctl", "start", "--no-block", "martletd.service"])
        said = lambda: box.run(["martlet", "status"], check=False).stdout
        self.check("a snapshot of a newer layout is left, and status says why", self.until(lambda: "has layout 99, this version reads 1" in said(), 30), said())
        got = self.say("client", host.KERNEL)
        self.check("without a snapshot the pinned rows admit who may", got == "hello", got)
        got = [self.say("intruder", target) for target in (host.KERNEL, host.RELAY, "10.77.0.3:9000")]
        self.check("and nobody else", "hello" not in got, str(got))
        box.run(["systemctl", "start", "martlet-control.service"])
        self.check("the control plane's snapshot takes its place", self.ready() and self.until(lambda: "has layout" not in said(), 30), said())
        # What is relayed while no agent is there takes sockets that it gave before.
        self.traffic("with the control plane's snapshot")
        box.run("systemctl stop martletd.service && mkdir /sys/fs/bpf/martlet/v99 && systemctl start --no-block martletd.service")
        self.check("pins of another layout keep the agent from starting, and it says why",
                   self.until(lambda: "pins of another layout (v99)" in self.journal("martletd"), 30), self.journal("martletd"))
        self.traffic("while the agent does not start")
        box.run(["rmdir", "/sys/fs/bpf/martlet/v99"])
        self.check("without them it starts", self.ready(), self.journal("martletd"))
        self.traffic("after both")

    def purged(self):
        """The mesh taken off a host by hand, and put back."""
        self.doc("purge-by-hand")
        got = self.say("intruder", "10.77.0.3:9000")
        self.check("after martlet purge nothing is governed", got == "hello", got)
        for command in ("martlet attach", "martlet detach"):
            done = self.box.run(command, check=False)
            self.check(f"{command} by hand", done.returncode == 0, done.stdout + done.stderr)
        self.box.run(["systemctl", "start", "martletd.service"])
        self.check("started again, the mesh is there", self.enrolled() and self.ready())
        self.traffic("after a purge")
