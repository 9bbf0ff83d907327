#!/usr/bin/env python3
"""Reads what `swift test --xunit-output` wrote.

results.py failed FILE      the failed tests of a file, as patterns for --filter, one a line
results.py sum DIRECTORY    how many passed, failed and were skipped in all files; fails if one failed or was skipped

Of a test that failed among the others and passed twice when it ran alone, DIRECTORY/unsteady has a line.
"""
import pathlib
import re
import sys
import xml.etree.ElementTree as tree


def suites(path):
    return tree.parse(path).getroot().iter("testsuite")


def failed(path):
    names = set()
    for suite in suites(path):
        for case in suite.iter("testcase"):
            if case.find("failure") is not None or case.find("error") is not None:
                names.add(f"{case.get('classname')}/{case.get('name')}")
    return sorted(names)


def main():
    what, place = sys.argv[1], pathlib.Path(sys.argv[2])
    if what == "failed":
        for name in failed(place):
            print("^" + re.escape(name))
        return 0
    total = skipped = failures = 0
    for path in place.glob("*-swift-testing.xml"):
        for suite in suites(path):
            total += int(suite.get("tests", 0))
            skipped += int(suite.get("skipped", 0))
        failures += len(failed(path))
    unsteady = []
    if (place / "unsteady").exists():
        unsteady = (place / "unsteady").read_text().split("\n")[:-1]
    failures -= len(unsteady)
    for name in unsteady:
        print(f"unsteady: {name} failed among the others and passed twice alone")
    print(f"tests: {total - failures - skipped} passed, {failures} failed, {skipped} skipped, {len(unsteady)} unsteady")
    return 0 if total and not skipped and failures <= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
