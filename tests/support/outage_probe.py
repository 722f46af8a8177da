"""A client that begins a synced write every 20 ms, each on a connection of its own: runs inside the lab's client.

``python -m tests.support.outage_probe ADDRESS NAME FIRST PORT``: prints each call once it has ended, as
``tests.support.client_history`` reads it. None waits for the one before, so that a time without an answer is an outage
of the service and not of its client. It ends when its input is closed.
"""

import asyncio
import json
import select
import sys
from dataclasses import astuple

from tests.support.client_history import Call, Outcome
from tests.support.common_clock import now_ns

EVERY_S = 0.02
_ANSWER_S = 5.0
_CONNECT_S = 0.4
"""The kernel asks again after a second: a new connection finds a moved address sooner."""


async def call(server: tuple[str, int], name: str, number: int) -> None:
    """One, told."""
    begun_ns = now_ns()
    outcome, value, node, run = Outcome.FAILED, 0, "", 0
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(*server), _CONNECT_S)
        outcome = Outcome.UNKNOWN
        try:
            writer.write(f"sync {name} {number}\n".encode())
            words = (await asyncio.wait_for(reader.readline(), _ANSWER_S)).decode().split()
            if words and words[0] == "ok":
                outcome, value, node, run = Outcome.OK, int(words[1]), words[2], int(words[3])
        finally:
            writer.close()
    except (OSError, TimeoutError):
        pass  # The outcome says it.
    print(json.dumps(astuple(Call(number, "sync", begun_ns, now_ns(), outcome, value, node, run))), flush=True)


async def probe(server: tuple[str, int], name: str, number: int) -> None:
    """Until nobody listens any more."""
    loop = asyncio.get_running_loop()
    calls: set[asyncio.Task[None]] = set()
    next_s = loop.time()
    while not select.select([sys.stdin], [], [], 0)[0]:
        number += 1
        one = loop.create_task(call(server, name, number))
        calls.add(one)
        one.add_done_callback(calls.discard)
        next_s = max(next_s + EVERY_S, loop.time() - EVERY_S)
        await asyncio.sleep(next_s - loop.time())
    await asyncio.gather(*calls)


if __name__ == "__main__":
    asyncio.run(probe((sys.argv[1], int(sys.argv[4])), sys.argv[2], int(sys.argv[3])))
