"""What a backend's records say."""
import collections
import re

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
NAME = re.compile(r"(?:http://[^/]*)?(/s\d+-(?:\d+|hidden))(?!\w)")


def judge(records):
    """The requests of a backend's log, and what is wrong with them."""
    seen, refused, ids, faults = 0, collections.Counter(), set(), []
    for identifier, target, of, status in records:
        number = int(found.group(1)) if (found := re.search(r"/s(\d+)-", target + of)) else -1
        seen += 1
        if not ID.fullmatch(identifier):
            faults.append((number, f"a request that the proxy did not see: {target!r} of {of!r}, id {identifier!r}"))
        elif identifier in ids:
            faults.append((number, f"two requests of one id: {target!r} of {of!r}"))
        ids.add(identifier)
        if status >= 400:
            refused[status] += 1
        meant, taken = NAME.match(of), NAME.match(target)
        if meant and taken and meant.group(1) != taken.group(1):
            faults.append((number, f"a request grown together with another: {target!r} of {of!r}"))
    return seen, refused, faults
