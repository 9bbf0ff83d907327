"""load.py SECONDS ADDRESS:PORT...: keeps connections open and opens new ones, one line there and back each, until SIGTERM or
the end of the time. Prints `begun` when all that stay are open, and at the end JSON: how many exchanges worked, and every failure
with its time. Exit status 1 if something failed."""
import asyncio
import json
import signal
import sys
import time

LINE = b"x" * 100 + b"\n"
TIMEOUT = 15
KEPT = 8
begin = time.monotonic()
end = begin + float(sys.argv[1])
result = {"new": 0, "kept": 0, "exchanges": 0, "failures": [], "slowest": 0.0, "stood_still": 0.0}


def failed(kind, target, error):
    result["failures"].append(f"{time.monotonic() - begin:.2f}s {kind} {target}: {type(error).__name__} {error}")


async def exchange(reader, writer):
    writer.write(LINE)
    await writer.drain()
    answer = await asyncio.wait_for(reader.readline(), TIMEOUT)
    if answer != LINE:
        raise ConnectionError(f"answer of {len(answer)} bytes")
    result["exchanges"] += 1


async def connect(target):
    host, port = target.rsplit(":", 1)
    return await asyncio.wait_for(asyncio.open_connection(host, int(port)), TIMEOUT)


async def new(target):
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            reader, writer = await connect(target)
            await exchange(reader, writer)
            writer.close()
            result["new"] += 1
        except (OSError, asyncio.TimeoutError) as error:
            failed("new", target, error)
            await asyncio.sleep(0.05)
        result["slowest"] = max(result["slowest"], round(time.monotonic() - start, 3))
        await asyncio.sleep(0.005)


async def kept(target):
    try:
        reader, writer = await connect(target)
        result["kept"] += 1
        if result["kept"] == KEPT * len(sys.argv[2:]):
            print("begun", flush=True)
        while time.monotonic() < end:
            await exchange(reader, writer)
            await asyncio.sleep(0.05)
        writer.close()
    except (OSError, asyncio.TimeoutError) as error:
        failed("kept", target, error)


async def stand_still():
    """How long this program itself did not run: what failed meanwhile says nothing of the mesh."""
    last = time.monotonic()
    while last < end:
        await asyncio.sleep(0.05)
        now = time.monotonic()
        result["stood_still"] = max(result["stood_still"], round(now - last - 0.05, 2))
        last = now


def finish():
    global end
    end = time.monotonic()


async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, finish)
    tasks = [stand_still()]
    for target in sys.argv[2:]:
        tasks += [kept(target) for _ in range(KEPT)] + [new(target) for _ in range(2)]
    await asyncio.gather(*tasks)


asyncio.run(main())
print(json.dumps(result))
sys.exit(1 if result["failures"] else 0)
