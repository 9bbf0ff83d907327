"""A mesh for the cases: pods in namespaces and cgroups of their own, each with its echo server and a caller, and the resources of
one test after the other in a running control plane."""
import http.client
import json
import pathlib
import re
import select
import socket
import subprocess
import sys
import time

import harness
import manifests
import world as worlds

HERE = pathlib.Path(__file__).resolve().parent
PREFIX = "martlet-conformance-"
# How long the mesh may take until what was written is in force; far above what it takes.
IN_FORCE = 30.0
ECHOED = re.compile(r"Echoing back request made to (.*) to client")


class Local(http.client.HTTPConnection):
    """A question over a Unix socket: agent.sock, api.sock. The command line asks the same, and costs a process each time."""

    def __init__(self, path):
        super().__init__("martlet", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask(path, target):
    connection = Local(path)
    try:
        connection.request("GET", target)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise harness.Failure(f"{path}: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise harness.Failure(f"{path}{target}: status {answer.status}: {body[:200]!r}")
    return json.loads(body)


class Caller:
    """caller.py inside of a pod."""

    def __init__(self, place, python):
        self.process = place.start(
            [python, HERE / "caller.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr)

    def send(self, requests, parallel=1, timeout=10.0):
        self.process.stdin.write(json.dumps({"requests": requests, "parallel": parallel, "timeout": timeout}) + "\n")
        self.process.stdin.flush()
        limit = timeout * (len(requests) / parallel + 1) + 5
        if not select.select([self.process.stdout], [], [], limit)[0]:
            raise harness.Failure(f"the caller did not come back within {limit:g} s")
        line = self.process.stdout.readline()
        if not line:
            raise harness.Failure("the caller ended")
        return json.loads(line)["answers"]


class Pod:
    """A pod of the data: where it is, and what its echo server logged."""

    def __init__(self, entry, place, echo_log):
        self.name, self.namespace, self.labels = entry["name"], entry["namespace"], entry["labels"]
        self.place, self.address, self.log, self.caller = place, place.address, echo_log, None

    def send(self, python, *arguments, **options):
        if self.caller is None:
            self.caller = Caller(self.place, python)
        return self.caller.send(*arguments, **options)

    def mark(self):
        return self.log.mark() if self.log else 0

    def echoed(self, paths, start):
        """How many requests to one of the paths it logged."""
        if self.log is None:
            return 0
        with self.log.changed:
            found = [ECHOED.search(line) for _, line in self.log.lines[start:]]
        return sum(one is not None and one[1] in paths for one in found)


class Mesh:
    def __init__(self, bench, echo):
        self.bench, self.echo = bench, echo
        # Debian's, with Debian's python3-h2 (scripts/bootstrap): the first one of PATH may be another one.
        self.python = "/usr/bin/python3"
        self.world = worlds.World(bench, PREFIX)
        # By what a pod is: those of the next test that are the same stay.
        self.stock, self.pods, self.marks = {}, [], 0

    def close(self):
        self.world.close()

    def start(self):
        self.apply([])
        self.world.start_control().log.wait(r"\bready\b", timeout=60)
        self.world.start_agent()
        self.world.wait_ready()
        self._wait_in_force()

    # ---- resources

    def apply(self, resources):
        """The directory holds these and no others. The marker is the last that is written."""
        self.marks += 1
        texts = {manifests.file_name(one): manifests.text(one) for one in resources}
        if len(texts) != len(resources):
            raise harness.Failure("a resource occurs twice")
        for path in self.world.resources.iterdir():
            if path.name not in texts and path.name != "mark.yaml":
                path.unlink()
        for name, text in texts.items():
            path = self.world.resources / name
            if not path.exists() or path.read_text() != text:
                self.world.write(name, text)
        self.world.write("mark.yaml", manifests.text(manifests.marker(self.marks)))

    def switch(self, resources):
        self.apply(resources)
        self._wait_in_force()

    def _wait_in_force(self):
        wanted = f"martlet-conformance/mark-{self.marks}"
        self._until("what was written is not in force", lambda: any(
            service["name"] == wanted for service in self.agent("services")))
        self._until("the proxy does not follow", self._proxy_follows)
        self._until("a workload is not ready", lambda: all(
            one["ready"] == "yes" for one in ask(self.world.directory / "api.sock", "/v1/workloads")))

    def _proxy_follows(self):
        status = self.agent("status")
        return status["proxy"]["state"] == "unused" or status["proxy"]["appliedRevision"] >= status["revision"]

    def agent(self, subject):
        return ask(self.world.run_directory / "agent.sock", f"/v1/{subject}")

    def control(self, *arguments):
        """What the command line prints of the control plane."""
        return json.loads(worlds.run(
            self.bench.martlet("martlet"), *arguments, "--api-socket", self.world.directory / "api.sock", "-o", "json"))

    def _until(self, what, condition):
        deadline = time.monotonic() + IN_FORCE
        while True:
            for name, process in (("control plane", self.world.control), ("agent", self.world.agent)):
                if process.poll() is not None:
                    raise harness.Failure(f"the {name} ended:\n  {process.log.tail()}")
            try:
                if condition():
                    return
                problem = ""
            except harness.Failure as failure:
                problem = f": {failure}"
            if time.monotonic() > deadline:
                raise harness.Failure(f"{what} within {IN_FORCE:g} s{problem}\n  {self.world.agent.log.tail()}")
            time.sleep(0.05)

    def findings(self, resources):
        """Errors of objects that would not be in force, as texts, by the objects' names."""
        directory = self.world.directory / "dryrun"
        directory.mkdir(exist_ok=True)
        for path in directory.iterdir():
            path.unlink()
        names = {}
        for one in resources:
            name = manifests.file_name(one)
            (directory / name).write_text(manifests.text(one))
            names[str(directory / name)] = names[name] = one
        command = [self.bench.martlet("martlet"), "dryrun", "-f", directory, "-o", "json"]
        report = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
        counts = {count["kind"]: count for count in report["counts"]}
        found = {}
        for finding in report["findings"]:
            resource = names.get(finding["file"]) or names.get(pathlib.Path(finding["file"]).name)
            # A reference that leads nowhere is an error as well, of a part: the object is in force without it.
            if finding["severity"] != "error" or resource is None:
                continue
            if counts.get(resource["kind"], {"refused": 1})["refused"] == 0:
                continue
            path = f"{finding['path']}: " if finding["path"] else ""
            found.setdefault(manifests.named(resource), []).append(f"{path}{finding['message']}")
        return found

    # ---- pods

    def place(self, entries):
        """The pods of a test. Returns their Workloads' part of the world: name and namespace to path."""
        self.pods = []
        for entry in entries:
            identity = json.dumps([entry["namespace"], entry["name"], entry["servers"]])
            if identity not in self.stock:
                self.stock[identity] = self._pod(entry, len(self.stock) + 1)
            pod = self.stock[identity]
            pod.labels = entry["labels"]
            self.pods.append(pod)

    def _pod(self, entry, number):
        place = self.world.pod(f"pod-{number}", f"10.77.{number // 250}.{number % 250 + 2}")
        log = None
        if entry["servers"]:
            file = self.world.directory / f"pod-{number}.json"
            file.write_text(json.dumps([{**entry, "address": place.address}]))
            server = place.start(
                [self.python, "-u", self.echo.__file__, "--pods", file], stdout=subprocess.PIPE, stderr=sys.stderr)
            log = worlds.Log(server.stdout)
            log.wait(r"^ready$", timeout=30)
        return Pod(entry, place, log)

    def pod(self, reference):
        for pod in self.pods:
            if pod.namespace == reference["namespace"] and manifests.fits(pod.labels, reference.get("labels") or {}):
                return pod
        raise harness.Failure(f"no pod is {json.dumps(reference)}")

    def backends(self, reference):
        """The pods that a mirror names."""
        name = reference["backend"]
        namespace = reference.get("namespace")
        return [
            pod for pod in self.pods if pod.name.startswith(name) and (namespace is None or pod.namespace == namespace)]

    def address(self, to):
        if "pod" in to:
            return self.pod(to["pod"]).address
        name = f"{to['service']['namespace']}/{to['service']['name']}"
        for service in self.agent("services"):
            if service["name"] == name:
                if not service["addresses"]:
                    raise harness.Failure(f"Service {name} has no address")
                return sorted(service["addresses"], key=lambda address: ":" in address)[0]
        raise harness.Failure(f"there is no Service {name}")
