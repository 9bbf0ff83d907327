"""The machine boots, and workloads are there before the agent: what they call is steered or refused from the first packet on."""
import re

LATE = "[Service]\\nExecStartPre=/bin/sleep 6\\n"


class Booting:
    def reboot(self):
        """Judges: the packets on every interface of the host, begun to be recorded before everything else, and what the backends got."""
        box = self.box
        for unit in ("web", "front"):
            self.first(unit)
        box.run("rm -f /var/lib/seen/backend /var/lib/seen/web /var/lib/seen/front; systemctl enable -q early.service record.service; "
                f"mkdir -p /etc/systemd/system/martletd.service.d && printf '{LATE}' >/etc/systemd/system/martletd.service.d/late.conf")
        state = box.reboot()
        self.check("it is up again", state in ("running", "degraded"), state)
        for unit in ("martletd.service", "martlet-control.service"):
            self.check(f"{unit} is active after the reboot", self.until(lambda: self.show(unit, "ActiveState") == "active"))
        agent = int(self.show("martletd.service", "ActiveEnterTimestampMonotonic"))
        early = int(self.show("early.service", "ExecMainStartTimestampMonotonic"))
        self.check(f"the intruder started {(agent - early) / 1e6:.1f} s before the agent was there", early < agent - 2_000_000)
        tried = int(self.show("front.service", "InactiveExitTimestampMonotonic") or 0)
        restarts = int(self.show("front.service", "NRestarts") or 0)
        self.check("the container was to start before the agent was there", restarts > 0 or tried < agent, f"{restarts} {tried} {agent}")
        self.check("workloads are enrolled again", self.enrolled())
        for unit in ("web", "front"):
            self.check(f"{unit}.service started by itself", self.until(lambda: self.show(f"{unit}.service", "ActiveState") == "active"), self.journal(unit))
            self.until(lambda: self.read(f"/var/lib/seen/{unit}.first"))
            got = self.first(unit)
            # Refused: whom it calls by then is not up yet. Its question for the name waits until somebody answers.
            held = len(got) == 1 and got[0] in ("steered", "ConnectionRefusedError")
            self.check(f"the first call of {unit}.service was steered or refused ({' '.join(got)})", held, self.journal(unit))
        self.check("unit and container call each other by name", self.until(lambda: self.say_front("web.demo:80") == "hello", 10)
                   and self.until(lambda: self.say_web("front.demo:80") == "hello", 10))
        self.until(lambda: "got" in self.journal("early.service"), 60)
        said = self.journal("early.service")
        got = {word: int(count) for word, count in re.findall(r"^got (\S+) (\d+)$", said, re.M)}
        tries = sum(got.values())
        self.check(f"an intruder that starts first gets nothing that policy denies, in {tries} tries", tries > 100 and not got.get("answered"), said)
        self.judge()
        box.run("systemctl disable -q --now record.service early.service; rm -r /etc/systemd/system/martletd.service.d; systemctl daemon-reload")
        self.traffic("after the reboot")

    def judge(self):
        arrived = self.read("/var/lib/seen/backend") + self.read("/var/lib/seen/web") + self.read("/var/lib/seen/front")
        self.check(f"the backends' record has {arrived.count(chr(10))} callers, and nothing of the intruder", "hello" in arrived and "stolen" not in arrived, arrived[-600:])
        packets = self.packets()
        unsteered = self.unsteered(packets)
        # The intruder's own, before the agent was there: nobody is at a service's address, and nobody answered.
        calls = {source for source, *_ in unsteered} - {"10.77.0.4"}
        asked = self.leaked(packets)
        self.check("no question of the container for a name of the mesh left its namespace", not asked, str(asked[:8]))
        self.check(f"{len(packets)} connections on the wire, none of a workload that waits for the mesh to a service's address", packets and not calls, str(unsteered[:8]))
