"""In which order a role is taken: what is on the disk, and what is over, by the time that it counts (S3, S5, S8)."""

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from manager.model.control import Event, Follow, Serve
from manager.model.replicator_spec import ReplicatorSpec
from replicator import roles
from replicator.core.operations import SetXattr
from replicator.disk.volume import Volume
from replicator.fuse import mounting
from replicator.parts import parts_of
from replicator.roles import RefusedCommand, Roles
from replicator.warden import boottime_ns
from tests.unit.replicator.loops import SteppedLoop, stepped_loop
from tests.unit.replicator.primaries import RecordingCopier

EPOCH = 5
FILE = 7
BASE = "0123456789abcdef"
_HOUR_NS = 3600 * 10**9


class Node:
    """One whose disk has taken part in the epoch before, and whose mounts are none."""

    def __init__(self, loop: SteppedLoop, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = loop
        self.volume = Volume.open(str(path))
        spec = ReplicatorSpec(
            "cluster", "db", "module", "b", "boot", (str(path),), "", "", 0, 1000, False, False, (), "", ""
        )  # fmt: skip
        self.events: list[Event] = []
        log = SimpleNamespace(info=_ignore, warning=_ignore, error=_ignore)
        self.parts = parts_of(
            loop, spec, [self.volume], log, self.events.append, lambda volumes, link, background: RecordingCopier(link)
        )
        self.parts.vouching.note(EPOCH - 1, 40)
        self.done: list[str] = []
        self.roles = Roles(self.parts, lambda: None, lambda: self.done.append("noted"))
        self.roles.renew(boottime_ns() + _HOUR_NS)
        self.begun: list[tuple[int, str]] = []
        """When it began to serve: the epoch on the disk, and whom it followed."""
        monkeypatch.setattr(roles, "Serving", lambda *parts: SimpleNamespace(begin=self._begin))
        for name in ("cover", "uncover"):
            monkeypatch.setattr(mounting, name, _ignore)

    def _begin(self, _deadline_ns: int) -> None:
        self.begun.append((self.parts.vouching.highest_epoch(), self.parts.secondary.primary))

    def does(self, work: Coroutine[Any, Any, None]) -> None:
        self._loop.run_until_complete(work)

    def close(self) -> None:
        self.parts.secondary.close()
        self.parts.background.close()
        self.volume.close()


def _ignore(*_told: object, **_values: object) -> None:
    return None


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    with stepped_loop() as loop:
        made = Node(loop, tmp_path, monkeypatch)
        yield made
        made.close()


def test_who_serves_follows_nobody_and_has_noted_the_epoch(node: Node) -> None:
    node.does(node.roles.follow(Follow(EPOCH, 50, "a")))
    assert node.parts.secondary.primary == "a"
    node.does(node.roles.serve(Serve(EPOCH + 1, 60)))
    assert node.begun == [(EPOCH + 1, "")]


def test_who_serves_has_what_it_marked_as_a_secondary(node: Node) -> None:
    """What the former primary may lack, which is to be brought back."""
    node.does(node.roles.follow(Follow(EPOCH, 50, "a")))
    tracker = node.parts.secondary.tracker
    tracker.finish(BASE)
    tracker.finished()
    tracker.to_memory()
    assert tracker.mark(SetXattr(0, FILE, b"user.a", b"1", 0, False))
    node.does(node.roles.serve(Serve(EPOCH + 1, 60)))
    known = node.parts.notes.list.load()
    assert known is not None and known[0] == BASE and known[1].has_attributes((0, FILE))


def test_who_follows_has_noted_the_epoch(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[int] = []
    follow: Callable[..., None] = lambda *told: noted.append(node.parts.vouching.highest_epoch())  # noqa: E731
    monkeypatch.setattr(node.parts.secondary, "follow", follow)
    node.does(node.roles.follow(Follow(EPOCH, 50, "a")))
    assert noted == [EPOCH]


def test_without_a_lease_nobody_serves(node: Node) -> None:
    node.roles.renew(boottime_ns())
    with pytest.raises(RefusedCommand, match="no lease"):
        node.does(node.roles.serve(Serve(EPOCH, 50)))
    assert node.begun == []


def test_a_loss_is_noted_whether_the_role_tells_of_it_or_not(node: Node) -> None:
    """A primary alone does not, as nobody else could stand: it may be killed before somebody can (S8)."""
    alone = SimpleNamespace(disk_failed=lambda reason, memory_lost: node.done.append(f"{reason}, {memory_lost}"))
    node.roles.serving = SimpleNamespace(primary=alone)  # type: ignore[assignment]
    node.roles.disk_failed("it does not answer", memory_lost=False)
    node.roles.disk_failed("it lost something", memory_lost=True)
    assert node.done == ["it does not answer, False", "noted", "it lost something, True"]
