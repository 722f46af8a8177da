"""Wherever power is lost while a role is noted, no disk claims more than it has."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model.control import Follow, Serve
from manager.model.records import DiskIdentity
from manager.model.replicator_spec import ReplicatorSpec
from replicator.asides import Asides
from replicator.core.tracking import Mode
from replicator.disk.divergence import Divergence, is_diverged, mark_diverged
from replicator.disk.identity import NotedIdentity, read_identity, write_identity
from replicator.disk.limbo import is_joining, mark_joining
from replicator.disk.volume import Volume
from replicator.disk_notes import DiskNotes
from replicator.role_notes import RoleNotes
from replicator.vouching import Vouching
from tests.unit.replicator.join_world import HandLoop, HandThreads

BASE = "0123456789abcdef"
MOST_SYNCS = 24


class Node:
    """One with two directories, as a new process finds it."""

    def __init__(self, path: Path) -> None:
        self.volumes = []
        for index, name in enumerate(("one", "two")):
            (path / name).mkdir()
            self.volumes.append(Volume.open(str(path / name), index))
        directories = tuple(volume.path for volume in self.volumes)
        spec = ReplicatorSpec(
            "cluster", "db", "module", "a", "boot", directories, "", "", 0, 1000, False, False, (), "", ""
        )  # fmt: skip
        self.vouching = Vouching(self.volumes, spec)
        self.disk_notes = DiskNotes(self.volumes, 1, lambda event, **_: None)
        loop = HandLoop()
        asides = Asides(
            loop, self.volumes, spec, HandThreads(loop), self.vouching, lambda event: None, lambda reason: None
        )
        self.notes = RoleNotes(self.volumes, self.vouching, self.disk_notes, asides)

    def identified(self, epoch: int = 3) -> "Node":
        for volume in self.volumes:
            write_identity(volume.root_fd, NotedIdentity("cluster", "module", epoch, 30))
        return self

    def epochs(self) -> list[int]:
        found = [read_identity(volume.root_fd) for volume in self.volumes]
        return [0 if identity is None else identity.epoch for identity in found]


class PowerLoss(Exception):
    """In place of what would have come after."""


class Syncs:
    """What is synced is on the disk; power is lost instead of the one after ``left`` of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
        self._left = left
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._sync)

    def _sync(self, file: int) -> None:
        if not self._left:
            raise PowerLoss
        self._left -= 1
        self._fsync(file)


@pytest.fixture(params=range(MOST_SYNCS))
def left(request: pytest.FixtureRequest) -> int:
    """How much of it there is time for."""
    found: int = request.param
    return found


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    for volume in made.volumes:
        volume.close()


def loses_power(node: Node, monkeypatch: pytest.MonkeyPatch, left: int, command: Follow | Serve) -> bool:
    """Whether it did before ``command`` was noted."""
    with monkeypatch.context() as patched:
        Syncs(patched, left)
        try:
            if isinstance(command, Follow):
                node.notes.follow(command)
            else:
                node.notes.serve(command)
        except PowerLoss:
            assert left < MOST_SYNCS - 1, "there is time for all of it in the end"
            return True
    assert left
    return False


def test_a_copy_that_diverged_says_so_before_it_has_the_epoch_of_the_other(
    node: Node, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    node.identified().disk_notes.write_base(BASE)
    lost = loses_power(node, monkeypatch, left, Follow(5, 50, "b", diverged=True))
    if not lost or 5 in node.epochs():
        assert all(is_diverged(volume.private_fd) for volume in node.volumes)
        assert node.disk_notes.read_bases() == ()
        assert node.vouching.identity() is None


def test_disks_that_vouched_for_nothing_do_not_vouch_for_the_epoch_that_they_follow_in(
    node: Node, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    lost = loses_power(node, monkeypatch, left, Follow(5, 50, "b"))
    assert node.vouching.identity() is None
    if not lost or 5 in node.epochs():
        assert all(is_joining(volume.private_fd) for volume in node.volumes)


def test_a_copy_that_diverged_and_is_forced_says_so_until_it_has_the_epoch_of_its_own(
    node: Node, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    node.identified()
    for volume in node.volumes:
        mark_diverged(volume.private_fd, Divergence(3, 1))
    lost = loses_power(node, monkeypatch, left, Serve(6, 60))
    if node.epochs() != [6, 6]:
        assert all(is_diverged(volume.private_fd) for volume in node.volumes)
    if not lost:
        assert node.vouching.identity() == DiskIdentity("cluster", "module", 6, 60, whole_epoch=6)


def test_a_primary_is_of_no_join_any_more(node: Node) -> None:
    node.identified().disk_notes.write_base(BASE)
    assert node.notes.serve(Serve(6, 60)).mode is Mode.VOID
    assert node.disk_notes.read_bases() == ()


@pytest.mark.parametrize(("decided", "mode"), [(False, Mode.DISK), (True, Mode.VOID)])
def test_what_is_tracked_of_a_copy_that_diverged_is_of_no_use(node: Node, decided: bool, mode: Mode) -> None:
    """It is compared as a whole, whatever this node's list says of it."""
    node.identified().disk_notes.list.create(BASE, [])
    assert node.notes.serve(Serve(6, 60, decided=decided)).mode is mode


@pytest.mark.parametrize(("alone", "bases", "revision"), [(True, (), 30), (False, (BASE,), 70)])
def test_who_goes_on_notes_what_the_record_makes_of_it(
    node: Node, alone: bool, bases: tuple[str, ...], revision: int
) -> None:
    node.identified().disk_notes.write_base(BASE)
    node.notes.go_on(70, alone=alone, takes_out=not alone)
    assert node.disk_notes.read_bases() == bases
    assert node.vouching.identity() == DiskIdentity("cluster", "module", 3, revision)


def test_why_a_role_is_refused(node: Node) -> None:
    assert node.notes.why_not_serve(Serve(1, 1), idle=True) == node.notes.why_not_follow(Follow(1, 1, "b")) == ""
    node.identified()
    assert "epoch 3" in node.notes.why_not_serve(Serve(3, 30), idle=True)
    assert "epoch 3" in node.notes.why_not_follow(Follow(2, 30, "b"))
    assert node.notes.why_not_follow(Follow(3, 30, "b")) == ""
    mark_diverged(node.volumes[1].private_fd, Divergence(3, 1))
    assert node.notes.why_not_serve(Serve(4, 40), idle=True) == ""
    assert "not set aside" in node.notes.why_not_serve(Serve(4, 40), idle=False)
    mark_joining(node.volumes[1].private_fd)
    assert "join" in node.notes.why_not_serve(Serve(4, 40), idle=True)
    write_identity(node.volumes[0].root_fd, NotedIdentity("other", "module", 3, 30))
    assert "other" in node.notes.why_not_serve(Serve(4, 40), idle=True)
    assert "other" in node.notes.why_not_follow(Follow(4, 40, "b"))
