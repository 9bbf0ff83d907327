"""What has to hold while faults come and go, and the figures of a run."""
import json
import os
import pathlib
import time

import world as worlds
from mesh import CLIENT, EXTRA

# The next new connection after a kill of the proxy, 99 of 100.
NEXT_MILLISECONDS = 250
PROXY_DESCRIPTORS = 4096


class Judges:
    def allow(self, begin, end, words, everywhere=False):
        """Calls that are on their way in this time may end so: relayed ones, or all."""
        with self.lock:
            self.allowed.append((begin, end, words, everywhere))

    def probe(self, process):
        process.stdin.write("\n")
        process.stdin.flush()
        _, how, milliseconds = process.stdout.readline().split()
        return how, float(milliseconds)

    def facts(self):
        """What must be the same after as before."""
        proxies = self.world.proxies()
        agent = self.world.agent.pid

        def count(path):
            try:
                return len(list(pathlib.Path(path).iterdir()))
            except FileNotFoundError:  # a proxy that drained has ended meanwhile
                return 0

        maps = {entry["name"]: entry["entries"] for entry in self.world.martlet("show", "maps")}
        return {
            "proxies": len(proxies), "agent descriptors": count(f"/proc/{agent}/fd"),
            "proxy descriptors": sum(count(f"/proc/{pid}/fd") for pid in proxies), "agent threads": count(f"/proc/{agent}/task"),
            "namespaces": len([path for path in pathlib.Path(worlds.INDEX).glob(f"{self.world.name}-*")]),
            "links": len([path for path in self.world.pins.rglob("*") if path.parent.name == "links"]),
        } | {f"entries of {name}": entries for name, entries in maps.items() if "edge" not in name and "counter" not in name}

    def limits(self):
        for pid in self.world.proxies():
            try:
                number = len(os.listdir(f"/proc/{pid}/fd"))
            except OSError:
                continue
            if number > PROXY_DESCRIPTORS:
                self.violated(f"proxy {pid} holds {number} descriptors")

    def judge(self, streams, watchers, before):
        for stream in streams:
            for moment, how, milliseconds in stream.failures:
                # A call that began before a fault and failed by it counts as struck by it.
                struck = any(
                    begin <= moment + milliseconds / 1000 and moment <= end and how in words and (everywhere or "relay" in stream.name)
                    for begin, end, words, everywhere in self.allowed)
                if not struck:
                    self.violated(f"{stream.name}: {how} after {milliseconds} ms, begun at {moment - self.began:.2f} s")
            for moment in stream.answers:
                self.violated(f"{stream.name}: answered at {moment - self.began:.2f} s")
            if stream.good == 0:
                self.violated(f"{stream.name}: nothing was exchanged")
        for watcher in watchers:
            for line in watcher.end():
                if line[0] == "U":
                    self.violated(f"packet {' '.join(line[1:])}")
                elif int(line[1]) == 0 and watcher is watchers[0]:
                    self.violated("no packet was seen: the judge is blind")
        late = sorted(self.next_connections)
        if late and late[min(len(late) - 1, len(late) * 99 // 100)] > NEXT_MILLISECONDS:
            self.violated(f"new connections after a kill of the proxy: {late[-1]} ms at the 99th percentile")
        self.leaks(before)
        for record in self.records:
            for line in record.end():
                if line[1] not in (CLIENT, EXTRA):
                    self.violated(f"{line[2]} connections of {line[1]} reached a backend")

    def leaks(self, before):
        """Nobody calls any more: proxies that drain end, descriptors go back."""
        deadline = time.monotonic() + 15
        # Entries that sockops makes and removes: those of calls that ended while it was detached stay until the map, which
        # forgets the least recently used, needs their room.
        kept = [f"entries of mesh_{name}" for name in ("flows", "pending")] if "link-detach" in self.faults else []
        while True:
            after = {name: number for name, number in self.facts().items() if not any(name.startswith(start) for start in kept)}
            # Stocks follow demand: 256 sockets of each family and workload, and what dials them.
            grown = {
                name: (before.get(name, 0), after[name]) for name in after
                if after[name] > before.get(name, 0) + {"agent descriptors": 16, "proxy descriptors": 600, "agent threads": 8}.get(name, 0)}
            if not grown or time.monotonic() > deadline:
                break
            time.sleep(0.25)
        for name, (old, new) in grown.items():
            self.violated(f"{name}: {old} before, {new} after")

    def report(self, streams):
        late = sorted(self.next_connections)
        figures = {
            "seed": self.arguments.seed, "seconds": round(self.load_seconds, 1),
            "faults": {name: self.faults.count(name) for name in self.order if name in self.faults},
            "streams": {
                stream.name: {
                    "ok": stream.good, "failed": stream.bad, "opened": stream.opened, "p50 ms": stream.percentile(0.5),
                    "p99 ms": stream.percentile(0.99)} for stream in streams},
            "exchanges": sum(stream.good for stream in streams if stream.kind != "deny"),
            "exchanges per second": round(sum(stream.good for stream in streams if stream.kind != "deny") / self.load_seconds),
            "connections per second": round(sum(stream.opened for stream in streams if stream.kind == "new") / self.load_seconds),
            "next connection ms": {"p50": late[len(late) // 2], "p99": late[min(len(late) - 1, len(late) * 99 // 100)], "worst": late[-1]} if late else {},
            "replacement ms": {"median": round(sorted(self.replaced)[len(self.replaced) // 2]), "worst": round(max(self.replaced))} if self.replaced else {},
            "violations": self.violations,
        }
        print(json.dumps(figures, indent=None if self.arguments.json else 2), flush=True)
        if self.violations and self.arguments.log:
            lines = sorted(entry for process in self.world.processes if hasattr(process, "log") for entry in process.log.lines)
            self.arguments.log.write_text("".join(f"{moment - self.began:9.3f} {line}\n" for moment, line in lines))
        return 1 if self.violations else 0
