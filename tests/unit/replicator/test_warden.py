"""The warden: fences at the deadline and not before, in order, whatever fails; with a clock of the test's."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from manager.model.replicator_spec import SpecAddress
from replicator.addresses import AddressRemover
from replicator.warden import ADDRESSES_FIRST_SECONDS, Warden

_WITHIN = 5.0
_ADDRESSES = (SpecAddress("192.0.2.1", 24, ""),)


def nothing_there(_wanted: Sequence[SpecAddress]) -> list[str]:
    return []


class Mount:
    """What is aborted, and what stood in the cgroup's file by then."""

    def __init__(self, kill: Path, error: OSError | None = None) -> None:
        self._kill = kill
        self._error = error
        self.killed_before: str | None = None
        self.populated_before: bool | None = None
        """When it was detached."""

    def cut(self) -> None:
        self.killed_before = self._kill.read_text(encoding="ascii")
        if self._error is not None:
            raise self._error

    def abort(self) -> None:
        assert self.killed_before is not None
        self.populated_before = "populated 1" in (self._kill.parent / "cgroup.events").read_text(encoding="ascii")


class Watched:
    """A warden, its clock, and what it reports."""

    def __init__(self, cgroup: Path, remove: Callable[[Sequence[SpecAddress]], list[str]] = nothing_there) -> None:
        self.now = 1000
        self.reports: list[str] = []
        self.reported = threading.Event()
        remover = AddressRemover(_ADDRESSES, remove)
        self.warden = Warden(str(cgroup), remover, self._report, lambda: self.now)

    def _report(self, reason: str) -> None:
        self.reports.append(reason)
        self.reported.set()


