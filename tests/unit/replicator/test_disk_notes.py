"""What a node's disks note for resyncs stays from role to role, and is believed only where it can be."""

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from manager.model.ids import ROOT_INODE
from replicator.core.dirty import Dirty
from replicator.core.dirty_codec import records
from replicator.core.operations import Unlink
from replicator.core.tracking import Mode, Tracker
from replicator.disk.base import write_base
from replicator.disk.volume import Volume
from replicator.disk_notes import DiskNotes

BASE, LATER = "0123456789abcdef", "f" * 16


class Node:
    """One with two directories, as each of its processes finds it."""

    def __init__(self, path: Path) -> None:
        self.volumes: list[Volume] = []
        for index, name in enumerate(("one", "two")):
            (path / name).mkdir()
            self.volumes.append(Volume.open(str(path / name), index))
        self.warned: list[str] = []

    def notes(self, peers: int = 1) -> DiskNotes:
        return DiskNotes(self.volumes, peers, lambda event, **_: self.warned.append(event))

    def has_list(self) -> bool:
        return "dirty" in os.listdir(self.volumes[0].private_fd)

    def write_list(self, volume: int = 1) -> None:
        dirty = Dirty()
        dirty.add_attributes((volume, 7))
        self.notes().list.create(BASE, records(dirty))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    found = Node(tmp_path)
    yield found
    for volume in found.volumes:
        volume.close()


def in_memory(notes: DiskNotes) -> Tracker:
    """That of a secondary which is in the record."""
    tracker = notes.new_tracker()
    tracker.finish(LATER)
    tracker.finished()
    tracker.to_memory()
    assert tracker.mark(Unlink(0, 9, ROOT_INODE, b"name"))
    return tracker


@pytest.mark.parametrize("barrier", [True, False])
def test_a_base_that_was_about_to_be_noted_is_cleared_with_the_loss_of_memory(
    node: Node, monkeypatch: pytest.MonkeyPatch, barrier: bool
) -> None:
    notes = node.notes()
    notes.write_base(BASE)
    begun, lost = threading.Event(), threading.Event()

    def write_late(private: Sequence[int], made: str, previous: str) -> None:
        begun.set()
        lost.wait(0.1)  # It does not come: the base is cleared after this, whatever else there is to do.
        write_base(private, made, previous)

    def clear() -> None:
        notes.clear_base()
        lost.set()

    monkeypatch.setattr("replicator.disk.base.write_base", write_late)
    noting = threading.Thread(target=notes.advance_base if barrier else notes.write_base, args=(LATER,))
    noting.start()
    assert begun.wait(10)
    node.volumes[0].memory_lost = True
    clearing = threading.Thread(target=clear)
    clearing.start()
    noting.join()
    clearing.join()
    node.volumes[0].memory_lost = False
    assert node.notes().read_bases() == ()


def test_a_primary_takes_up_the_list_and_its_copy_is_of_no_join(node: Node) -> None:
    node.write_list()
    node.notes().write_base(BASE)
    assert node.notes().read_bases() == (BASE,)
    tracker = node.notes().go_alone()
    assert (tracker.mode, tracker.base) == (Mode.DISK, BASE)
    assert tracker.missing().has_attributes((1, 7))
    assert node.has_list() and not node.warned
    assert node.notes().read_bases() == ()


def test_a_list_that_is_of_no_use_is_taken_away(node: Node) -> None:
    node.write_list()
    tracker = node.notes().go_alone(with_list=False)
    assert tracker.mode is Mode.VOID and tracker.missing().everything
    assert not node.has_list() and not node.warned


@pytest.mark.parametrize("why", ["memory lost", "several peers", "foreign directory", "damaged"])
def test_a_list_that_cannot_be_believed_is_taken_away(node: Node, why: str) -> None:
    node.write_list(volume=2 if why == "foreign directory" else 1)
    if why == "memory lost":
        node.volumes[1].memory_lost = True
    if why == "damaged":
        file = os.open("dirty", os.O_WRONLY, dir_fd=node.volumes[0].private_fd)
        os.pwrite(file, b"\xff", 20)
        os.close(file)
    tracker = node.notes(2 if why == "several peers" else 1).go_alone()
    assert tracker.mode is Mode.VOID
    assert tracker.missing().everything
    assert not node.has_list()
    assert node.warned == (["dirty.damaged"] if why == "damaged" else [])


def test_what_a_secondary_has_tracked_is_there_for_the_primary_that_it_becomes(node: Node) -> None:
    notes = node.notes()
    tracker = in_memory(notes)
    notes.keep(tracker)
    assert tracker.mode is Mode.VOID
    taken_up = node.notes().go_alone()
    assert (taken_up.mode, taken_up.base) == (Mode.DISK, LATER)
    assert taken_up.missing().has_name((0, ROOT_INODE))


def test_a_secondary_that_is_not_in_the_record_leaves_nothing(node: Node) -> None:
    notes = node.notes()
    notes.keep(notes.new_tracker())
    assert not node.has_list()


def test_a_role_can_be_left_on_a_disk_that_takes_no_list(node: Node) -> None:
    notes = node.notes()
    tracker = in_memory(notes)
    os.mkdir("dirty.new", dir_fd=node.volumes[0].private_fd)  # in the place of the file that is written first
    notes.keep(tracker)
    assert node.warned == ["dirty.not_kept"]
    assert tracker.mode is Mode.VOID
    assert not node.has_list()


def test_a_copy_that_lost_something_is_of_no_join_after_a_start_of_its_node_either(node: Node) -> None:
    notes = node.notes()
    notes.write_base(BASE)
    assert notes.read_bases() == (BASE,)
    node.volumes[1].memory_lost = True
    assert notes.read_bases() == ()
    with pytest.raises(OSError):
        notes.write_base(LATER)
    node.volumes[1].memory_lost = False
    assert notes.read_bases() == ()


@pytest.mark.parametrize("serves", [True, False])
def test_a_list_from_when_the_directories_had_another_order_is_not_found_again(node: Node, serves: bool) -> None:
    node.write_list(volume=0)
    node.volumes.reverse()
    notes = node.notes()
    assert notes.go_alone().mode is Mode.VOID if serves else notes.read_bases() == ()
    node.volumes.reverse()
    assert not node.has_list()
