"""The note of this node's promises, on a real disk."""

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.core.promise_note import PromiseNote, succeed
from agent.runtime.promise_file import PromiseFile
from manager.model.errors import DefiniteFailure

NOTE = PromiseNote("boot", 8_000_000_000, 48_000_000_000, 99_000_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "promise.json"


def test_what_is_noted_is_read_again(path: Path) -> None:
    assert PromiseFile(str(path)).read() is None
    PromiseFile(str(path)).write(NOTE)
    assert PromiseFile(str(path)).read() == NOTE


def test_what_stands_there_is_not_written_again(path: Path) -> None:
    """So an agent that begins anew needs no room for it."""
    file = PromiseFile(str(path))
    file.write(NOTE)
    before = path.stat()
    file.write(NOTE)
    assert (before.st_ino, before.st_mtime_ns) == (path.stat().st_ino, path.stat().st_mtime_ns)


@pytest.mark.parametrize("stands", [False, True])
def test_it_is_on_the_disk_whoever_wrote_it(path: Path, stands: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent that wrote what stands there may have been killed before it was: no power loss may bring back less."""
    if stands:
        PromiseFile(str(path)).write(NOTE)
    synced: list[int] = []
    sync = os.fsync

    def seen(descriptor: int) -> None:
        sync(descriptor)
        synced.append(os.fstat(descriptor).st_ino)

    monkeypatch.setattr(os, "fsync", seen)
    PromiseFile(str(path)).write(NOTE)
    assert synced == [path.stat().st_ino, path.parent.stat().st_ino], "the note, then its name"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"boot_id": 1}'])
def test_what_is_not_understood_counts_as_the_longest_promise(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with capture_logs() as logs:
        former = PromiseFile(str(path)).read()
    assert succeed(former, "boot", 8, 7).former_until_ns > 299_000_000_000
    assert [log["event"] for log in logs] == ["promise.unreadable"], "who wonders why it waits is told"


def test_what_cannot_be_written_is_said_and_leaves_what_was_there(path: Path) -> None:
    PromiseFile(str(path)).write(NOTE)
    os.mkdir(f"{path}.new")
    with pytest.raises(DefiniteFailure, match=r"promise\.json"):
        PromiseFile(str(path)).write(PromiseNote("boot", 1))
    assert PromiseFile(str(path)).read() == NOTE
