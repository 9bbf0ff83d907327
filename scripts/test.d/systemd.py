#!/usr/bin/env python3
"""The Debian package on real systemd: installed in a booted container, workloads in namespaces, units and containers of podman
enrolled, traffic by name through policy, restarts under load, up- and downgrades, a hang, a reboot, removal. Commands are those of
the documentation, taken from its blocks.

usage: systemd.py PACKAGE OLDER_PACKAGE [--parts PART,...] [SUITE...] (default: all parts, bookworm trixie)

A part builds on those before it: the others need at least install and enrol, most units and containers as well.
"""
import argparse
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import booting
import documents
import installing
import machine
import nspawn
import running
import workloads

PARTS = (
    "install", "enrol", "names", "units", "containers", "ask", "restart", "hang", "both_killed", "upgrade", "layouts", "purged", "reboot",
    "removal", "tree")


class Run(machine.Machine, installing.Installing, workloads.Workloads, running.Running, booting.Booting):
    def run(self, parts):
        self.box.start()
        for part in parts:
            print(f"  -- {part}", flush=True)
            getattr(self, part)()


def chaos():
    """The commands of operations.md on this machine, each cut short: the long runs are by hand."""
    failures = []
    for line in documents.blocks()["chaos"].splitlines():
        command = [*line.split(), "--minutes", "0.15", "--count", "3", "--exchanges", "0", "--rate", "400", "--connections", "100"]
        done = subprocess.run(command, cwd=nspawn.ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
        print(f"  {'ok  ' if done.returncode == 0 else 'FAIL'} {' '.join(command)}", flush=True)
        if done.returncode != 0:
            print(done.stdout[-3000:] + done.stderr[-3000:])
            failures.append(line)
    return failures


def main():
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=pathlib.Path)
    parser.add_argument("older", type=pathlib.Path)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=[])
    parser.add_argument("suites", nargs="*")
    arguments = parser.parse_intermixed_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"--parts: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    package, older = arguments.package.resolve(), arguments.older.resolve()
    suites = arguments.suites or ["bookworm", "trixie"]
    failures = documents.problems()
    for problem in failures:
        print(f"error: {problem}")
    for suite in suites:
        print(f"==> {suite}", flush=True)
        run = Run(suite, package, older)
        try:
            run.run([part for part in PARTS if part in arguments.parts] or PARTS)
        except Exception as error:  # the machine has to go whatever happened
            run.check("the run goes to its end", False, f"{type(error).__name__}: {error}")
        finally:
            failures += run.failures
            if not os.environ.get("MARTLET_KEEP"):
                run.box.remove()
    if not arguments.suites and not arguments.parts:
        print("==> chaos", flush=True)
        failures += chaos()
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"systemd: {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
