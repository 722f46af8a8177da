"""Real replicators: a comparison that is cut short goes on where it stopped, and nothing is left out nor done twice."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from manager.model import control
from tests.support.replicators import Pair, pair

SLOWLY = 256 << 10
"""Bytes in a second: it takes far longer than anybody who has been told of its progress, and stops it, may be late."""


class Below(NamedTuple):
    """A pair, and the directory of the secondary as it is below the mount."""

    pair: Pair
    there: Path

    def begin(self, place: str = "", bytes_s: int = 0) -> None:
        self.pair.a.events.clear()
        self.pair.a.tell(control.Verify("request", bytes_s=bytes_s, place=place))

    def report(self) -> control.VerifyReport:
        return self.pair.a.wait(control.VerifyReport)

    def verify(self, place: str = "") -> control.VerifyReport:
        self.begin(place)
        report = self.report()
        assert report.error == ""
        return report

    def begin_slowly(self, place: str = "", beyond: str = "", bytes_s: int = SLOWLY) -> control.VerifyReport | None:
        """One that takes its time, until all before ``beyond`` is compared; its report where it ended before."""
        self.begin(place, bytes_s)

        def is_far(event: object) -> bool:
            match event:
                case control.Progress(bytes_done=done, place=at):
                    return done > 0 and at > f"{self.pair.a.data}:{beyond}"
                case _:
                    return isinstance(event, control.VerifyReport)

        event = self.pair.a.wait(object, is_far)
        return event if isinstance(event, control.VerifyReport) else None

    def cut(self, place: str = "", beyond: str = "", bytes_s: int = SLOWLY) -> control.VerifyReport:
        """One that is stopped when it has come so far."""
        over = self.begin_slowly(place, beyond, bytes_s)
        if over is not None:
            return over
        self.pair.a.tell(control.StopVerify("enough"))
        return self.report()


@pytest.fixture
def below(tmp_path: Path) -> Iterator[Below]:
    with contextlib.ExitStack() as opened:
        for name in ("a", "b"):
            (tmp_path / name / "data0").mkdir(parents=True)
        there = os.open(tmp_path / "b" / "data0", os.O_RDONLY | os.O_DIRECTORY)
        opened.callback(os.close, there)
        two = opened.enter_context(pair(tmp_path))
        for number in range(12):
            directory = two.a.data / f"directory{number:02}" / "inner"
            directory.mkdir(parents=True)
            for name in ("first", "second"):
                (directory / name).write_bytes(os.urandom(100_000))
        (two.a.data / "directory05" / "large").write_bytes(os.urandom(3 << 20))
        yield Below(two, Path(f"/proc/self/fd/{there}"))


def test_the_parts_are_the_whole(below: Below) -> None:
    whole = below.verify()
    assert (whole.differences_total, whole.place) == (0, "")
    parts = [below.cut()]
    while parts[-1].error:
        assert parts[-1].error == "enough" and parts[-1].place
        assert len(parts) < 60, "it does not come to its end"
        parts.append(below.cut(parts[-1].place, bytes_s=SLOWLY if len(parts) < 2 else 1 << 20))
    assert len(parts) > 2
    assert sum(part.entries for part in parts) == whole.entries
    assert sum(part.bytes_compared for part in parts) == whole.bytes_compared
    assert all(part.differences_total == 0 for part in parts)
    assert not any(isinstance(event, control.PeerLost) for event in below.pair.a.events)


def test_what_is_behind_is_not_compared_again_and_what_is_ahead_is_found(below: Below) -> None:
    first = below.cut(beyond="directory01")
    assert first.error == "enough"
    for number in (0, 11):
        inner = below.there / f"directory{number:02}" / "inner"
        mtime_ns = inner.stat().st_mtime_ns
        (inner / "added").touch()
        os.utime(inner, ns=(mtime_ns, mtime_ns))  # else that differs as well, once the primary has told its own
    found = below.verify(first.place)
    assert [Path(each.path).parts[-3] for each in found.differences] == ["directory11"]
    assert below.verify().differences_total == 2


def test_another_one_may_begin_as_soon_as_the_report_is_there(below: Below) -> None:
    for _ in range(5):
        below.begin()
        below.pair.a.tell(control.StopVerify("enough"))
        assert below.report().error in ("", "enough")
    assert below.verify().differences_total == 0
    assert not any(isinstance(event, control.PeerLost) for event in below.pair.a.events)


def test_where_it_is_when_the_peer_is_lost_is_told(below: Below) -> None:
    assert below.begin_slowly(beyond="directory01") is None
    below.pair.b.kill()
    report = below.report()
    assert report.error == "the peer was lost"
    assert f"{below.pair.a.data}:directory01" < report.place < f"{below.pair.a.data}:directory11"
