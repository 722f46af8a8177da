"""Clients of a farm at addresses of their own, which only ask who answers: once each, or in turn until they are told.

``python -m bench.farm_probe who ADDRESS PORT SOURCE...`` asks from each source once. ``watch`` begins a connection from
the next source every 10 ms, whatever became of those before it, says ``ready``, and goes on until its standard input
ends. Either says what it saw, one JSON object a line. The sources must be local to this machine.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from manager.time_limit import time_limit

EVERY_S = 0.01
PATIENCE_S = 5.0
"""Longer than a node may be missed: a first packet that was lost is sent again after 1 s, and after 3 s."""
_QUESTION = b"GET /who HTTP/1.0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One connection with one question. Moments are of this machine's CLOCK_BOOTTIME."""

    source: str
    node: str
    """Who answered; empty: nobody did."""
    ended_ns: int
    """When the answer was there, or it was given up."""
    how: str = ""
    """What went wrong; empty: nothing."""


def read_attempts(said: str) -> list[Attempt]:
    """What this program said, but for ``ready``."""
    return [Attempt(**json.loads(line)) for line in said.splitlines()]


async def ask(address: str, port: int, source: str) -> Attempt:
    """Ask who answers."""
    writer = None
    node = how = ""
    try:
        async with time_limit(PATIENCE_S):
            reader, writer = await asyncio.open_connection(address, port, local_addr=(source, 0))
            writer.write(_QUESTION)
            answer = (await reader.read()).decode()
        head, _, body = answer.partition("\r\n\r\n")
        if " 200 " in head:
            node = body.strip()
        else:
            how = f"answered {head.partition(chr(13))[0]!r}"
    except TimeoutError:
        how = "not answered"
    except OSError as error:
        how = error.strerror or type(error).__name__
    finally:
        if writer is not None:
            writer.close()
    return Attempt(source, node, time.clock_gettime_ns(time.CLOCK_BOOTTIME), how)


async def who(address: str, port: int, sources: Sequence[str]) -> list[Attempt]:
    """All sources at once."""
    return await asyncio.gather(*(ask(address, port, source) for source in sources))


async def watch(address: str, port: int, sources: Sequence[str]) -> list[Attempt]:
    """Until standard input ends, and what was begun by then has ended."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    over = loop.create_task(reader.read())
    print("ready", flush=True)
    begun = []
    for source in itertools.cycle(sources):
        if over.done():
            break
        begun.append(loop.create_task(ask(address, port, source)))
        await asyncio.sleep(EVERY_S)
    return await asyncio.gather(*begun)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=("who", "watch"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("sources", nargs="+")
    args = parser.parse_args()
    seen = asyncio.run((who if args.verb == "who" else watch)(args.address, args.port, args.sources))
    sys.stdout.writelines(json.dumps(asdict(attempt)) + "\n" for attempt in seen)


if __name__ == "__main__":
    main()
