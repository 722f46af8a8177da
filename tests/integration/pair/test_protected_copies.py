"""``chattr +i`` on the secondary's copy only, of what the application changes all the time: the copies become equal."""

import contextlib
import fcntl
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from tests.support.replicators import Pair, pair
from tests.support.writers import Writer

_GET_FLAGS, _SET_FLAGS, _IMMUTABLE = 0x80086601, 0x40086602, 0x10
_NO_LONGER_S = 90.0
"""A join of 600 names beside a writer that never rests: two seconds, or twenty where others want the cores, too. What
breaks each join, breaks it for ever."""


def set_immutable(path: Path, on: bool = True) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        (flags,) = struct.unpack_from("=I", fcntl.ioctl(file, _GET_FLAGS, bytes(8)))
        fcntl.ioctl(file, _SET_FLAGS, struct.pack("=II", flags | _IMMUTABLE if on else flags & ~_IMMUTABLE, 0))
    finally:
        os.close(file)


def let_go(directory: Path) -> None:
    """So that it can be removed after the test, whatever came of that."""
    set_immutable(directory, on=False)
    for path in directory.rglob("*"):
        set_immutable(path, on=False)


@pytest.fixture
def below(tmp_path: Path) -> Iterator[tuple[Pair, Path]]:
    """A pair, and the secondary's directory below its mount."""
    here, there = tmp_path / "a" / "data0", tmp_path / "b" / "data0"
    there.mkdir(parents=True)
    (here / "clean" / "inner").mkdir(parents=True)
    (here / "other").mkdir()
    for name in ("busy", "other"):
        (here / "clean" / name).write_bytes(os.urandom(100_000))
    with contextlib.ExitStack() as opened:
        descriptor = os.open(there, os.O_RDONLY | os.O_DIRECTORY)
        opened.callback(os.close, descriptor)
        opened.callback(let_go, Path(f"/proc/self/fd/{descriptor}"))
        two = opened.enter_context(pair(tmp_path))
        yield two, Path(f"/proc/self/fd/{descriptor}")


def equal(two: Pair) -> None:
    two.a.tell(control.Verify("equal"))
    report = two.a.wait(control.VerifyReport)
    assert (report.error, report.differences) == ("", ())


@pytest.mark.timeout(180)
def test_a_file_that_is_written_all_through_a_tracked_join(below: tuple[Pair, Path]) -> None:
    two, there = below
    with Writer(two.a.data / "clean" / "busy", blocks=24) as writer:
        writer.wait(10)
        two.b.kill()
        two.a.wait(control.PeerLost)
        two.settle(())
        two.b.clear()
        writer.wait(10)
        for number in range(300):  # names come first in a join, single files last
            (two.a.data / "other" / f"new{number}").mkdir()
            (two.a.data / "other" / f"new{number}" / "file").touch()
        set_immutable(there / "clean" / "busy")
        two.b.start()
        two.join(seconds=_NO_LONGER_S)
        writer.wait(10)
    streams = [line for line in two.a.log.read_text().splitlines() if '"peer.connected"' in line]
    assert len(streams) == 2 and '"lacks": "what is tracked"' in streams[1], "no join broke off"
    equal(two)


def test_a_file_that_is_written_while_the_secondary_is_complete(below: tuple[Pair, Path]) -> None:
    two, there = below
    with Writer(two.a.data / "clean" / "busy", blocks=24) as writer:
        writer.wait(10)
        set_immutable(there / "clean" / "busy")
        writer.wait(10)
    equal(two)
    assert not any(isinstance(event, control.PeerLost) for event in two.a.events)


def make(change: str, directory: Path) -> None:
    if change == "create":
        (directory / "new").write_bytes(b"new")
    elif change == "unlink":
        (directory / "busy").unlink()
    elif change == "rename":
        (directory / "busy").rename(directory / "inner" / "moved")
    elif change == "link":
        os.link(directory / "busy", directory / "inner" / "linked")
    elif change == "chmod":
        os.chmod(directory / "busy", 0o600)
    elif change == "xattr":
        os.setxattr(directory / "busy", "user.name", b"value")
    elif change == "truncate":
        os.truncate(directory / "busy", 10)
    else:
        (directory / "busy").rename(directory / "other")


@pytest.mark.parametrize("change", ["create", "unlink", "rename", "link", "chmod", "xattr", "truncate", "replace"])
def test_each_change_of_what_is_protected_there(below: tuple[Pair, Path], change: str) -> None:
    two, there = below
    directory = two.a.data / "clean"
    set_immutable(there / "clean" / "busy")
    set_immutable(there / "clean" / "other")
    set_immutable(there / "clean")
    working = threading.Thread(target=make, args=(change, directory), daemon=True)
    working.start()  # it would wait for the secondary for ever
    working.join(10.0)
    assert not working.is_alive()
    equal(two)
    assert not any(isinstance(event, control.PeerLost) for event in two.a.events)
