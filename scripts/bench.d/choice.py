"""choice: nanoseconds of one choice of an endpoint among 10, 100 and 1,000, by each balancer, and of what is counted of the attempt that
follows (`detail`). A program of its own that calls the proxy's code in a loop; nobody to compare with."""
import json
import os
import subprocess

import harness


def rows(bench):
    sizes, balancers = (10, 100, 1000), ("random", "round robin", "least request", "ring hash", "maglev")
    names = [f"choice {balancer} {size}" for size in sizes for balancer in balancers]
    if not any(bench.wants(name) for name in names):
        return
    harness.say("choice: building")
    build = ["swift", "build", "-c", "release", "--static-swift-stdlib", "--scratch-path", ".build-static"]
    environment = os.environ | {"MARTLET_BENCH": "build"}
    made = subprocess.run([*build, "--product", "ChoiceBench"], cwd=bench.root, env=environment, capture_output=True, text=True)
    if made.returncode != 0:
        raise harness.Failure(f"ChoiceBench: {(made.stdout + made.stderr)[-800:]}")
    place = subprocess.run([*build, "--show-bin-path"], cwd=bench.root, env=environment, capture_output=True, text=True, check=True)
    program = f"{place.stdout.strip()}/ChoiceBench"
    times, attempts = {}, {}
    for number in range(bench.rounds):
        text = subprocess.run([program, "100000" if bench.quick else "2000000"], capture_output=True, text=True, check=True).stdout
        for line in map(json.loads, text.splitlines()):
            name = f"choice {line['balancer']} {line['endpoints']}"
            times.setdefault(name, []).append(line["ns"])
            attempts.setdefault(name, []).append(line["attempt_ns"])
        harness.say(f"  round {number + 1} of {bench.rounds}")
    for name in names:
        if bench.wants(name):
            attempt = sorted(attempts[name])[len(attempts[name]) // 2]
            yield harness.Row(name, "ns", True, {"martlet": times[name]}, bench.rounds, detail={"attempt ns": round(attempt, 1)})
