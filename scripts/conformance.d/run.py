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
# Of what was left out, in the table.
SHOWN = 3
# Looks without a new one, after which no more mirrors of many requests are awaited.
QUIET = 10
CASE = {"name", "from", "to", "request", "before", "repeat", "assumes", "expect", "beyond_upstream"}
REQUEST = {"protocol", "method", "host", "path", "headers", "unique_query", "messages"}
# What each part of a case may say. What nobody knows is a failure, not a pass.
PARTS = {"from": {"namespace", "labels"}, "to": {"service", "pod", "port"}, "request": REQUEST}
DISTRIBUTION = {"requests", "weights", "tolerance", "tolerance_stddevs", "attempts"}
MIRROR = {"backend", "namespace", "percent"}


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
    def result(self):
        """Nothing that was left out passed."""
        return "FAIL" if not self.passed else "pass" if self.cases else "left out"

    @property
    def feature(self):
        """What it is about: without what every test needs."""
        return ", ".join([name for name in self.features if name != "Mesh"] or self.features)

    @property
    def reason(self):
        if self.passed:
            more = len(self.left_out) - SHOWN
            shown = ", ".join(self.left_out[:SHOWN])
            return f"left out: {shown}{f' and {more} more' if more > 0 else ''}" if shown else ""
        more = len(self.failures) - 1
        return self.failures[0] + (f" (and {more} more)" if more else "")

    def object(self):
        return {
            "test": self.test, "features": self.features, "passed": self.passed, "result": self.result, "cases": self.cases,
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
        told = [one for one in test["conditions"] if not self._leaves_out(one, f"condition {one['type']}", outcome)]
        outcome.cases += len(told)
        problems = [self._condition(one) for one in told]
        deleted = False
        for case in test["cases"]:
            if self._leaves_out(case, case["name"], outcome):
                continue
            if case.get("before"):
                deleted = True
                resources = self._without(resources, case["before"])
                mesh.switch(resources)
            outcome.cases += 1
            try:
                problem = self._case(case)
            except harness.Failure as failure:
                problem = str(failure)
            if problem:
                outcome.failures.append(f"{case['name']}: {problem}")
        # The data do not say whether a condition is told before or after what a case deletes.
        outcome.failures += [
            problem for one, problem in zip(told, problems) if problem and not (deleted and self._condition(one) is None)]

    def _condition(self, condition):
        return self._poll(lambda: conditions.problem(self.mesh, condition), streak=1)

    def _leaves_out(self, part, name, outcome):
        if not set(expectations.several(part.get("assumes") or [])) - self.assumes:
            return False
        outcome.left_out.append(name)
        return True

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
        unknown = unknown_parts(case)
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
        request.update(
            address=address, port=port, headers=request.get("headers") or {}, method=request.get("method") or "GET",
            path=request.get("path") or "/")
        if not request.get("host"):
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
                for pod in self.mesh.pods if pod.echoed({request["path"]}, marks[pod])]
        for mirror in [] if found else mirrors(expect):
            path = saw(seen, request)
            if self._mirrored(mirror, {path}, marks) == 0:
                found = [f"no pod of {mirror['backend']} got a mirror of {path}"]
                break
        return "; ".join(found) or None

    def _mirrored(self, mirror, paths, marks, looks=1):
        """How many mirrors of the paths came, once some did and so many looks showed no more."""
        pods = self.mesh.backends(mirror)
        if not pods:
            raise harness.Failure(f"no pod is of {mirror['backend']}")
        count, quiet, deadline = 0, 0, time.monotonic() + MIRROR_PATIENCE
        while time.monotonic() < deadline and (count == 0 or quiet < looks):
            time.sleep(0.05)
            now = sum(pod.echoed(paths, marks[pod]) for pod in pods)
            count, quiet = now, quiet + 1 if now == count else 0
        return count

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
            count = self._mirrored(mirror, paths, marks, QUIET)
            found += expectations.mirror_problems(mirror["backend"], count, percent, distribution, total)
        return "; ".join(found) or None


def unknown_parts(case):
    found = set(case) - CASE
    for name, known in PARTS.items():
        found |= {f"{name}.{part}" for part in set(case[name]) - known}
    found |= {f"distribution.{part}" for part in set(case["expect"].get("distribution") or {}) - DISTRIBUTION}
    for mirror in mirrors(case["expect"]):
        found |= {f"mirrored_to.{part}" for part in set(mirror) - MIRROR}
    return sorted(found)


def saw(seen, request):
    """The path that the backend saw, or would have."""
    return (seen or {}).get("path") or request["path"]


def mirrors(expect):
    for mirror in expectations.several(expect.get("mirrored_to") or []):
        yield mirror if isinstance(mirror, dict) else {"backend": mirror}


def extended(path, part):
    return f"{path}{'&' if urlsplit(path).query else '?'}{part}"
