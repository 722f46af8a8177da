import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.log_files import MAX_TAIL_BYTES, POLL_S, LogFiles, last_error, send_log


def tail(path: Path, lines: int) -> str:
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    asyncio.run(send_log(str(path), lines, send, follow=False))
    return "".join(sent)


@given(st.text("ab\nü", max_size=40), st.integers(1, 6))
def test_the_last_lines_are_those_that_a_plain_split_gives(
    tmp_path_factory: pytest.TempPathFactory, text: str, lines: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "tail.log"
    path.write_text(text)
    assert tail(path, lines) == "".join(text.splitlines(keepends=True)[-lines:])


def test_a_long_file_is_cut_at_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {n:07d}\n" for n in range(200_000)))
    text = tail(path, 100_000)
    assert MAX_TAIL_BYTES - 20 < len(text) <= MAX_TAIL_BYTES
    assert text.startswith("line ")
    assert text.endswith("line 0199999\n")


def test_what_is_no_text_is_sent_with_replacements(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a\xff\xc3\xa9b\xc3")
    assert tail(path, 5).startswith("a�éb")


def test_following_goes_through_growth_truncation_and_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    sent: list[str] = []
    came = asyncio.Event()

    async def send(text: str) -> None:
        sent.append(text)
        came.set()

    async def next_text() -> str:
        await asyncio.wait_for(came.wait(), 20 * POLL_S)
        came.clear()
        return sent[-1]

    async def run() -> None:
        task = asyncio.create_task(send_log(str(path), 10, send, follow=True))
        assert await next_text() == "old\n"
        with path.open("ab") as file:
            file.write("grün\n".encode())
        assert await next_text() == "grün\n"
        os.truncate(path, 0)
        path.write_text("x\n")
        assert await next_text() == "x\n"
        path.rename(tmp_path / "log.1")
        path.write_text("rotated\n")
        assert await next_text() == "rotated\n"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def test_the_newest_run_of_each_script_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    folder.mkdir()
    for age, name in enumerate(("start_prim.2.log", "start_prim.10.log", "stop_prim.1.log", "replicator.log", "x.txt")):
        (folder / name).touch()
        os.utime(folder / name, (age, age))
    found = LogFiles(str(tmp_path)).scripts("db")
    assert {k: os.path.basename(v) for k, v in found.items()} == {
        "start_prim": "start_prim.10.log",
        "stop_prim": "stop_prim.1.log",
    }
    assert LogFiles(str(tmp_path)).scripts("none") == {}


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (
            '{"level": "info", "event": "begun"}\n{"level": "error", "event": "refused", "error": "no room"}\n',
            "no room",
        ),
        ('{"level": "critical", "event": "broken"}\n', "broken"),
        ('{"level": "error", "error": "old"}\n{"level": "info", "event": "ended"}\n', ""),
        ("Traceback\n", ""),
        ('["error"]\n', ""),
        ("", ""),
    ],
)
def test_the_last_error_of_a_log_is_its_last_entry_or_none(tmp_path: Path, log: str, error: str) -> None:
    path = tmp_path / "log"
    path.write_text(log)
    assert last_error(str(path)) == error


def test_a_log_that_is_not_there_has_no_error(tmp_path: Path) -> None:
    assert last_error(str(tmp_path / "none")) == ""
