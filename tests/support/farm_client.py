"""Clients of a farm, many at many addresses: connections that stay open and talk, short ones; what each of them saw.

``python -m tests.support.farm_client ADDRESS PORT --network 10.78.0.0/16 --connections 200`` says OPEN once all of
these stand, and goes on until its standard input ends; then it says what it saw, one JSON object a line. The network
must be local to this machine as a whole (``ip route add local NETWORK dev lo``), so that each connection can have an
address of its own.
"""

import argparse
import asyncio
import ipaddress
import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

TALK_EVERY_S = 0.5
PATIENCE_S = 10.0
"""Without an answer for so long a connection hangs: that is a failure of its own."""
SHORT_EVERY_S = 0.02
OPEN = "all are open"


@dataclass
class Seen:
    """One connection."""

    kind: str
    """``open`` or ``short``."""
    source: str
    node: str = ""
    """Who answered; empty: nobody did."""
    began_ns: int = 0
    """CLOCK_BOOTTIME, when it was asked for."""
    answered_ns: int = 0
    """When the first answer was there; 0: never."""
    ended_ns: int = 0
    """When it broke; 0: it did not."""
    how: str = ""
    """What became of it: ``reset``, ``hung``, ``refused``, another node's answer; empty: nothing went wrong."""


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Load:
    """All connections."""

    def __init__(self, address: str, port: int, sources: Iterator[str]) -> None:
        self.seen: list[Seen] = []
        self._address = address
        self._port = port
        self._sources = sources
        self._over = asyncio.Event()

    @property
    def open(self) -> int:
        """How many connections that stay open have been answered, and are not over."""
        return sum(1 for one in self.seen if one.kind == "open" and one.answered_ns and not one.ended_ns)

    def end(self) -> None:
        """Nothing new is begun."""
        self._over.set()

    async def keep_open(self) -> None:
        """One connection after the other, each for as long as it lasts."""
        while not self._over.is_set():
            await self._talk(self._begin("open"), once=False)

    async def short(self) -> None:
        """Connections of one question each."""
        while not self._over.is_set():
            await asyncio.gather(self._talk(self._begin("short"), once=True), asyncio.sleep(SHORT_EVERY_S))

    def _begin(self, kind: str) -> Seen:
        seen = Seen(kind, next(self._sources), began_ns=now_ns())
        self.seen.append(seen)
        return seen

    async def _talk(self, seen: Seen, *, once: bool) -> None:
        writer = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(self._address, self._port, local_addr=(seen.source, 0))
                seen.node = (await reader.readline()).decode().strip()
            if not seen.node:
                raise ConnectionResetError
            seen.answered_ns = now_ns()
            while not once and not self._over.is_set():
                await asyncio.sleep(TALK_EVERY_S)
                writer.write(b"\n")
                async with asyncio.timeout(PATIENCE_S):
                    answer = (await reader.readline()).decode().strip()
                if answer != seen.node:
                    raise ConnectionResetError(answer)
        except TimeoutError:
            seen.how, seen.ended_ns = "hung", now_ns()
        except ConnectionRefusedError:
            seen.how, seen.ended_ns = "refused", now_ns()
            await asyncio.sleep(SHORT_EVERY_S)
        except OSError as error:
            seen.how, seen.ended_ns = "reset" if isinstance(error, ConnectionError) else str(error), now_ns()
            await asyncio.sleep(SHORT_EVERY_S)
        finally:
            if writer is not None:
                writer.close()


async def run(load: Load, connections: int) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = [loop.create_task(load.keep_open()) for _ in range(connections)]
    tasks.append(loop.create_task(load.short()))
    while load.open < connections:
        await asyncio.sleep(SHORT_EVERY_S)
    print(OPEN, flush=True)
    await reader.read()
    load.end()
    await asyncio.wait(tasks, timeout=PATIENCE_S + TALK_EVERY_S)
    sys.stdout.writelines(json.dumps(asdict(seen)) + "\n" for seen in load.seen)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--network", required=True)
    parser.add_argument("--connections", type=int, default=200)
    arguments = parser.parse_args()
    hosts = ipaddress.ip_network(arguments.network).hosts()
    sources = map(str, itertools.islice(hosts, 1, 60_000))
    load = Load(arguments.address, arguments.port, itertools.cycle(sources))
    asyncio.run(run(load, arguments.connections))


if __name__ == "__main__":
    main()
