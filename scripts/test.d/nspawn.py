"""Debian in a container of systemd-nspawn: a real PID 1, a cgroup tree, a network and a BPF file system of its own.

Trees are made once by mmdebstrap and never changed: a container writes to an overlay, which a reboot keeps and `remove` ends.
The machine may have cgroup2 beside cgroup v1, so the container enters a child cgroup in every hierarchy that systemd uses.
"""
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
STORE = ROOT / ".build" / "nspawn"
# What workloads and the test need beside systemd; the package under test brings its own dependencies.
PACKAGES = (
    "systemd,systemd-sysv,systemd-resolved,dbus,iproute2,kmod,procps,libcap2-bin,libstdc++6,zlib1g,passwd,python3,curl,iperf3,"
    "ca-certificates,binutils,bpftool,podman,runc,netavark,iptables,nftables")
BPFFS = """[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -ec 'mount -o remount,rw /sys; mkdir -p /sys/fs/bpf; mount -t bpf -o mode=700 bpf /sys/fs/bpf; mount -o remount,ro /sys'
"""


def tree(suite, packages=PACKAGES, variant="minbase"):
    """The path of a Debian tree, made if it is not there or was made of other packages."""
    stamp = hashlib.sha256(f"{suite} {variant} {packages}".encode()).hexdigest()[:12]
    kind = f"{suite}-{variant}"
    path = STORE / f"{kind}-{stamp}"
    if not path.exists():
        STORE.mkdir(parents=True, exist_ok=True)
        for old in STORE.glob(f"{kind}-*"):
            shutil.rmtree(old)
        new = STORE / f"new-{kind}"
        if new.exists():
            shutil.rmtree(new)
        include = [f"--include={packages}"] if packages else []
        with open(STORE / f"{kind}.log", "w") as log:
            subprocess.run(["mmdebstrap", f"--variant={variant}", *include, suite, str(new)], check=True, stdout=log, stderr=log)
        new.rename(path)
    return path


def cgroup_mounts():
    """Where systemd's hierarchies are: cgroup2, and the named one of cgroup v1 if the machine has it."""
    found = []
    for line in open("/proc/mounts"):
        _, point, kind, options = line.split()[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append((kind, point))
    unified = [point for kind, point in found if kind == "cgroup2"]
    return unified[0], [point for kind, point in found if kind == "cgroup"]


class Container:
    """One machine. `files`: text by path, written before its first boot; `binds`: `SOURCE:TARGET`, read only."""

    def __init__(self, name, suite, files, binds=()):
        self.name, self.suite, self.binds = name, suite, binds
        self.base = STORE / "run" / name
        self.remove_files()
        for part in ("upper", "work", "root"):
            (self.base / part).mkdir(parents=True)
        self.tree = tree(suite)
        self.write("/etc/hostname", name + "\n")
        # PID 1 mounts it on a host, and not in a container (whose /sys is a tmpfs without it); in fstab it is ignored.
        self.write("/etc/systemd/system/bpffs.service", BPFFS)
        self.link("bpffs.service", "/etc/systemd/system/sysinit.target.wants/bpffs.service")
        for path, text in files.items():
            self.write(path, text)
        unified, others = cgroup_mounts()
        self.unified = pathlib.Path(unified) / name
        self.cgroups = [self.unified] + [pathlib.Path(other) / name for other in others]
        self.process = None

    def write(self, path, text, mode=0o644):
        """Before the first boot, or by `run` afterwards."""
        target = self.base / "upper" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)

    def link(self, unit, path):
        target = self.base / "upper" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(f"/etc/systemd/system/{unit}")

    def mask(self, unit):
        target = self.base / "upper" / "etc/systemd/system" / unit
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to("/dev/null")

    def copy(self, source, path):
        target = self.base / "upper" / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)

    def start(self):
        for cgroup in self.cgroups:
            cgroup.mkdir(exist_ok=True)
        enter = "".join(f"echo $$ >'{cgroup}/cgroup.procs'; " for cgroup in self.cgroups)
        script = (
            f"mount -t overlay overlay -o lowerdir='{self.tree}',upperdir='{self.base}/upper',workdir='{self.base}/work' "
            f"'{self.base}/root' && {enter} exec \"$@\""
        )
        command = [
            "systemd-nspawn", "-q", "-D", str(self.base / "root"), "-M", self.name, "--register=no", "--keep-unit", "--boot",
            "--console=pipe", "--kill-signal=SIGRTMIN+4", "--private-network", "--capability=all",
            "--system-call-filter=bpf perf_event_open pidfd_getfd @keyring", "--link-journal=no", "--resolv-conf=off", "--timezone=off",
            *[f"--bind-ro={bind}" for bind in self.binds],
        ]
        self.log = open(self.base / "console.log", "w")
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *command],
            env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"), stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log, start_new_session=True)
        return self.wait_until_running()

    def pid(self):
        """The container's PID 1, as this machine numbers it."""
        for line in (self.unified / "payload" / "init.scope" / "cgroup.procs").read_text().split():
            return int(line)
        raise RuntimeError(f"{self.name}: no PID 1")

    def wait_until_running(self, seconds=120):
        deadline = time.monotonic() + seconds
        state = "not there"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                done = self.run(["systemctl", "is-system-running", "--wait"], check=False, timeout=60)
                state = done.stdout.strip()
                if state in ("running", "degraded"):
                    return state
            except (OSError, RuntimeError, subprocess.TimeoutExpired):
                pass
            time.sleep(0.1)
        console = (self.base / "console.log").read_text()[-2000:]
        raise RuntimeError(f"{self.name} did not come up ({state}): {console}")

    def run(self, command, check=True, timeout=120, text=None):
        """As root of the container, in a cgroup outside of it: for looking and for systemctl. Workloads are units."""
        command = ["sh", "-c", command] if isinstance(command, str) else command
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid()), "-a", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive",
             "LC_ALL=C.UTF-8", *command], input=text, stdin=None if text is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise RuntimeError(f"{self.name}: {' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def unit(self, command, properties=(), check=False, timeout=120):
        """Runs a command as a transient unit, inside the container's own cgroups, and waits for it."""
        options = [f"--property={line}" for line in properties]
        return self.run(["systemd-run", "--wait", "--pipe", "--collect", "-q", *options, "--", *command], check=check, timeout=timeout)

    def reboot(self, seconds=120):
        """Its disk stays, nothing else does. With --keep-unit nspawn leaves starting again to who started it, by status 133."""
        self.run(["systemctl", "reboot"], check=False)
        if self.process.wait(seconds) != 133:
            raise RuntimeError(f"{self.name} did not reboot")
        self.log.close()
        return self.start()

    def stop(self):
        """Asks PID 1 to power off. nspawn itself is never killed: it would leave its mounts and cgroups."""
        if self.process is None:
            return
        try:
            os.kill(self.pid(), signal.SIGRTMIN + 4)
        except (OSError, RuntimeError):
            pass
        try:
            self.process.wait(90)
        except subprocess.TimeoutExpired:
            # Its PID 1 hangs: the kernel ends what is in that cgroup, and nspawn cleans up.
            (self.unified / "payload" / "cgroup.kill").write_text("1")
            self.process.wait(60)
        self.process = None
        self.log.close()

    def remove_files(self):
        if self.base.exists():
            shutil.rmtree(self.base)

    def remove(self):
        self.stop()
        for cgroup in self.cgroups:
            for directory in sorted([path for path, _, _ in os.walk(cgroup)], key=len, reverse=True):
                try:
                    os.rmdir(directory)
                except OSError:
                    pass
        self.remove_files()
