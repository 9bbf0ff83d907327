#!/usr/bin/env python3
"""Commands of the documentation, and who runs them. A block of commands is fenced and named: ```sh NAME. A block without a name,
or with one that scripts/test --systemd does not run, and a subcommand of `martlet` in a table that no test with root runs, is an error: what nobody runs grows wrong.

usage: documents.py (a check of the pages; exit status 1 if it finds something)
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = ["docs/install.md", "docs/operations.md", "docs/names.md"]
NAMED = re.compile(r"^```sh (\S+)\n(.*?)^```$", re.M | re.S)
FENCED = re.compile(r"^```(.*?)\n(.*?)^```$", re.M | re.S)
# Four spaces after an empty line: everything of it up to the next empty line.
INDENTED = re.compile(r"(?:\A|\n)\n((?:    .*\n)+)")
COMMAND = re.compile(r"^\s*(?:sudo )?(martlet|martletd|martlet-control|scripts/\w+|systemctl|journalctl|dpkg|apt|apt-get|install|curl|podman|ip|tc|ss|rm|cp|sh) \S")
TABLED = re.compile(r"^\| `martlet ([^`]*)`((?:, `[^`]*`)*)", re.M)


def pages():
    return {page: (ROOT / page).read_text() for page in PAGES}


def blocks():
    """Commands by the name of their block."""
    found = {}
    for page, text in pages().items():
        for name, body in NAMED.findall(text):
            if name in found:
                raise ValueError(f"{page}: block {name} occurs twice")
            found[name] = body.strip()
    return found


def unnamed(text):
    """Lines with a command that stand in a block without a name."""
    bodies = [body for header, body in FENCED.findall(text) if header.strip() in ("", "sh", "bash", "console")]
    bodies += INDENTED.findall(FENCED.sub("\n", text))
    return [line.strip() for body in bodies for line in body.splitlines() if COMMAND.match(line)]


def tabled(text):
    """Subcommands of martlet that a table explains: the first word, and each kind of `show`."""
    found = set()
    for first, more in TABLED.findall(text):
        for words in [first, *re.findall(r"`([^`]*)`", more)]:
            words = words.replace("\\|", "|").split()
            verb = words[0]
            if verb == "show" and len(words) > 1:
                found.update(f"show {kind}" for kind in words[1].split("|"))
            else:
                found.add(verb)
    return found


def runs():
    """Names of the blocks that the tests on real systemd run, and the subcommands that they or the tests with root run."""
    text = "".join(path.read_text() for path in sorted((ROOT / "scripts" / "test.d").glob("*.py")) if path.name != "documents.py")
    names = set(re.findall(r"\b(?:doc\(|blocks\(\)\[)\"([\w-]+)\"", text))
    shell = "\n".join([text, *(body for name, body in blocks().items() if name in names)])
    words = set(re.findall(r"\bmartlet (show \w+|[a-z][a-z-]*)", shell))
    for path in sorted((ROOT / "Tests" / "RootTests").glob("*.swift")):
        for verb, kind in re.findall(r'(?:martlet\(\s*\[\s*|martlet",\s*|control\((?:mesh,\s*)?\[\s*)"([a-z][a-z-]*)"(?:,\s*"(\w+)")?', path.read_text()):
            words.add(f"{verb} {kind}" if verb == "show" else verb)
    return names, words


def problems():
    found = []
    for page, text in pages().items():
        found += [f"{page}: a command in a block without name: {line}" for line in unnamed(text)]
    names, words = runs()
    found += [f"block {name} is run by no test" for name in sorted(set(blocks()) - names)]
    found += [f"a test runs block {name}, which is in no page" for name in sorted(names - set(blocks()))]
    for page, text in pages().items():
        found += [f"{page}: martlet {word} is run by no test" for word in sorted(tabled(text) - words)]
    return found


def main():
    found = problems()
    for problem in found:
        print(f"error: {problem}")
    print(f"documents: {len(blocks())} blocks, {len(found)} problems")
    return 1 if found or len(blocks()) < 10 else 0


if __name__ == "__main__":
    sys.exit(main())
