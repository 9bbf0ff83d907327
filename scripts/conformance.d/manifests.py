"""The resources of a test: which of them are Martlet's, what they are written as, and the Workloads that Deployments stand for."""
import json

# Others describe what a cluster runs, or what this mesh has not: they are left out, and the pods stand for them.
GROUPS = {
    "": {"Namespace", "Service"},
    "discovery.k8s.io": {"EndpointSlice"},
    "gateway.networking.k8s.io": {"HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "ReferenceGrant"},
    "security.istio.io": {"AuthorizationPolicy"},
    "martlet.dev": {"MeshConfig", "Workload"},
}
ROUTES = GROUPS["gateway.networking.k8s.io"] - {"ReferenceGrant"}


def group(resource):
    name, slash, _ = resource["apiVersion"].partition("/")
    return name if slash else ""


def is_applied(resource):
    return resource["kind"] in GROUPS.get(group(resource), ())


def key(resource):
    """Kind, namespace, name; also of a reference that has them at its top."""
    metadata = resource.get("metadata") or resource
    return resource["kind"], metadata.get("namespace") or "", metadata["name"]


def named(resource):
    kind, namespace, name = key(resource)
    return f"{kind} {namespace}/{name}" if namespace else f"{kind} {name}"


def left_out(manifests):
    """Kinds that are not applied. A Deployment is: its pods are Workloads."""
    return sorted({resource["kind"] for resource in manifests if not is_applied(resource)} - {"Deployment"})


def fits(labels, wanted):
    return all(labels.get(name) == value for name, value in wanted.items())


def container_ports(manifests, pod):
    """The ports that the pod's Deployment gives a name."""
    found = []
    for resource in manifests:
        if resource["kind"] != "Deployment" or key(resource)[1] != pod["namespace"]:
            continue
        if not pod["name"].startswith(f"{key(resource)[2]}-"):
            continue
        for container in resource["spec"]["template"]["spec"]["containers"]:
            found += [
                {"name": port["name"], "port": port["containerPort"]}
                for port in container.get("ports", []) if "name" in port]
    return found


def workload(manifests, pod, node, path):
    spec = {"node": node, "networkNamespace": str(path)}
    ports = container_ports(manifests, pod)
    if ports:
        spec["ports"] = ports
    return {
        "apiVersion": "martlet.dev/v1alpha1", "kind": "Workload",
        "metadata": {"name": pod["name"], "namespace": pod["namespace"], "labels": pod["labels"]}, "spec": spec}


def marker(number):
    """A Service that nobody calls: once the agent knows it, it knows all that was written before it."""
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": f"mark-{number}", "namespace": "martlet-conformance"},
        "spec": {"selector": {"martlet-conformance": "none"}, "ports": [{"port": 1}]}}


def file_name(resource):
    kind, namespace, name = key(resource)
    return "-".join(part for part in (kind.lower(), namespace, name) if part) + ".yaml"


def text(resource):
    # JSON is YAML.
    return json.dumps(resource, indent=1) + "\n"
