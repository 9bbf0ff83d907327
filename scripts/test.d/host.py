"""The host of the test on real systemd: namespaces, units, a container's unit, and the mesh's resources for them."""

VIP, WEB, FRONT = "240.0.0.10", "240.0.0.11", "240.0.0.12"
KERNEL, RELAY = f"{VIP}:80", f"{VIP}:8080"
PODS = {"client": 2, "server": 3, "intruder": 4}
# Namespaces that no Workload names: what is not of the mesh.
PLAIN = {"plain-a": 5, "plain-b": 6}

NETWORK = """#!/bin/sh
set -e
echo 1 >/proc/sys/net/ipv4/ip_forward
ip link add br0 type bridge
ip addr add 10.77.0.1/24 dev br0
ip link set br0 up
number=2
for name in PODS; do
  ip netns add $name
  ip link add v-$name type veth peer name eth0 netns $name
  ip link set v-$name master br0 up
  ip -n $name link set lo up
  ip -n $name addr add 10.77.0.$number/24 dev eth0
  ip -n $name link set eth0 up
  ip -n $name route add default via 10.77.0.1
  number=$((number + 1))
done
""".replace("PODS", " ".join([*PODS, *PLAIN]))

# A file, because systemd-run takes the dollars of its words for its own.
AS_WEB = """#!/bin/sh
set -e
echo $$ >/sys/fs/cgroup/system.slice/web.service/cgroup.procs
exec "$@"
"""

UNITS = {
    "/etc/systemd/system/pods.service": """[Unit]
Description=Namespaces of the workloads
DefaultDependencies=no
After=local-fs.target
Before=martletd.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/opt/network
[Install]
WantedBy=multi-user.target
""",
    # Waits for the mesh by what `martlet enroll` writes.
    "/etc/systemd/system/backend.service": """[Unit]
Description=A workload in a namespace of its own
After=pods.service
Requires=pods.service
StartLimitIntervalSec=0
[Service]
NetworkNamespacePath=/run/netns/server
ExecStart=/usr/bin/python3 /opt/echo.py 9000 /var/lib/seen/backend
Restart=on-failure
[Install]
WantedBy=multi-user.target
""",
    # An intruder that waits for nothing: it calls what it may not call before the agent is there, and goes on.
    "/etc/systemd/system/early.service": f"""[Unit]
Description=An intruder that starts early
After=pods.service
Requires=pods.service
[Service]
NetworkNamespacePath=/run/netns/intruder
ExecStart=/usr/bin/python3 /opt/early.py 25 {KERNEL} 10.77.0.3:9000 {WEB}:80 {FRONT}:80
RemainAfterExit=yes
[Install]
WantedBy=multi-user.target
""",
    # Calls by name before anything else of it runs, at each start: what it gets is written down.
    "/etc/systemd/system/web.service": """[Unit]
Description=A service of the host itself
After=pods.service
StartLimitIntervalSec=0
[Service]
Type=exec
ExecStartPre=/usr/bin/python3 /opt/say.py server.demo 80 /var/lib/seen/web.first
ExecStart=/usr/bin/python3 /opt/echo.py 9100 /var/lib/seen/web
Restart=on-failure
TimeoutStopSec=5s
[Install]
WantedBy=multi-user.target
""",
    "/etc/systemd/system/record.service": """[Unit]
Description=What passes, before anything else runs
DefaultDependencies=no
After=local-fs.target
Before=pods.service front.service web.service
[Service]
Type=exec
ExecStart=/usr/bin/python3 /opt/record.py /var/lib/seen/packets
[Install]
WantedBy=multi-user.target
""",
    # Containers here have neither cgroup controllers nor a disk below an overlay.
    "/etc/containers/storage.conf": """[storage]
driver = "vfs"
runroot = "/run/containers/storage"
graphroot = "/var/lib/containers/storage"
""",
    "/etc/containers/containers.conf": """[containers]
pids_limit = 0
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
events_logger = "file"
""",
    # Nobody answers there: what is not of the mesh does not resolve.
    "/etc/resolv.conf": "nameserver 10.77.0.1\n",
}

