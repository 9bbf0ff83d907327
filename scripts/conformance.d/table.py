"""The table of a run: for eyes, and as a section of docs/conformance.md."""
import re

HEAD = """# Conformance

Official tests of the Gateway API's mesh suite, as data, through a real mesh on one host: `scripts/conformance DIR --write` ran
all tests of a folder and wrote the folder's section here; nothing here is written by hand. A test passes if each of its cases does, those expectations
included that upstream's own comparison does not look at. `scripts/conformance --help` says how it is done.

- `mesh`: the official mesh suite.
- `gateway`: official tests of HTTPRoute, GRPCRoute and TCPRoute that are written for Gateways, translated by us to Services as parents. They are not kept here, and nobody but us
  has looked at the translation. A Gateway became a Service without endpoints of its own, a listener one of its ports; the caller is a pod of the route's namespace. What depends
  on host names (GEP-1294 asks a mesh not to look at them), TLS at the parent or a Gateway's own status has no such translation.
"""
ROW = re.compile(r"^\| (\S+) \| .* \| (pass|FAIL) \|", re.M)
COLUMNS = ("test", "feature", "result", "cases", "seconds", "reason")


def cells(outcome):
    return [
        outcome.test, outcome.feature, outcome.result, str(outcome.cases), f"{outcome.seconds:.1f}",
        outcome.reason.replace("\n", " ")]


def summary(outcomes):
    results = [outcome.result for outcome in outcomes]
    left_out = f", {results.count('left out')} left out whole" if "left out" in results else ""
    return f"{results.count('pass')} of {len(outcomes)} tests pass{left_out}"


def plain(outcomes):
    rows = [[name.upper() for name in COLUMNS], *map(cells, outcomes)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS) - 1)]
    lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]).rstrip() for row in rows]
    return "\n".join([*lines, "", summary(outcomes)])


def section(directory, outcomes):
    lines = [f"## {directory.resolve().name}", "", f"{summary(outcomes)}.", "", f"| {' | '.join(COLUMNS)} |"]
    lines.append("| --- " * len(COLUMNS) + "|")
    lines += [f"| {' | '.join(cell.replace('|', '/') for cell in cells(outcome))} |" for outcome in outcomes]
    return "\n".join(lines) + "\n"


def sections(text):
    """Sections of the page, by their folder."""
    parts = re.split(r"^## (\S+)$", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2]))


def write(path, directory, outcomes):
    old = sections(path.read_text()) if path.exists() else {}
    texts = {name: f"## {name}{body.rstrip()}\n" for name, body in old.items()}
    texts[directory.resolve().name] = section(directory, outcomes)
    path.write_text("\n".join([HEAD, *(texts[name] for name in sorted(texts))]))


def passing(path, directory):
    """The tests of a folder that pass by the page."""
    body = sections(path.read_text()).get(directory.resolve().name, "")
    return {name for name, result in ROW.findall(body) if result == "pass"}


def keeping(mesh, bench):
    martlet, world = bench.martlet("martlet"), mesh.world
    pods = "\n".join(f"  {pod.namespace}/{pod.name}: {pod.address}, {pod.place.path}" for pod in mesh.pods)
    return f"""the mesh is up until you press Ctrl-C; its pods:
{pods}
  resources: {world.resources}
  {martlet} status --run-dir {world.run_directory}
  {martlet} show services --run-dir {world.run_directory}
  {martlet} get workloads --api-socket {world.directory}/api.sock"""
