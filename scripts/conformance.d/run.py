"""One test: its resources, its cases in order, its conditions. Upstream polls a case every 100 ms until it held three times in a
row, for at most 30 s; here the resources are in force before the first case, so the patience is shorter."""
import itertools
import time
from urllib.parse import urlsplit

import conditions
import expectations
import harness
import manifests

STREAK, PAUSE = 3, 0.1
REQUEST_TIMEOUT = 10.0
# Requests of a distribution at once, as upstream.
PARALLEL = 10
MIRROR_PATIENCE = 3.0
CASE = {"name", "from", "to", "request", "before", "repeat", "assumes", "expect", "beyond_upstream"}
REQUEST = {"protocol", "method", "host", "path", "headers", "unique_query", "messages"}


class Outcome:
    """A line of the table."""

    def __init__(self, test):
        self.test, self.seconds, self.cases = test["test"], 0.0, 0
        self.features = [feature["name"] for feature in test["features"]]
        self.provisional = test.get("provisional", False)
        self.failures, self.left_out = [], []

    @property
    def passed(self):
        return not self.failures

    @property
    def feature(self):
        """What it is about: without what every test needs."""
        return ", ".join([name for name in self.features if name != "Mesh"] or self.features)

    @property
    def reason(self):
        if self.passed:
            return f"left out: {', '.join(self.left_out)}" if self.left_out else ""
        more = len(self.failures) - 1
        return self.failures[0] + (f" (and {more} more)" if more else "")

    def object(self):
        return {
            "test": self.test, "features": self.features, "passed": self.passed, "cases": self.cases,
            "failures": self.failures, "left_out": self.left_out, "seconds": round(self.seconds, 1)}


