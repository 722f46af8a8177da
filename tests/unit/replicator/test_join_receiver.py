"""How a join ends at the secondary, and what it takes of a primary."""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from manager.model.errors import PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.disk.identity import NotedIdentity, read_identity, write_identity
from replicator.disk.inodes import DivergenceError
from replicator.disk.limbo import is_joining
from replicator.disk.volume import Volume
from replicator.join_receiver import JoinReceiver
from replicator.wire.copying import (
    Attributes,
    Entry,
    Equalise,
    decode_listed,
    encode_entry,
    encode_equalise,
    encode_listing,
)
from replicator.wire.frames import FrameKind
from tests.unit.replicator.test_stream_tracking import Threads

DIRECTORY = Attributes(ROOT_INODE, 0o40755, 0, 0, 0, 0, 1_000, 1, 0, b"", ())
FILE = Attributes(7, 0o100644, 0, 0, 0, 5, 2_000, 1, 0, b"", ())


class Link:
    """Remembers what is said."""

    epoch = 5

    def __init__(self) -> None:
        self.said: list[tuple[int, int, bytes]] = []

    def send(self, kind: int, sequence: int, *parts: bytes | memoryview) -> None:
        self.said.append((kind, sequence, b"".join(parts)))


_IDENTITY = NotedIdentity(cluster_id="c", module_id="m", epoch=Link.epoch, revision=50, whole_epoch=3)


