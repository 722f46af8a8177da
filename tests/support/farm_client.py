"""Clients of a farm, many at many addresses: connections that stay open and talk, short ones; what each of them saw.

``python -m tests.support.farm_client ADDRESS PORT --network 10.78.0.0/16 --connections 200`` says OPEN once all of
these stand, and goes on until its standard input ends; then it says what it saw, one JSON object a line. Short ones
are begun one after the other, or with ``--rate N`` so many a second, whatever becomes of those before. With
``--lasting S`` those that stay open end after up to S seconds each, and others take their places. The network
must be local to this machine as a whole (``ip route add local NETWORK dev lo``), so that each connection can have an
address of its own; for IPv6 with ``net.ipv6.ip_nonlocal_bind``.
"""

import argparse
import asyncio
import ipaddress
import itertools
import json
import math
import random
import resource
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from tests.support.common_clock import now_ns

TALK_EVERY_S = 0.5
PATIENCE_S = 10.0
"""Without an answer for so long a connection hangs: that is a failure of its own."""
SHORT_EVERY_S = 0.02
STALL_NS = 300_000_000
"""Shorter ones are not told."""
_TOTAL_RETRANS = 100
"""Where it stands in struct tcp_info (linux/tcp.h)."""
OPEN = "all are open"


@dataclass(slots=True)
class Seen:
    """One connection; or, where short ones are begun at a rate, a time in which this program was not run."""

    kind: str
    """``open``, ``short`` or ``stall``."""
    source: str
    node: str = ""
    """Who answered; empty: nobody did."""
    began_ns: int = 0
    """When it was asked for, by the clock of all machines (``tests.support.common_clock``)."""
    answered_ns: int = 0
    """When the first answer was there; 0: never."""
    ended_ns: int = 0
    """When it broke; 0: it did not."""
    how: str = ""
    """What became of it: ``reset``, ``hung``, ``refused``, ``answered by NODE``, which is another one, or what the
    kernel says; empty: nothing went wrong."""
    again: int = 0
    """How often its first segment was sent once more, because nobody answered it."""


class _Broken(ConnectionError):
    """Something else was answered than was to be."""


class Load:
    """All connections."""

    def __init__(
        self,
        address: str,
        port: int,
        sources: Iterator[str],
        *,
        talk_every_s: float = TALK_EVERY_S,
        lasting_s: float = math.inf,
    ) -> None:
        self.seen: list[Seen] = []
        self._talk_every_s = talk_every_s
        self._lasting_s = lasting_s
        self._chance = random.Random(0)
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

    async def steadily(self, rate: float) -> None:
        """Short ones, so many a second; those are waited for that were begun."""
        loop = asyncio.get_running_loop()
        talking: set[asyncio.Task[None]] = set()
        began_s, begun = loop.time(), 0
        awake_ns = now_ns()
        while not self._over.is_set():
            if (since_ns := now_ns()) - awake_ns > STALL_NS:
                self.seen.append(Seen("stall", self._address, began_ns=awake_ns, ended_ns=since_ns))
            awake_ns = since_ns
            due = int((loop.time() - began_s) * rate)
            for _ in range(due - begun):
                task = loop.create_task(self._talk(self._begin("short"), once=True))
                talking.add(task)
                task.add_done_callback(talking.discard)
            begun = due
            await asyncio.sleep(SHORT_EVERY_S)
        await asyncio.gather(*talking)

    def _begin(self, kind: str) -> Seen:
        seen = Seen(kind, next(self._sources), began_ns=now_ns())
        self.seen.append(seen)
        return seen

    async def _talk(self, seen: Seen, *, once: bool) -> None:
        writer = None
        loop = asyncio.get_running_loop()
        end_s = 0.0 if once else loop.time() + self._lasting_s * self._chance.random()
        try:
            async with asyncio.timeout(PATIENCE_S):
                reader, writer = await asyncio.open_connection(self._address, self._port, local_addr=(seen.source, 0))
                told = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                (seen.again,) = struct.unpack_from("=I", told, _TOTAL_RETRANS)
                seen.node = (await reader.readline()).decode().strip()
            if not seen.node:
                raise ConnectionResetError
            seen.answered_ns = now_ns()
            while not self._over.is_set() and (left_s := end_s - loop.time()) > 0:
                await asyncio.sleep(min(self._talk_every_s, left_s))
                writer.write(b"\n")
                async with asyncio.timeout(PATIENCE_S):
                    answer = (await reader.readline()).decode().strip()
                if answer != seen.node:
                    raise _Broken(f"answered by {answer}") if answer else ConnectionResetError
        except TimeoutError:
            seen.how, seen.ended_ns = "hung", now_ns()
        except ConnectionRefusedError:
            seen.how, seen.ended_ns = "refused", now_ns()
            await asyncio.sleep(SHORT_EVERY_S)
        except _Broken as error:
            seen.how, seen.ended_ns = str(error), now_ns()
        except OSError as error:
            seen.how, seen.ended_ns = "reset" if isinstance(error, ConnectionError) else str(error), now_ns()
            await asyncio.sleep(SHORT_EVERY_S)
        finally:
            if writer is not None:
                writer.close()


async def run(load: Load, connections: int, rate: float, talk_every_s: float) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = [loop.create_task(load.keep_open()) for _ in range(connections)]
    tasks.append(loop.create_task(load.steadily(rate) if rate else load.short()))
    while load.open < connections:
        await asyncio.sleep(SHORT_EVERY_S)
    print(OPEN, flush=True)
    await reader.read()
    load.end()
    await asyncio.wait(tasks, timeout=PATIENCE_S + talk_every_s)
    sys.stdout.writelines(json.dumps(asdict(seen)) + "\n" for seen in load.seen)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--network", required=True)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--rate", type=float, default=0.0, help="short ones a second; 0: one after the other")
    parser.add_argument("--talk-every", type=float, default=TALK_EVERY_S, metavar="SECONDS")
    parser.add_argument("--lasting", type=float, default=math.inf, metavar="SECONDS")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    hosts = ipaddress.ip_network(arguments.network).hosts()
    sources = map(str, itertools.islice(hosts, 1, 60_000))
    load = Load(
        arguments.address,
        arguments.port,
        itertools.cycle(sources),
        talk_every_s=arguments.talk_every,
        lasting_s=arguments.lasting,
    )
    asyncio.run(run(load, arguments.connections, arguments.rate, arguments.talk_every))


if __name__ == "__main__":
    main()
