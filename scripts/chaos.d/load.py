"""Processes of chaos that say lines: the load, and judges that watch."""
import subprocess
import threading
import time

import harness


class Stream:
    """A part of the load: its process, its failures with their times, its figures at the end."""

    def __init__(self, pod, tool, name, kind, port, threads, rate, *more, address):
        self.name, self.kind, self.port = name, kind, port
        self.failures, self.answers, self.latencies = [], [], []
        self.good = self.bad = self.opened = 0
        self.process = pod.start(
            [tool, kind, address, port, threads, rate, *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            word, *rest = line.split()
            if word == "F":
                self.failures.append((float(rest[0]), rest[1], float(rest[2])))
            elif word == "A":
                self.answers.append(float(rest[0]))
            elif word == "E":
                self.good, self.bad, self.opened = map(int, rest)
            elif word == "L":
                self.latencies.append((float(rest[0]), int(rest[1])))
            else:
                self.failures.append((time.monotonic(), line.strip(), 0))

    def end(self):
        self.process.stdin.close()
        self.thread.join(40)

    def percentile(self, part):
        total, seen = sum(count for _, count in self.latencies), 0
        for bound, count in self.latencies:
            seen += count
            if seen >= total * part:
                return bound
        return 0.0


class Listener:
    """A judge that says lines: a backend's record, packets."""

    def __init__(self, start):
        self.lines = []
        self.process = start
        first = self.process.stdout.readline()
        if first.strip() != "ready":
            raise harness.Failure(f"no judge: {first.strip()}")
        self.thread = threading.Thread(target=lambda: self.lines.extend(line.split() for line in self.process.stdout), daemon=True)
        self.thread.start()

    def end(self):
        self.process.stdin.close()
        self.thread.join(10)
        return self.lines
