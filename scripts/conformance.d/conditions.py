"""Conditions of routes, as the control plane tells them: `martlet get httproutes` and its like, in Kubernetes' shape, where each
parent of a route has conditions of its own."""
import harness
import manifests

SUBJECTS = {"HTTPRoute": "httproutes", "GRPCRoute": "grpcroutes", "TCPRoute": "tcproutes", "TLSRoute": "tlsroutes"}

KNOWN = {"route", "parent", "type", "status", "reason", "assumes"}


def refused_as_expected(conditions):
    """Routes that are not to be accepted: the resources may refuse them."""
    return {
        manifests.named(condition["route"]) for condition in conditions
        if condition["type"] == "Accepted" and condition["status"] == "False"}


def problem(mesh, condition):
    """What is wrong with a condition now, or nil."""
    unknown = sorted(set(condition) - KNOWN)
    if unknown:
        return f"this runner does not know {', '.join(unknown)} of a condition"
    kind, namespace, name = manifests.key(condition["route"])
    if kind not in SUBJECTS:
        return f"this mesh has no {kind}"
    label = f"condition {condition['type']} of {kind} {namespace}/{name}"
    try:
        routes = mesh.control("get", SUBJECTS[kind], f"{namespace}/{name}")
    except (harness.Failure, KeyError) as failure:
        return f"{label} cannot be read: {failure}"
    told = [one for route in routes for one in of_parent(route, condition["parent"]) if one["type"] == condition["type"]]
    if not told:
        return f"{label} is not told"
    wanted = (condition["status"], condition.get("reason"))
    if all((one["status"], one["reason"] if wanted[1] else None) == wanted for one in told):
        return None
    return f"{label} is {told[0]['status']} {told[0]['reason']}, expected {wanted[0]} {wanted[1] or ''}".rstrip()


def of_parent(route, parent):
    """The conditions of one parent; what a reference leaves out is not compared."""
    for one in (route.get("status") or route).get("parents") or []:
        reference = one.get("parentRef") or {}
        told = {"namespace": (route.get("metadata") or {}).get("namespace"), **reference}
        if all(told.get(name) == parent[name] for name in ("namespace", "name", "port", "sectionName") if parent.get(name)):
            yield from one["conditions"]
