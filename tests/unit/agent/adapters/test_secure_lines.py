"""One end of a secure connection, at which some read and some send."""

import asyncio
import contextlib
import socket
from pathlib import Path

import uvloop

from agent.adapters.secure_lines import SecureLines
from manager.model.api_channel import APPLICATION
from tests.support.certificates import Cluster, Watched
from tests.unit.agent.adapters.channel_ends import HERE

LONG = b"x" * 1_000_000
LINE = LONG + b"\n"


def test_a_reader_that_gives_up_takes_nothing_of_what_is_sent(tmp_path: Path) -> None:
    """It may be the one that hands a sender's record to the kernel, which has no room for all of it."""
    cluster = Cluster(tmp_path / "pki", "a", "b")

    async def story() -> None:
        with socket.create_server((HERE, 0)) as door:
            one = socket.create_connection(door.getsockname())
            other, _ = door.accept()
        ends = [_end(cluster, "a", one, server=False), _end(cluster, "b", other, server=True)]
        await asyncio.gather(*(end.shake_hands() for end in ends))
        talking, hearing = ends
        sending = asyncio.create_task(talking.send(LINE))
        heard = asyncio.create_task(_slowly(hearing))
        while not sending.done():
            reading = asyncio.create_task(talking.read_line(1))
            await asyncio.sleep(0.001)
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
        assert await heard == LONG
        for end in ends:
            end.close()

    uvloop.run(asyncio.wait_for(story(), 60.0))


def _end(cluster: Cluster, node: str, connection: socket.socket, *, server: bool) -> SecureLines:
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    contexts = Watched(cluster.directory(node), node, APPLICATION).credentials.contexts()
    return SecureLines(connection, contexts, APPLICATION, server=server)


async def _slowly(lines: SecureLines) -> bytes:
    await asyncio.sleep(0.02)
    return await lines.read_line(len(LINE))
