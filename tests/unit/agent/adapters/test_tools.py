"""A program of the system: what it is given, and that nothing of it is left when the call is over."""

import asyncio
import os
from pathlib import Path

import pytest
import uvloop

from agent.adapters import tools
from manager.model.errors import DefiniteFailure, IndefiniteFailure


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_its_input_can_be_opened_by_name(loop: type) -> None:
    given = "a line\n" * 100_000
    with asyncio.Runner(loop_factory=loop) as runner:
        ran = runner.run(tools.run(("sh", "-c", "wc -l < /dev/stdin"), 10, given))
    assert (ran.exit_code, ran.output) == (0, "100000")


def test_what_cannot_be_started_is_told() -> None:
    with pytest.raises(DefiniteFailure, match="no-such-program"):
        asyncio.run(tools.run(("no-such-program",), 1))


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("cancelled", [True, False])
def test_it_has_ended_when_the_call_has(tmp_path: Path, cancelled: bool) -> None:
    file = tmp_path / "pid"

    async def story() -> None:
        call = asyncio.ensure_future(
            tools.run(("sh", "-c", f"echo $$ > {file}; exec sleep 600"), 600 if cancelled else 1)
        )
        while not file.exists() or not file.read_text():
            await asyncio.sleep(0.01)
        if cancelled:
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
        else:
            with pytest.raises(IndefiniteFailure, match="not known"):
                await call
        assert _gone(int(file.read_text()))

    asyncio.run(story())