@pytest.fixture
def cgroup(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.kill").write_text("", encoding="ascii")
    (tmp_path / "cgroup.events").write_text("populated 0\nfrozen 0\n", encoding="ascii")
    return tmp_path


@pytest.fixture
def watched(cgroup: Path) -> Iterator[Watched]:
    watched = Watched(cgroup)
    watched.warden.start()
    yield watched
    watched.warden.stop()


def test_at_the_deadline_the_application_is_killed_before_the_mounts_are_aborted(
    watched: Watched, cgroup: Path
) -> None:
    mounts = [Mount(cgroup / "cgroup.kill"), Mount(cgroup / "cgroup.kill")]
    watched.warden.guard(1000, mounts)
    assert watched.reported.wait(_WITHIN)
    assert watched.reports == ["the deadline passed"]
    assert watched.warden.fenced
    assert [mount.killed_before for mount in mounts] == ["1", "1"]


def test_nothing_is_plain_before_the_killed_processes_are_gone(watched: Watched, cgroup: Path) -> None:
    """One may be in the middle of a call that opens a file by its name."""
    (cgroup / "cgroup.events").write_text("populated 1\nfrozen 0\n", encoding="ascii")
    mount = Mount(cgroup / "cgroup.kill")
    watched.warden.guard(1000, [mount])
    while mount.killed_before is None:
        time.sleep(0.002)
    (cgroup / "cgroup.events").write_text("populated 0\nfrozen 0\n", encoding="ascii")
    assert watched.reported.wait(_WITHIN)
    assert mount.populated_before is False


def test_who_hangs_in_a_held_write_is_freed_before_his_end_is_waited_for(watched: Watched, cgroup: Path) -> None:
    (cgroup / "cgroup.events").write_text("populated 1\nfrozen 0\n", encoding="ascii")
    mount = Mount(cgroup / "cgroup.kill")
    watched.warden.guard(1000, [mount])
    until = time.monotonic() + _WITHIN
    while mount.killed_before is None and time.monotonic() < until:
        time.sleep(0.002)
    freed = mount.killed_before is not None
    (cgroup / "cgroup.events").write_text("populated 0\nfrozen 0\n", encoding="ascii")
    assert watched.reported.wait(_WITHIN) and freed


def test_what_fails_is_reported_and_the_rest_is_done(watched: Watched, cgroup: Path) -> None:
    (cgroup / "cgroup.kill").unlink()
    (cgroup / "cgroup.kill").mkdir()
    mounts = [Mount(cgroup / "cgroup.events", OSError(5, "broken")), Mount(cgroup / "cgroup.events")]
    watched.warden.guard(1000, mounts)
    assert watched.reported.wait(_WITHIN)
    (report,) = watched.reports
    assert "the deadline passed; kill of" in report and "abort: [Errno 5] broken" in report
    assert mounts[1].killed_before is not None


def test_before_the_deadline_nothing_happens_and_a_renewal_moves_it(watched: Watched, cgroup: Path) -> None:
    mount = Mount(cgroup / "cgroup.kill")
    watched.warden.guard(1001, [mount])
    watched.warden.renew(5000)
    watched.now = 4999
    watched.warden.renew(5000)
    assert not watched.warden.fenced and not watched.warden.is_due()
    watched.now = 5000  # as after a suspension: nobody tells the thread
    assert watched.reported.wait(_WITHIN)
    assert mount.killed_before == "1"


def test_that_the_deadline_has_passed_is_told_before_the_thread_has_its_turn(cgroup: Path) -> None:
    watched = Watched(cgroup)  # its thread is not started
    assert not watched.warden.is_due()
    watched.warden.guard(1001, [])
    assert not watched.warden.is_due()
    watched.now = 1001
    assert watched.warden.is_due() and not watched.warden.fenced
    watched.warden.renew(1002)
    assert not watched.warden.is_due()


def test_fence_sets_the_flag_at_once_and_one_fencing_is_reported_once(watched: Watched) -> None:
    watched.warden.fence("its key is gone")
    assert watched.warden.fenced
    assert watched.reported.wait(_WITHIN)
    watched.warden.renew(0)  # too late, and nothing to guard
    watched.warden.stop()
    assert watched.reports == ["its key is gone"]


def test_a_fence_counts_before_the_thread_has_its_turn(cgroup: Path) -> None:
    watched = Watched(cgroup)  # its thread is not started
    watched.warden.fence("its key is gone")
    assert watched.warden.fenced and watched.warden.is_due()


def test_after_standing_down_no_deadline_is_left(watched: Watched, cgroup: Path) -> None:
    mount = Mount(cgroup / "cgroup.kill")
    watched.warden.guard(2000, [mount])
    watched.warden.stand_down()
    watched.now = 3000
    watched.warden.renew(2500)
    watched.warden.stop()
    assert not watched.warden.fenced and mount.killed_before is None


def test_without_an_application_there_is_nothing_to_kill(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "none")
    watched.warden.start()
    watched.warden.guard(0, [])
    assert watched.reported.wait(_WITHIN)
    watched.warden.stop()
    assert watched.reports == ["the deadline passed"]


def test_the_addresses_are_gone_before_the_application_is_killed(cgroup: Path) -> None:
    found: list[str] = []

    def remove(wanted: Sequence[SpecAddress]) -> list[str]:
        assert tuple(wanted) == _ADDRESSES
        found.append(f"fenced {made.warden.fenced}, killed {(cgroup / 'cgroup.kill').read_text()!r}")
        return ["address 192.0.2.1: refused"]

    made = Watched(cgroup, remove)
    made.warden.start()
    mount = Mount(cgroup / "cgroup.kill")
    made.warden.guard(1000, [mount])
    assert made.reported.wait(_WITHIN)
    made.warden.stop()
    assert found == ["fenced True, killed ''"]
    assert mount.killed_before == "1"
    assert made.reports == ["the deadline passed; address 192.0.2.1: refused"]


def test_a_kernel_that_does_not_answer_for_the_addresses_holds_nothing_up(cgroup: Path) -> None:
    answer = threading.Event()

    def remove(_wanted: Sequence[SpecAddress]) -> list[str]:
        answer.wait(_WITHIN)
        return []

    made = Watched(cgroup, remove)
    made.warden.start()
    began = time.monotonic()
    made.warden.guard(1000, [Mount(cgroup / "cgroup.kill")])
    while not (cgroup / "cgroup.kill").read_text():
        assert time.monotonic() - began < ADDRESSES_FIRST_SECONDS + 0.3, "it waits for the addresses"
        time.sleep(0.002)
    assert made.reported.wait(_WITHIN)
    made.warden.stop()
    answer.set()
    assert made.reports == ["the deadline passed; addresses: the kernel does not answer"]
