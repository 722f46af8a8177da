"""A replicator whose address is not there yet: it listens, and is heard there as soon as the address is."""

import asyncio
import subprocess
import sys

import pytest

from replicator.reception import Reception
from replicator.wire.messages import Hello, Refused

LATE_S = 20.0


async def _story(address: str) -> None:
    """In a network of its own."""
    turned_away = asyncio.Event()
    loop = asyncio.get_running_loop()

    def judge(hello: Hello) -> Refused | None:
        raise AssertionError("nobody introduces himself here")

    def on_welcome(*_: object) -> None:
        raise AssertionError("nobody is welcomed here")

    reception = Reception(loop, judge, on_welcome, lambda address, reason: turned_away.set(), compression=False)
    port = reception.listen(address, 0)
    try:
        with pytest.raises(OSError):
            await asyncio.open_connection(address, port)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=LATE_S)
        subprocess.run(["ip", "addr", "add", address, "dev", "lo"], check=True, timeout=LATE_S)
        async with asyncio.timeout(LATE_S):
            _, writer = await asyncio.open_connection(address, port)
            writer.close()
            await turned_away.wait()
    finally:
        reception.close()


@pytest.mark.parametrize("address", ["192.0.2.77", "2001:db8::77"])
def test_an_address_that_comes_later_is_heard(address: str) -> None:
    command = ["unshare", "--net", sys.executable, "-m", __name__, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3 * LATE_S, check=False)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    asyncio.run(_story(sys.argv[1]))
