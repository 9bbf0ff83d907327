#!/usr/bin/env python3
"""Runs scripts/bootstrap in a bare Debian 12 tree, and looks whether every program, header and library that this repository
uses is there afterwards. What it uses is read from the scripts, tests and C sources, so the list cannot grow old.

usage: bare.py
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import nspawn

ROOT = nspawn.ROOT
# Words of shell grammar and builtins, functions of ours, and what comes with the Swift toolchain.
NOT_DEBIAN = {"swift", "clang", "swiftc", "sourcekit-lsp", "llvm-strip"}
SHELL = set(subprocess.run(["bash", "-c", "compgen -b; compgen -k"], capture_output=True, text=True, check=True).stdout.split())
COMMAND = re.compile(r"(?:^|[|;&(]|\$\(|`|\b(?:then|do|else|exec|if|elif|while|until|env|sudo|nohup|timeout \d+)\s|!\s)\s*([a-z][a-z0-9_.+-]*)", re.M)
# The first word of a list of words: ["curl", ...], as Python starts programs; and as an argument, as Swift does.
LISTED = re.compile(r"\[\s*\"([a-z][a-z0-9_.+-]*)\"\s*,")
STARTED = re.compile(r"\b(?:run|start|launch\w*|spawn|wrapper:)\s*\(?\s*\[\s*\"([a-z][a-z0-9_.+-]*)\"")


def programs_here():
    found = set()
    for directory in os.environ["PATH"].split(":") + ["/usr/sbin", "/sbin"]:
        if os.path.isdir(directory):
            found.update(os.listdir(directory))
    return found


def files():
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [pathlib.Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def used(listing):
    """Programs by where they are used: those words in the place of a command that are programs on this machine."""
    here, found = programs_here(), {}
    for path in listing:
        inside = path.parts[0]
        if inside in ("scripts", ".ci") and path.suffix in ("", ".sh"):
            text = (ROOT / path).read_text()
            if text.startswith("#!/usr/bin/env python3"):
                words = LISTED.findall(text)
            else:
                body = re.sub(r"^\s*#.*$", "", re.sub(r"(?s)<<-?'?(\w+)'?\n.*?\n\1\n", "\n", text), flags=re.M)
                body = re.sub(r"(?m)^\s*[\w|* -]+\)\s", "", body)
                words = set(COMMAND.findall(body)) - set(re.findall(r"(?m)^\s*(\w+)\(\)", body))
        elif inside == "scripts" and path.suffix == ".py":
            words = LISTED.findall((ROOT / path).read_text())
        elif inside == "Tests" and path.suffix == ".swift":
            words = STARTED.findall((ROOT / path).read_text())
        else:
            continue
        for word in words:
            if word in here and word not in SHELL and word not in NOT_DEBIAN:
                found.setdefault(word, str(path))
    return found


def headers(listing):
    """System headers by whether a BPF program or a C target wants them."""
    found = set()
    for path in listing:
        kind = "bpf" if path.parts[0] == "bpf" else "c" if path.parts[0] == "Sources" else None
        if kind and path.suffix in (".c", ".h"):
            for name in re.findall(r"^\s*#\s*include\s*<([^>]+)>", (ROOT / path).read_text(), re.M):
                if not (ROOT / "bpf" / "abi" / "include" / name).exists():
                    found.add((kind, name))
    return found


def main():
    bare = nspawn.tree("bookworm", packages="", variant="apt")
    base = nspawn.STORE / "run" / "mt-bare"
    if base.exists():
        shutil.rmtree(base)
    for part in ("upper", "work", "root"):
        (base / part).mkdir(parents=True)
    upper = base / "upper"
    listing = files()
    for path in listing:
        target = upper / "src" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)
    (upper / "etc").mkdir(exist_ok=True)
    shutil.copy("/etc/resolv.conf", upper / "etc" / "resolv.conf")
    (upper / "usr" / "sbin").mkdir(parents=True)
    # Packages start no daemons here.
    (upper / "usr" / "sbin" / "policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
    (upper / "usr" / "sbin" / "policy-rc.d").chmod(0o755)

    script = f"""
set -e
mount -t overlay overlay -o lowerdir='{bare}',upperdir='{upper}',workdir='{base}/work' '{base}/root'
mount -t proc proc '{base}/root/proc'
mount --rbind /dev '{base}/root/dev'
exec chroot '{base}/root' env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
"""

    def inside(command, **options):
        return subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", "bash", "-c", command],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)

    problems = []
    try:
        before = inside("dpkg-query -W | wc -l").stdout.strip()
        done = inside("cd /src && scripts/bootstrap --systemd --bench --kernels", timeout=1800)
        sys.stdout.write(done.stdout)
        if done.returncode != 0:
            print(f"error: scripts/bootstrap failed in a bare tree, status {done.returncode}")
            return 1
        again = inside("cd /src && scripts/bootstrap --systemd --bench --kernels")
        if again.returncode != 0 or "all" not in again.stdout:
            problems.append("a second run of scripts/bootstrap is not silent: " + again.stdout[-300:])
        programs = used(listing)
        missing = inside("for p in " + " ".join(sorted(programs)) + '; do command -v "$p" >/dev/null || echo "$p"; done').stdout.split()
        problems += [f"program {word} (used by {programs[word]}) is in no package of scripts/bootstrap" for word in missing]
        wanted = sorted(headers(listing))
        names = " ".join(f"{kind}:{name}" for kind, name in wanted)
        probe = (
            f"for h in {names}; do k=${{h%%:*}}; n=${{h#*:}}; t=; [ $k = bpf ] && t='-target bpf -isystem /usr/include/'$(gcc -print-multiarch); "
            'printf "#include <stddef.h>\\n#include <%s>\\n" "$n" | clang $t -D_GNU_SOURCE -E -x c - >/dev/null 2>&1 || echo "$h"; done')
        problems += [f"header {word} is in no package of scripts/bootstrap" for word in inside(probe).stdout.split()]
        archives = re.findall(r'linkedLibrary\(":([^"]+)"\)', (ROOT / "Package.swift").read_text())
        for name in archives:
            if not inside(f'test -e "$(gcc -print-file-name={name})"').returncode == 0:
                problems.append(f"library {name} is in no package of scripts/bootstrap")
        made = inside("cd /src && rm -rf .build/bpf && scripts/build-bpf | tail -n 1")
        if made.returncode != 0 or "objects built" not in made.stdout:
            problems.append("scripts/build-bpf fails with Debian's clang: " + made.stdout[-500:])
        for problem in problems:
            print(f"error: {problem}")
        print(f"bare: {before} packages before; {len(programs)} programs, {len(wanted)} headers, {len(archives)} libraries looked for, {len(problems)} problems")
        return 1 if problems or len(programs) < 20 or len(wanted) < 10 else 0
    finally:
        shutil.rmtree(base)


if __name__ == "__main__":
    sys.exit(main())