# A container that calls by name before it serves. Its unit is written as `podman generate systemd --new` does for Debian 12's podman.
FRONT_COMMAND = "python3 /opt/say.py web.demo 80 /var/lib/seen/front.first; exec python3 /opt/echo.py 9200 /var/lib/seen/front"
FRONT_UNIT = ("/etc/systemd/system/front.service", f"""[Unit]
Description=A workload in a container
After=network.target
StartLimitIntervalSec=0
[Service]
Type=notify
NotifyAccess=all
Environment=PODMAN_SYSTEMD_UNIT=%n
ExecStartPre=/bin/rm -f %t/%n.id
ExecStart=/usr/bin/podman run --cidfile=%t/%n.id --cgroups=no-conmon --rm --sdnotify=conmon -d --replace --name front --no-hosts --network podman -v /usr:/usr:ro -v /opt:/opt:ro -v /var/lib/seen:/var/lib/seen bare:1 sh -c "{FRONT_COMMAND}"
ExecStop=/usr/bin/podman stop --ignore -t 0 --cidfile=%t/%n.id
ExecStopPost=/usr/bin/podman rm -f --ignore -t 1 --cidfile=%t/%n.id
Restart=always
RestartSec=500ms
TimeoutStopSec=20s
SuccessExitStatus=137 143
[Install]
WantedBy=multi-user.target
""")
# And as a quadlet, which later ones take.
FRONT_QUADLET = ("/etc/containers/systemd/front.container", f"""[Unit]
Description=A workload in a container
StartLimitIntervalSec=0
[Container]
ContainerName=front
Image=localhost/bare:1
Network=podman
Volume=/usr:/usr:ro
Volume=/opt:/opt:ro
Volume=/var/lib/seen:/var/lib/seen
PodmanArgs=--no-hosts
StopTimeout=0
Exec=sh -c "{FRONT_COMMAND}"
[Service]
Restart=always
RestartSec=500ms
SuccessExitStatus=137 143
[Install]
WantedBy=multi-user.target
""")


def front(suite):
    """The file that makes front.service: its path and its text."""
    return FRONT_UNIT if suite == "bookworm" else FRONT_QUADLET


# An image without files: programs come from the host, read only.
IMAGE = """set -e
rm -rf /root/image
mkdir -p /root/image/usr /root/image/opt /root/image/etc /root/image/tmp /root/image/var/lib
cd /root/image
for name in bin sbin lib lib64; do ln -s usr/$name $name; done
tar -c . | podman import - bare:1
"""


def policy(name, *callers):
    principals = ", ".join(f'"cluster.local/ns/demo/sa/{caller}"' for caller in callers)
    return f"""---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}-callers, namespace: demo}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  action: ALLOW
  rules:
    - from: [{{source: {{principals: [{principals}]}}}}]
"""


def service(name, address, *ports):
    lines = "".join(f"    - {{{port}}}\n" for port in ports)
    return f"""---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: demo}}
spec:
  selector: {{app: {name}}}
  clusterIP: {address}
  ports:
{lines}"""


def workload(name, location):
    return f"""---
apiVersion: martlet.dev/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: demo, labels: {{app: {name}}}}}
spec: {{node: NODE, serviceAccount: {name}, {location}}}
"""


RESOURCES = (
    "".join(workload(name, f"networkNamespace: /run/netns/{name}" + (", dns: true" if name == "client" else "")) for name in PODS)
    + service("server", VIP, "name: plain, port: 80, targetPort: 9000", "name: relayed, port: 8080, targetPort: 9000, appProtocol: http")
    + service("web", WEB, "name: http, port: 80, targetPort: 9100")
    + service("front", FRONT, "name: http, port: 80, targetPort: 9200")
    + policy("server", "client", "web")
    + policy("web", "client", "front")
    + policy("front", "client", "web")
)
# A container that no policy names.
THIEF = workload("thief", "container: {name: thief}, dns: true")