class Run:
    def __init__(self, mesh, patience, assumes):
        self.mesh, self.patience, self.assumes = mesh, patience, assumes
        self.unique = itertools.count(1)

    def test(self, test):
        outcome, start = Outcome(test), time.monotonic()
        try:
            self._test(test, outcome)
        except harness.Failure as failure:
            outcome.failures.append(str(failure))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # Data of another shape than this runner knows: no other test is kept from running by it.
            outcome.failures.append(f"the runner cannot read this test: {error!r}")
        finally:
            outcome.seconds = time.monotonic() - start
        return outcome

    def _test(self, test, outcome):
        mesh = self.mesh
        # Nothing of the test before holds: not even the last good version of an object of the same name.
        mesh.switch([])
        mesh.place(test["pods"])
        outcome.left_out = [f"kind {kind}" for kind in manifests.left_out(test["manifests"])]
        resources = [one for one in test["manifests"] if manifests.is_applied(one)]
        resources += [
            manifests.workload(test["manifests"], entry, "bench", pod.place.path)
            for entry, pod in zip(test["pods"], mesh.pods)]
        refused = mesh.findings(resources)
        for name in conditions.refused_as_expected(test["conditions"]):
            refused.pop(name, None)
        if refused:
            # Its cases would say nothing about it, even those that hold without it.
            outcome.failures = [f"refused: {name}: {texts[0]}" for name, texts in refused.items()]
            return
        mesh.switch(resources)
        for case in test["cases"]:
            if set(expectations.several(case.get("assumes") or [])) - self.assumes:
                outcome.left_out.append(case["name"])
                continue
            if case.get("before"):
                resources = self._without(resources, case["before"])
                mesh.switch(resources)
            outcome.cases += 1
            try:
                problem = self._case(case)
            except harness.Failure as failure:
                problem = str(failure)
            if problem:
                outcome.failures.append(f"{case['name']}: {problem}")
        for condition in test["conditions"]:
            if set(expectations.several(condition.get("assumes") or [])) - self.assumes:
                outcome.left_out.append(f"condition {condition['type']}")
                continue
            outcome.cases += 1
            problem = self._poll(lambda: conditions.problem(mesh, condition), streak=1)
            if problem:
                outcome.failures.append(problem)

    @staticmethod
    def _without(resources, deleted):
        for reference in expectations.several(deleted):
            kept = [one for one in resources if manifests.key(one) != manifests.key(reference)]
            if len(kept) == len(resources):
                raise harness.Failure(f"nothing to delete: {manifests.named(reference)}")
            resources = kept
        return resources

    # ---- a case

    def _case(self, case):
        unknown = sorted((set(case) - CASE) | (set(case["request"]) - REQUEST))
        if unknown:
            return f"this runner does not know {', '.join(unknown)}"
        caller, expect = self.mesh.pod(case["from"]), case["expect"]
        address = self.mesh.address(case["to"])
        distribution = expect.get("distribution")
        if distribution:
            problem = None
            for _ in range(distribution.get("attempts", 1)):
                problem = self._distribution(caller, address, case, distribution)
                if problem is None:
                    return None
            return problem
        problem = self._poll(lambda: self._once(caller, address, case))
        for number in range(0 if problem else case.get("repeat", 1) - 1):
            problem = self._once(caller, address, case)
            if problem:
                return f"time {number + 2} of {case['repeat']}: {problem}"
        return problem

    def _poll(self, attempt, streak=STREAK):
        """Nil as soon as it held so many times in a row, else the last problem; at least that many tries."""
        deadline, held, tries, problem = time.monotonic() + self.patience, 0, 0, None
        while held < streak:
            if tries >= streak and time.monotonic() > deadline:
                return problem
            if tries:
                time.sleep(PAUSE)
            tries += 1
            found = attempt()
            held = 0 if found else held + 1
            problem = found or problem
        return None

    def _request(self, address, case):
        """The request of a case, and what is expected of it; each time another one if it has a unique part."""
        request, expect, port = dict(case["request"]), case["expect"], case["to"]["port"]
        request.update(address=address, port=port, headers=request.get("headers") or {})
        if request.get("host") is None:
            host = f"[{address}]" if ":" in address else address
            request["host"] = host if port == 80 else f"{host}:{port}"
        name = request.pop("unique_query", None)
        if name:
            part = f"{name}={time.time_ns()}{next(self.unique)}"
            request["path"] = extended(request["path"], part)
            if expect.get("request", {}).get("path") is not None:
                expect = {**expect, "request": {**expect["request"], "path": extended(expect["request"]["path"], part)}}
        return request, expect

    def _once(self, caller, address, case):
        request, expect = self._request(address, case)
        marks = {pod: pod.mark() for pod in self.mesh.pods}
        answer = caller.send(self.mesh.python, [request], timeout=REQUEST_TIMEOUT)[0]
        found, seen = expectations.problems(answer, expect, request, self.mesh.echo)
        if not found and expect.get("reaches_backend") is False:
            found = [
                f"{pod.name} got the request, and no backend should"
                for pod in self.mesh.pods if pod.echoed(request["path"], marks[pod])]
        for mirror in [] if found else mirrors(expect):
            path = saw(seen, request)
            count = self._mirrored(mirror, path, marks, 1)
            if count == 0:
                found = [f"no pod of {mirror['backend']} got a mirror of {path}"]
                break
        return "; ".join(found) or None

    def _mirrored(self, mirror, path, marks, wanted):
        """How many mirrors of a path came, once it is as many as wanted or nothing comes any more."""
        pods, deadline, count = self.mesh.backends(mirror), time.monotonic() + MIRROR_PATIENCE, 0
        if not pods:
            raise harness.Failure(f"no pod is of {mirror['backend']}")
        while True:
            count = sum(pod.echoed(path, marks[pod]) for pod in pods)
            if count >= wanted or time.monotonic() > deadline:
                return count
            time.sleep(0.05)

    def _distribution(self, caller, address, case, distribution):
        total = distribution["requests"]
        pairs = [self._request(address, case) for _ in range(total)]
        marks = {pod: pod.mark() for pod in self.mesh.pods}
        answers = caller.send(self.mesh.python, [request for request, _ in pairs], PARALLEL, REQUEST_TIMEOUT)
        backends, paths = [], set()
        for answer, (request, expect) in zip(answers, pairs):
            found, seen = expectations.problems(answer, expect, request, self.mesh.echo)
            if found:
                return "; ".join(found)
            backends.append(expectations.backend_of(seen["pod"]) if seen else "none")
            paths.add(saw(seen, request))
        found = []
        if distribution.get("weights"):
            found += expectations.share_problems(backends, distribution)
        for mirror in mirrors(case["expect"]):
            percent = mirror.get("percent", 100)
            count = sum(self._mirrored(mirror, path, marks, total * len(paths)) for path in paths)
            found += expectations.mirror_problems(mirror["backend"], count, percent, distribution, total)
        return "; ".join(found) or None


def saw(seen, request):
    """The path that the backend saw, or would have."""
    return (seen or {}).get("path") or request["path"]


def mirrors(expect):
    for mirror in expectations.several(expect.get("mirrored_to") or []):
        yield mirror if isinstance(mirror, dict) else {"backend": mirror}


def extended(path, part):
    return f"{path}{'&' if urlsplit(path).query else '?'}{part}"
