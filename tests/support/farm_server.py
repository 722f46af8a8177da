"""The application of the farm in tests: says its node's name to whoever connects, and answers each line with it.

``python -m tests.support.farm_server NAME PORT``; it listens on all addresses, IPv4 and IPv6.
"""

import asyncio
import resource
import sys


async def serve(name: str, port: int) -> None:
    """Until it is ended."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(f"{name}\n".encode())
            while await reader.readline():
                writer.write(f"{name}\n".encode())
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    server = await asyncio.start_server(talk, host=["0.0.0.0", "::"], port=port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
