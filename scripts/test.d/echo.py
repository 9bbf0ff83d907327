"""The backend of the tests: answers each line with itself, on every address, until it is ended."""
import asyncio
import sys


async def serve(reader, writer):
    try:
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


asyncio.run(main())
