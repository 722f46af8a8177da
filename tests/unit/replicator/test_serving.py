"""What a primary's role has guarded from when on, with file systems of the test's that are mounted nowhere."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from manager.model.replicator_spec import ReplicatorSpec
from replicator.background import Background
from replicator.core.operations import SetXattr
from replicator.core.tracking import Mode, Tracker
from replicator.dirty_keeper import DirtyKeeper
from replicator.disk.dirty_list import DirtyList
from replicator.disk.live_names import LiveNames
from replicator.disk.volume import Volume
from replicator.fuse.filesystem import FileSystem, MountLost
from replicator.peers import PrimarySettings
from replicator.serving import Serving
from tests.unit.replicator.loops import SteppedLoop, stepped_loop

_WITHIN = 5.0
FILE = 7
BASE = "0123456789abcdef"


class Mount:
    """Takes as long to be mounted as the test says."""

    def __init__(self, waits_for: threading.Event | None = None) -> None:
        self.is_cut = threading.Event()
        self.saw_it = False
        """What it has waited for while it was mounted."""
        self._waits_for = waits_for

    def mount(self) -> None:
        if self._waits_for is not None:
            self.saw_it = self._waits_for.wait(_WITHIN)

    def cut(self) -> None:
        self.is_cut.set()

    def abort(self) -> None:
        """It is nowhere."""

    def unmount(self, done: Callable[[OSError | None], None]) -> None:
        done(None)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with stepped_loop() as loop:
        volume, background = Volume.open(str(tmp_path)), Background(loop)
        spec = ReplicatorSpec(
            "cluster", "db", "module", "a", "boot", (str(tmp_path),), "", "", 0, 1000, False, False, (), "", ""
        )  # fmt: skip
        keeper = DirtyKeeper(
            loop, Tracker(LiveNames([volume])), DirtyList(volume.private_fd), _ignore, _ignore, background, _ignore,
            tracks=True,
        )  # fmt: skip
        settings = PrimarySettings("cluster", "module", "a", "boot", "instance", 5, 1000, False)
        made = Serving(loop, [volume], spec, settings, _ignore, _ignore, background, _ignore, _ignore, keeper)
        yield made
        made.warden.stop()
        made.primary.close()
        if made._timer is not None:
            made._timer.cancel()
        background.close()
        volume.close()


def _ignore(*_told: object, **_values: object) -> None:
    return None


def test_what_is_mounted_is_guarded_while_the_next_one_is_being_mounted(serving: Serving) -> None:
    """Its mounting may take until the deadline."""
    first = Mount()
    second = Mount(first.is_cut)
    serving.file_systems[:] = [cast(FileSystem, first), cast(FileSystem, second)]
    serving.begin(deadline_ns=0)
    assert second.saw_it


def test_a_mount_that_is_gone_ends_the_application_without_an_agent(serving: Serving) -> None:
    serving._report(MountLost("somebody has unmounted it"))
    assert serving.warden.fenced


def test_what_is_tracked_is_on_the_disk_when_the_role_has_ended(serving: Serving) -> None:
    """Whatever this node is next, it knows what the other one may lack."""
    keeper, loop = serving.primary.keeper, cast(SteppedLoop, serving._loop)
    keeper.join_point(BASE)
    keeper.joined()
    keeper.listed()
    loop.until(lambda: keeper.tracker.mode is Mode.MEMORY)
    keeper.mark(SetXattr(0, FILE, b"user.a", b"1", 0, False))
    serving.file_systems[:] = [cast(FileSystem, Mount())]
    loop.run_until_complete(serving.end())
    known = DirtyList(serving.primary.volumes[0].private_fd).load()
    assert known is not None and known[0] == BASE and known[1].has_attributes((0, FILE))
