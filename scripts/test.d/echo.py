"""echo.py PORT [RECORD]: the backend of the tests answers each line with itself, on every address, until it is ended. RECORD: a file
that takes each caller's address and first line, which is what really arrived here."""
import asyncio
import sys

record = open(sys.argv[2], "a", buffering=1) if len(sys.argv) > 2 else None


async def serve(reader, writer):
    first = True
    try:
        while line := await reader.readline():
            if first and record:
                record.write(f"{writer.get_extra_info('peername')[0]} {line[:40]!r}\n")
            first = False
            writer.write(line)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


asyncio.run(main())
