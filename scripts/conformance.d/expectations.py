"""What an answer has to be. Pure: an answer of caller.py and the `expect` of a case in, problems out."""
import base64
import json
from urllib.parse import urljoin, urlsplit

PORTS = {"http": 80, "https": 443}
# What a request by itself can be held to. An expectation that nobody knows is a failure, not a pass.
BY_REQUEST = {
    "status", "grpc_status", "backend", "namespace", "request", "reaches_backend", "response", "redirect",
    "backend_named_by_header", "echoed"}
# What needs the pods' logs or many requests.
BY_RUN = {"mirrored_to", "distribution"}
GRPC_UNIMPLEMENTED = 12


def several(value):
    return value if isinstance(value, list) else [value]


def joined(headers, name):
    """All values of a header, as one; None if there is none."""
    found = [value for key, value in headers if key.lower() == name.lower()]
    return ",".join(found) if found else None


def spaceless(text):
    return "".join(text.split())


def commas(text):
    """Values of a list without the spaces that may follow a comma."""
    return ",".join(part.strip() for part in text.split(","))


def facts(answer, protocol, echo):
    """What the backend says it saw; None if no backend answered. `echo` is the module of the echo server."""
    body = base64.b64decode(answer.get("body", ""))
    if protocol == "grpc":
        if len(body) < 5:
            return None
        try:
            return echo.grpc_facts(body[5:])
        except (StopIteration, IndexError, UnicodeDecodeError, KeyError):
            return None
    try:
        seen = json.loads(body)
    except ValueError:
        return None
    if not isinstance(seen, dict) or not isinstance(seen.get("pod"), str):
        return None
    # Of a TCP connection it knows neither.
    return {"headers": {}, "namespace": "", **seen}


def grpc_status(answer):
    for pairs in (answer["trailers"], answer["headers"]):
        value = joined(pairs, "grpc-status")
        if value is not None:
            return int(value) if value.isdigit() else value
    return None


def backend_of(pod):
    """A pod's name without the last two parts."""
    return pod.rsplit("-", 2)[0]


def problems(answer, expect, request, echo):
    """What is wrong with one answer, as texts, and what the backend saw. `request` is what was sent."""
    unknown = set(expect) - BY_REQUEST - BY_RUN
    if unknown:
        return [f"this runner does not know the expectation {', '.join(sorted(unknown))}"], None
    if "error" in answer:
        refused = request["protocol"] == "tcp" and expect.get("reaches_backend") is False
        return [] if refused else [answer["error"]], None
    seen = facts(answer, request["protocol"], echo)
    found = [*status_problems(answer, expect)]
    if expect.get("reaches_backend") is False:
        if seen:
            found.append(f"{seen['pod']} answered, and no backend should")
    elif seen is None and wants_facts(expect):
        found.append("no backend answered")
    if seen:
        found += backend_problems(seen, expect)
        if "request" in expect and expect.get("reaches_backend") is not False:
            found += request_problems(seen, expect["request"])
    if "response" in expect:
        found += response_problems(answer, expect["response"])
    if expect.get("redirect"):
        found += redirect_problems(answer, expect["redirect"], request)
    if expect.get("echoed") and answer.get("messages") != request.get("messages"):
        found.append(f"messages came back as {answer.get('messages')}")
    return found, seen


def wants_facts(expect):
    return bool(set(expect) & {"backend", "namespace", "request", "backend_named_by_header", "distribution"})


def status_problems(answer, expect):
    wanted = several(expect.get("status") or [])
    if expect.get("grpc_status") is not None:
        codes, told = several(expect["grpc_status"]), grpc_status(answer)
        if told is None and answer["status"] == 404 and GRPC_UNIMPLEMENTED in codes:
            return
        if told not in codes:
            yield f"gRPC status {told}, HTTP status {answer['status']}, expected gRPC status {' or '.join(map(str, codes))}"
            return
    # Upstream takes these two for each other.
    accepted = set(wanted) | ({408, 504} if {408, 504} & set(wanted) else set())
    if wanted and answer["status"] not in accepted:
        yield f"status {answer['status']}, expected {' or '.join(map(str, wanted))}"