class Joining:
    """A receiver of one directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.volume = Volume.open(str(path))
        self.threads = Threads()
        self.link = Link()
        self.errors: list[OSError] = []
        """Why a join has come to no end."""
        self.receiver = JoinReceiver([self.volume], self.link, self.threads)

    def again(self) -> None:
        """Another stream."""
        self.receiver.close()
        self.volume.forget_all()
        self.receiver = JoinReceiver([self.volume], self.link, self.threads)

    def list(self, *entries: Entry, tracked: bool = True) -> None:
        encoded = [encode_entry(entry) for entry in entries]
        for body in encode_listing(0, (), DIRECTORY, encoded, tracked):
            self.receiver.on_frame(FrameKind.LISTING, 3, memoryview(body))

    def finish(self, note: Callable[[], None] = lambda: None, joined: Callable[[], None] = lambda: None) -> None:
        self.receiver.finish(4, note, joined, self.errors.append)

    def joins(self) -> bool:
        return is_joining(self.volume.private_fd)


@pytest.fixture
def joining(tmp_path: Path) -> Iterator[Joining]:
    joining = Joining(tmp_path)
    yield joining
    joining.receiver.close()
    joining.volume.close()


def test_the_disk_vouches_for_nothing_from_before_the_first_change_on(joining: Joining) -> None:
    assert not joining.joins()
    joining.receiver.begin()
    assert joining.joins()


def test_a_listing_is_answered_with_what_was_made_anew(joining: Joining) -> None:
    (joining.path / "kept").mkdir()
    joining.list(Entry(b"file", FILE))
    ((kind, sequence, body),) = joining.link.said
    listed = decode_listed(memoryview(body), 1)
    assert (kind, sequence, listed.unfindable, listed.anew) == (FrameKind.LISTED, 3, False, (0,))
    assert os.stat(joining.path / "file").st_size == 5
    assert joining.receiver.highest == 7


def test_the_end_is_on_the_disk_and_noted_before_the_disk_vouches_again(joining: Joining) -> None:
    (joining.path / "gone").write_bytes(b"x")
    joining.list(Entry(b"file", FILE))
    joining.link.said.clear()
    seen: list[tuple[bool, list[str]]] = []

    def note() -> None:
        seen.append((joining.joins(), sorted(os.listdir(joining.path / ".mirrorfarm"))))

    said: list[tuple[bool, int]] = []
    joining.finish(note, lambda: said.append((joining.joins(), len(joining.link.said))))
    assert joining.joins()
    joining.threads.jobs.pop()()
    assert seen == [(True, ["joining"])]
    assert not joining.joins()
    assert said == [(False, 0)], "its agent is told once the disk vouches for it, and before the primary"
    assert joining.link.said == [(FrameKind.DURABLE, 4, b"")]


def test_a_join_whose_disk_cannot_say_so_at_its_end_has_none(joining: Joining) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    joining.receiver.begin()
    joining.finish(joined=fail)
    joining.threads.jobs.pop()()
    assert (joining.link.said, len(joining.errors)) == ([], 1)


def test_a_join_may_end_in_which_nothing_was_listed(joining: Joining) -> None:
    joining.receiver.begin()
    joining.finish()
    joining.threads.jobs.pop()()
    assert joining.link.said == [(FrameKind.DURABLE, 4, b"")]
    assert not joining.joins()


def test_an_end_that_cannot_be_noted_is_none(joining: Joining) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    joining.receiver.begin()
    joining.finish(fail)
    joining.threads.jobs.pop()()
    assert (joining.link.said, len(joining.errors)) == ([], 1)
    assert joining.joins()


def test_an_end_that_is_not_on_the_disk_is_none(joining: Joining, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    noted: list[None] = []
    joining.receiver.begin()
    monkeypatch.setattr(joining.volume.losses, "check", fail)
    joining.finish(lambda: noted.append(None))
    joining.threads.jobs.pop()()
    assert (joining.link.said, len(joining.errors), noted) == ([], 1, [])
    assert joining.joins() and joining.volume.memory_lost


def test_an_end_on_a_disk_whose_identity_is_damaged_is_none(joining: Joining) -> None:
    joining.receiver.begin()
    (joining.path / ".mirrorfarm" / "identity.json").write_text("{")
    joining.finish()
    joining.threads.jobs.pop()()
    assert joining.link.said == []
    assert "identity.json" in str(joining.errors[0])
    assert joining.joins()


def test_an_end_is_not_noted_when_the_stream_is_over(joining: Joining) -> None:
    noted: list[None] = []
    joining.receiver.begin()
    joining.finish(lambda: noted.append(None))
    job = joining.threads.jobs.pop()
    joining.receiver.close()
    job()
    assert noted == []
    assert (joining.link.said, joining.errors) == ([], [])
    assert joining.joins()


def test_what_a_join_ends_with_is_of_its_own_epoch_though_another_one_is_noted_meanwhile(joining: Joining) -> None:
    """This node is told whom to follow next before the stream that it has is ended for that."""
    write_identity(joining.volume.root_fd, _IDENTITY)
    joining.receiver.begin()
    note = partial(write_identity, joining.volume.root_fd, replace(_IDENTITY, epoch=6))
    joining.finish(note)
    joining.threads.jobs.pop()()
    assert read_identity(joining.volume.root_fd) == replace(_IDENTITY, epoch=6, whole_epoch=5)


@pytest.mark.parametrize("kind", [FrameKind.LISTING, FrameKind.EQUALISE, FrameKind.FINISH])
def test_a_join_does_not_go_on_after_its_end(joining: Joining, kind: FrameKind) -> None:
    joining.receiver.begin()
    joining.finish()
    actions: dict[FrameKind, Callable[[], None]] = {
        FrameKind.LISTING: joining.list,
        FrameKind.EQUALISE: lambda: joining.receiver.on_frame(kind, 5, memoryview(_equalise(DIRECTORY))),
        FrameKind.FINISH: joining.finish,
    }
    with pytest.raises(PeerProtocolError):
        actions[kind]()


def test_a_join_in_which_something_was_not_found_has_no_end(joining: Joining) -> None:
    several = Attributes(7, 0o100644, 0, 0, 0, 5, 2_000, 2, 0, b"", ())
    joining.list(Entry(b"file", several))
    assert decode_listed(memoryview(joining.link.said[0][2]), 1).unfindable
    with pytest.raises(PeerProtocolError):
        joining.finish()
    joining.again()
    joining.list(Entry(b"file", several), tracked=False)
    joining.finish()
    assert (joining.path / "file").exists()


def test_attributes_are_made_equal(joining: Joining) -> None:
    wish = Attributes(ROOT_INODE, 0o40700, 3, 4, 0, 0, 5_000_000_000, 1, 0, b"", ((b"user.one", b"1"),))
    joining.receiver.on_frame(FrameKind.EQUALISE, 3, memoryview(_equalise(wish)))
    status = os.stat(joining.path)
    assert (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns) == (0o40700, 3, 4, 5_000_000_000)
    assert os.getxattr(joining.path, "user.one") == b"1"
    assert joining.joins()


def test_attributes_of_what_is_not_bound_are_not_made_equal(joining: Joining) -> None:
    with pytest.raises(OSError, match="not live"):
        joining.receiver.on_frame(FrameKind.EQUALISE, 3, memoryview(_equalise(FILE)))


def test_an_inode_is_not_made_another_sort_of_inode(joining: Joining) -> None:
    wish = Attributes(ROOT_INODE, 0o100644, 0, 0, 0, 0, 1, 1, 0, b"", ())
    with pytest.raises(DivergenceError):
        joining.receiver.on_frame(FrameKind.EQUALISE, 3, memoryview(_equalise(wish)))


def _equalise(wish: Attributes) -> bytes:
    return encode_equalise(Equalise(0, wish))
