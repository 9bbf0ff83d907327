"""What chaos does to the mesh: a method for each fault, which returns when the fault is over."""
import ctypes
import json
import os
import pathlib
import platform
import shutil
import signal
import struct
import subprocess
import sys
import time

import harness
import world as worlds
from mesh import EXTRA, KERNEL, RELAY, VIP

# What a kill of the proxy may do to connections that it carries: end them, told as such.
CUT = {"reset"}
# Without a listener: refused, honestly.
GONE = {"reset", "refused"}
# Where no program looks, a service's address leads nowhere (113: EHOSTUNREACH).
NOWHERE = {"reset", "refused", "timeout", "113"}
BPF_CALL = {"x86_64": 321, "aarch64": 280}
BPF_OBJ_GET, BPF_LINK_DETACH = 7, 34


class Faults:
    def agent_kill(self):
        self.world.agent.kill()
        self.world.agent.wait()
        time.sleep(0.2)
        self.world.start_agent()

    def agent_restart(self):
        self.world._end(self.world.agent)
        self.world.start_agent()

    def proxy_kill(self):
        pid = self.serving()
        if pid is None:
            return self.violated("no proxy serves")
        begin = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        # What it carried, or had just accepted.
        self.allow(begin, begin + 2, CUT)
        how, milliseconds = self.probe(self.relay_probe)
        self.next_connections.append(milliseconds)
        if how != "ok":
            self.violated(f"the next connection after a kill of the proxy: {how} after {milliseconds} ms")

    def proxy_term(self):
        pid = self.serving()
        if pid is None:
            return self.violated("no proxy serves")
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while self.serving() in (pid, None) and time.monotonic() < deadline:
            time.sleep(0.02)

    def upgrade(self, binary=None, expected="replaced"):
        before = time.monotonic()
        found = subprocess.run(
            [self.bench.martlet("martlet"), "upgrade-proxy", "--force", "-o", "json", "--run-dir", self.world.run_directory,
             *(["--binary", binary] if binary else [])], capture_output=True, text=True, timeout=60)
        try:
            state = json.loads(found.stdout)["state"]
        except ValueError:
            state = found.stderr.strip()
        self.replaced.append((time.monotonic() - before) * 1000)
        if state != expected:
            self.violated(f"upgrade: {state}, not {expected}: {found.stdout} {found.stderr}")

    def bad_upgrade(self):
        path = self.world.directory / "bad-proxy"
        path.write_text(self.random.choice(["#!/bin/sh\nexit 3\n", "this is no program\n"]))
        path.chmod(0o755)
        self.upgrade(path, "givenUp")

    def hung_upgrade(self):
        path = self.world.directory / "hung-proxy"
        path.write_text("#!/bin/sh\nexec sleep 1000\n")
        path.chmod(0o755)
        self.upgrade(path, "givenUp")

    def control_kill(self):
        self.world.control.kill()
        self.world.control.wait()
        time.sleep(0.2)
        self.world.start_control()

    def until(self, seconds, what, condition):
        """Waits until it holds. False, and a violation, if it does not within so many seconds."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                self.violated(f"{what} within {seconds} s")
                return False
            time.sleep(0.05)
        return True

    def extra_calls(self, pod, seconds, what):
        """The extra workload is answered by the relay; before it is enrolled it calls nobody."""
        last = None

        def is_answered():
            nonlocal last
            found = subprocess.run(
                pod.command([self.tool, "probe", VIP, RELAY]), input="\n", capture_output=True, text=True, timeout=30)
            last = (found.stdout.split() + ["?", "?"])[1]
            return last == "ok"
        if not self.until(seconds, what, is_answered):
            harness.say(f"  the last call: {last}")

    def extra_pod(self):
        pod = self.world.pod("extra", EXTRA)
        self.resources(extra=True)
        self.extra_calls(pod, 10, "a new workload cannot call")
        return pod

    def pod_churn(self):
        pod = self.extra_pod()
        self.resources()
        self.world.remove_pod(pod)

    def policy(self):
        self.world.write("policy.yaml", self.policy_text(self.random.randrange(1_000_000)))

    def links(self):
        return sorted(path for path in self.world.pins.rglob("*") if path.parent.name == "links")

    def detach(self):
        links = self.links()
        if links:
            path = self.random.choice(links)
            path.unlink()
            self.until(6, f"{path.name} was not put back", path.exists)

    def upgrade_twice(self):
        command = [
            self.bench.martlet("martlet"), "upgrade-proxy", "--force", "-o", "json", "--run-dir", self.world.run_directory]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = []
        for process in both:
            try:
                out, error = process.communicate(timeout=30)
                said.append(json.loads(out)["state"] if out else error.strip())
            except (ValueError, subprocess.TimeoutExpired):
                process.kill()
                said.append("no answer")
        refused = [text for text in said if text != "replaced"]
        if len(refused) == 2 or any("being replaced" not in text for text in refused):
            self.violated(f"two upgrades in one moment: {said}")

    def disk_start(self):
        self.world.control.kill()
        self.world.control.wait()
        self.agent_kill()
        self.until(30, "not ready from the snapshot on disk", lambda: (self.status() or {}).get("ready"))
        self.world.start_control()

    def pins_gone(self):
        before = {path.relative_to(self.world.pins) for path in self.links()}
        shutil.rmtree(self.world.pins)
        self.until(10, "the pins were not put back", lambda: before <= {
            path.relative_to(self.world.pins) for path in self.links()})

    def run_gone(self):
        for path in self.world.run_directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.until(10, "nobody answers in the run directory", self.status)

    def disk_full(self):
        state = [self.world.directory / name for name in ("agent", "control")]
        for path in state:
            with open(path / "filler", "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                except OSError:
                    pass
        self.pod_churn()
        for path in state:
            (path / "filler").unlink()
        snapshot = state[0] / "snapshot"
        old = snapshot.stat().st_mtime_ns if snapshot.exists() else 0
        self.policy()
        self.until(15, "no snapshot was saved when there was room again", lambda: (
            snapshot.exists() and snapshot.stat().st_mtime_ns > old))

    def bad_file(self):
        path = self.world.resources / "mesh.yaml"
        good = path.read_text()
        bad = self.random.choice([
            good[:len(good) // 2] + "{", "\0\1\2" * 1000, "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "[" * 20_000])
        if self.random.random() < 0.5:
            path.write_text(bad)
        else:
            self.world.write("mesh.yaml", bad)
        time.sleep(1)
        if self.random.random() < 0.3:
            self.control_kill()
        self.world.write("mesh.yaml", good)

    def stopped(self, pid, seconds):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(pid, signal.SIGCONT)

    def proxy_stop(self):
        pid = self.serving()
        if pid is None:
            return self.violated("no proxy serves")
        self.stopped(pid, 2)

    def agent_stop(self):
        self.stopped(self.world.agent.pid, 2)

    def cpu_stolen(self):
        subprocess.run(["timeout", "3", sys.executable, "-c", "while True: pass"])

    def link_down(self):
        link = self.backends[0].link
        worlds.run("ip", "link", "set", link, "down")
        time.sleep(1)
        worlds.run("ip", "link", "set", link, "up")

    def netns_gone(self):
        pod = self.extra_pod()
        calls = [
            pod.start([self.tool, "kept", VIP, port, 4, 40, 60], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            for port in (KERNEL, RELAY)]
        time.sleep(0.5)
        worlds.run("ip", "netns", "del", pod.netns)
        for process in calls:
            process.kill()
            process.wait()
            self.world.processes.remove(process)
        # The kernel takes the link away with the namespace, when no socket and no descriptor holds it any more.
        link = pathlib.Path("/sys/class/net") / pod.link
        self.until(5, "something keeps a namespace that is gone", lambda: not link.exists())
        self.resources()
        self.world.remove_pod(pod)

    def netns_new(self):
        pod = self.extra_pod()
        self.world.remove_pod(pod)
        pod = self.world.pod("extra", EXTRA)
        self.extra_calls(pod, 6, "another namespace under the same path cannot call")
        self.resources()
        self.world.remove_pod(pod)

    def cgroup_new(self):
        pod = self.extra_pod()
        self.until(5, "the cgroup is not empty", lambda: not (pod.cgroup / "cgroup.procs").read_text())
        pod.cgroup.rmdir()
        pod.cgroup.mkdir()
        found = subprocess.run(
            pod.command([self.tool, "probe", VIP, RELAY]), input="\n", capture_output=True, text=True, timeout=30)
        if found.stdout.split()[1:2] != ["ok"]:
            self.violated(f"a call from a cgroup that was made anew: {found.stdout} {found.stderr}")
        self.resources()
        self.world.remove_pod(pod)

    @staticmethod
    def bpf(command, attributes):
        libc = ctypes.CDLL(None, use_errno=True)
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        result = libc.syscall(BPF_CALL[platform.machine()], command, ctypes.byref(buffer), len(attributes))
        if result < 0:
            raise harness.Failure(f"bpf: {os.strerror(ctypes.get_errno())}")
        return result

    def link_detach(self):
        path = self.random.choice(self.links())
        name = ctypes.create_string_buffer(bytes(path))
        link = self.bpf(BPF_OBJ_GET, struct.pack("=QIIQ", ctypes.addressof(name), 0, 0, 0))
        begin = time.monotonic()
        try:
            self.bpf(BPF_LINK_DETACH, struct.pack("=I4x", link))
        finally:
            os.close(link)
        harness.say(f"  {path.name}")
        # Found within 5 s, and put back; calls that began meanwhile may take as long as a SYN that is sent again.
        time.sleep(6)
        self.wait_settled()
        self.allow(begin, time.monotonic() + 4, NOWHERE, everywhere=True)
        how, milliseconds = self.probe(self.relay_probe)
        if how != "ok":
            self.violated(f"6 s after {path.name} was detached: {how} after {milliseconds} ms")

    def both_kill(self):
        pids = self.world.proxies()
        begin = time.monotonic()
        self.world.agent.kill()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.world.agent.wait()
        self.world.start_agent()
        self.wait_settled()
        self.allow(begin, time.monotonic(), GONE)

    def swap(self):
        self.world.is_other = not self.world.is_other
        self.agent_restart()
        self.until(30, "the proxy of the other build does not serve", self.is_swapped)

    def is_swapped(self):
        pid = self.serving()
        try:
            return pid and os.path.samefile(f"/proc/{pid}/exe", self.world.program("martlet-proxy"))
        except OSError:
            return False