def backend_problems(seen, expect):
    if expect.get("backend") and not any(seen["pod"].startswith(name) for name in several(expect["backend"])):
        yield f"{seen['pod']} answered, expected {' or '.join(several(expect['backend']))}"
    if expect.get("namespace") and seen["namespace"] != expect["namespace"]:
        yield f"a pod of namespace {seen['namespace']} answered, expected {expect['namespace']}"
    name = expect.get("backend_named_by_header")
    if name:
        values = next((values for key, values in seen["headers"].items() if key.lower() == name.lower()), [])
        if len(values) != 1 or not seen["pod"].startswith(values[0]):
            yield f"{seen['pod']} answered and saw {name}: {values}"


def request_problems(seen, expect):
    for name in ("method", "path", "host"):
        # An EchoResponse has no method.
        if expect.get(name) is not None and name in seen and seen[name] != expect[name]:
            yield f"the backend saw {name} {seen[name]}, expected {expect[name]}"
    pairs = [(name, value) for name, values in seen["headers"].items() for value in values]
    for name, accepted in (expect.get("headers") or {}).items():
        value = joined(pairs, name)
        if value is None or commas(value) not in map(commas, several(accepted)):
            yield f"the backend saw {name}: {value}, expected {' or '.join(several(accepted))}"
    for name in expect.get("absent_headers") or []:
        if joined(pairs, name) is not None:
            yield f"the backend saw {name}: {joined(pairs, name)}, expected none"
    yield from unknown_parts("request", expect, {"method", "path", "host", "headers", "absent_headers"})


def response_problems(answer, expect):
    form = spaceless if expect.get("ignore_whitespace") else commas
    for name, accepted in (expect.get("headers") or {}).items():
        value = joined(answer["headers"], name)
        if value is None or form(value) not in map(form, several(accepted)):
            yield f"the answer has {name}: {value}, expected {' or '.join(several(accepted))}"
    for name in expect.get("absent_headers") or []:
        if joined(answer["headers"], name) is not None:
            yield f"the answer has {name}: {joined(answer['headers'], name)}, expected none"
    yield from unknown_parts("response", expect, {"headers", "absent_headers", "ignore_whitespace"})


def redirect_problems(answer, expect, request):
    location = joined(answer["headers"], "location")
    if location is None:
        yield "no Location"
        return
    to = urlsplit(urljoin(f"http://{request['host']}{request['path']}", location))
    try:
        port = to.port
    except ValueError:
        port = -1
    if expect.get("scheme") and to.scheme != expect["scheme"]:
        yield f"redirected to {location}, expected scheme {expect['scheme']}"
    if expect.get("host") and to.hostname != expect["host"]:
        yield f"redirected to {location}, expected host {expect['host']}"
    if expect.get("port") is None:
        if port is not None and port != PORTS.get(to.scheme):
            yield f"redirected to {location}, expected no port"
    elif (port or PORTS.get(to.scheme)) != int(expect["port"]):
        yield f"redirected to {location}, expected port {expect['port']}"
    if expect.get("path") is not None:
        # Without a query in it, the query is not looked at.
        path = f"{to.path}?{to.query}" if "?" in expect["path"] and to.query else to.path
        if path != expect["path"]:
            yield f"redirected to {location}, expected path {expect['path']}"
    yield from unknown_parts("redirect", expect, {"scheme", "host", "port", "path"})


def unknown_parts(what, expect, known):
    for name in sorted(set(expect) - known):
        yield f"this runner does not know the expectation {what}.{name}"


def share_problems(backends, distribution):
    """`backends`: the name of the backend of each answer."""
    total, tolerance = len(backends), distribution.get("tolerance")
    for name in sorted(set(backends) | set(distribution["weights"])):
        share, weight = backends.count(name) / total, distribution["weights"].get(name)
        if weight is None:
            yield f"{name} got {backends.count(name)} of {total}, expected none"
        elif abs(share - weight) > room(tolerance, distribution, weight, total):
            yield f"{name} got {share:.3f} of {total} requests, expected {weight:g}"


def room(tolerance, distribution, share, total):
    if tolerance is not None:
        return tolerance
    return distribution["tolerance_stddevs"] * (share * (1 - share) / total) ** 0.5


def mirror_problems(backend, count, percent, distribution, total):
    share = percent / 100
    if abs(count / total - share) > room(distribution.get("tolerance"), distribution, share, total):
        yield f"{backend} got a mirror of {count} of {total} requests, expected {percent:g} %"
