"""What backends do while the callers call. Each fault is a function of the ground: it begins when it is called, and what it returns
ends it. Three of ten backends have it, unless it says otherwise."""
import threading
import time

import world as worlds

BAD = 3


def told(line):
    def begin(ground):
        for backend in ground.backends[:BAD]:
            backend.tell(line)
        return lambda: [backend.tell("ok") for backend in ground.backends[:BAD]]
    return begin


def vanish(ground):
    """The network of one is gone: no packet comes back, not even a RST."""
    link = ground.backends[0].pod.link
    worlds.run("ip", "link", "set", link, "down")
    return lambda: worlds.run("ip", "link", "set", link, "up")


def roll(ground):
    """One after another, as a deployment does: it takes no more connections, answers what it has, is away, comes back."""
    def work():
        for backend in ground.backends:
            backend.tell("leave")
            time.sleep(0.3)
            backend.tell("back")
            time.sleep(0.15)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread.join


FAULTS = {
    "refuse": (told("leave"), "connections are refused"),
    "hang": (told("hang"), "no answer comes"),
    "cut": (told("cut"), "half an answer, then RST"),
    "bursts": (told("burst 300"), "503 for 0.3 s of each second"),
    "slow": (told("slow 400"), "each answer takes 0.4 s"),
    "restarts": (roll, "each of ten in turn closes, is away for 0.3 s, and comes back"),
    "vanish": (vanish, "one is gone without a word"),
}
