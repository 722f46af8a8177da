"""Real replicators: whatever is changed below the mount, on either side, is found by verify."""

import contextlib
import fcntl
import os
import shutil
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from manager.model import control
from tests.support.damages import DAMAGES, fill, repair
from tests.support.replicators import Pair, pair

_FS_IOC_SETFLAGS = 0x40086602
_IMMUTABLE = 0x10  # FS_IMMUTABLE_FL, linux/fs.h


class Below(NamedTuple):
    """A pair, and its directories as they are below the mounts."""

    pair: Pair
    here: Path
    there: Path

    def verify(self, limit: int = 100) -> control.VerifyReport:
        self.pair.a.tell(control.Verify("request", limit))
        report = self.pair.a.wait(control.VerifyReport)
        assert report.request_id == "request"
        assert report.error == ""
        return report


@pytest.fixture
def roots(tmp_path: Path) -> Iterator[list[Path]]:
    """The directories of both nodes, to be reached also when something is mounted over them."""
    with contextlib.ExitStack() as opened:
        places = []
        for name in ("a", "b"):
            directory = tmp_path / name / "data0"
            directory.mkdir(parents=True)
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, descriptor)
            places.append(Path(f"/proc/self/fd/{descriptor}"))
        yield places


@pytest.fixture
def below(tmp_path: Path, roots: list[Path]) -> Iterator[Below]:
    with pair(tmp_path) as two:
        fill(two.a.data)
        yield Below(two, *roots)


@pytest.fixture
def protected(tmp_path: Path, roots: list[Path]) -> Iterator[Below]:
    """The primary's copy has what nobody may change (``chattr +i``), by two names, and no module had seen it before."""
    one, other = roots[0] / "one" / "file", roots[0] / "other" / "file"
    for path in (one, other):
        path.parent.mkdir()
    one.write_bytes(b"protected")
    os.link(one, other)
    paths = [one, other.parent]
    for path in paths:
        _protect(path, _IMMUTABLE)
    try:
        with pair(tmp_path) as two:
            yield Below(two, *roots)
    finally:
        for path in paths:
            _protect(path, 0)


def _protect(path: Path, flags: int) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(file, _FS_IOC_SETFLAGS, struct.pack("=II", flags, 0))
    finally:
        os.close(file)


def test_what_cannot_keep_its_id_on_the_primary_differs_in_nothing(protected: Below) -> None:
    for _ in range(2):
        assert protected.verify().differences == ()


def test_that_it_is_two_files_on_the_other_node_is_found(protected: Below) -> None:
    split = protected.there / "other" / "file"
    before = split.parent.stat()
    split.unlink()
    shutil.copy2(protected.there / "one" / "file", split)
    os.utime(split.parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert {difference.what for difference in protected.verify().differences} == {"link"}


@pytest.mark.parametrize("change", DAMAGES)
def test_a_change_below_the_mount_is_found(below: Below, change: str) -> None:
    report = below.verify()
    assert report.differences == ()
    assert report.differences_total == 0
    assert report.entries == 7
    assert report.bytes_compared >= (3 << 20) + 200_000
    what, make = DAMAGES[change]
    for root in (below.there, below.here):
        make(root)
        found = below.verify()
        assert what in {difference.what for difference in found.differences}, found
        if root is below.there:
            repair(below.pair)
            assert below.verify().differences_total == 0


def test_names_missing_and_extra_are_found_and_the_report_is_bounded(below: Below) -> None:
    (below.there / "dir/inner/other").unlink()
    for number in range(30):
        (below.there / f"extra{number}").touch()
    os.mkdir(below.here / "extra directory")
    report = below.verify(limit=10)
    assert len(report.differences) == 10
    assert report.differences_total >= 32
    whole = below.verify()
    assert {difference.what for difference in whole.differences} >= {"missing", "extra"}
    missing = {difference.path for difference in whole.differences if difference.what == "missing"}
    assert missing == {f"{below.pair.a.data}/dir/inner/other", f"{below.pair.a.data}/extra directory"}


def test_names_that_are_not_utf8_are_told_readably(below: Below) -> None:
    name = os.fsencode(below.there) + b"/\xff\xfe"
    with open(name, "wb"):
        pass
    [difference] = [d for d in below.verify().differences if d.what == "extra"]
    assert difference.path.endswith("\\xff\\xfe")


def test_files_that_are_written_to_meanwhile_do_not_differ(below: Below) -> None:
    with open(below.pair.a.data / "busy", "wb", buffering=0) as file:
        for _ in range(5):
            below.pair.a.tell(control.Verify("request", 100))
            while not any(isinstance(event, control.VerifyReport) for event in below.pair.a.events):
                file.write(os.urandom(3000))
                below.pair.a.collect(0.0)
            report = below.pair.a.wait(control.VerifyReport)
            assert (report.error, report.differences) == ("", ())


def test_it_reads_no_faster_than_its_bandwidth(below: Below) -> None:
    (below.pair.a.data / "more").write_bytes(os.urandom(4 << 20))
    began = time.monotonic()
    below.pair.a.tell(control.Verify("request", bytes_s=1 << 20))
    report = below.pair.a.wait(control.VerifyReport)
    assert (report.error, report.differences_total) == ("", 0) and report.bytes_compared > 4 << 20
    # It goes by pieces of 1 MiB, the first ones are of the burst, and the last one is not made up for.
    assert time.monotonic() - began > 2.5


def test_without_a_secondary_there_is_nothing_to_compare(below: Below) -> None:
    below.pair.b.kill()
    below.pair.a.wait(control.PeerLost)
    below.pair.settle(())
    below.pair.a.tell(control.Verify("request"))
    assert "no complete secondary" in below.pair.a.wait(control.VerifyReport).error
