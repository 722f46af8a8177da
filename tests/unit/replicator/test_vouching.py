"""What several disks vouch for together, and that nothing is vouched for by halves."""

import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from manager.model.records import DiskIdentity
from manager.model.replicator_spec import ReplicatorSpec
from replicator.disk.divergence import Divergence, mark_diverged, unmark_diverged
from replicator.disk.identity import NotedIdentity, note_whole, read_identity, write_identity
from replicator.disk.limbo import mark_joining, unmark_joining
from replicator.disk.volume import Volume
from replicator.vouching import Vouching


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[list[Volume]]:
    made = []
    for index in range(2):
        directory = tmp_path / str(index)
        directory.mkdir()
        made.append(Volume.open(str(directory), index))
    yield made
    for volume in made:
        volume.close()


def vouching(volumes: list[Volume], cluster: str = "cluster", module: str = "module", node: str = "a") -> Vouching:
    directories = tuple(volume.path for volume in volumes)
    spec = ReplicatorSpec(
        cluster, "db", module, node, "boot", directories, "", "", 0, 1000, False, False, (), "", ""
    )  # fmt: skip
    return Vouching(volumes, spec)


def test_new_disks_vouch_for_nothing(volumes: list[Volume]) -> None:
    assert vouching(volumes).identity() is None
    assert vouching(volumes).foreign() == ""
    assert vouching(volumes).highest_epoch() == 0


def test_what_is_noted_is_on_every_disk_and_only_rises(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 30)
    assert [read_identity(volume.root_fd) for volume in volumes] == [
        NotedIdentity("cluster", "module", 3, 30, node="a")
    ] * 2
    one.note(4, 20)
    assert one.identity() == DiskIdentity("cluster", "module", 4, 30)
    assert one.highest_epoch() == 4


def test_an_epoch_that_is_only_followed_says_nothing_of_the_copy(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note_promotion(3, 30, "s")
    assert one.identity() == DiskIdentity("cluster", "module", 3, 30, "s", whole_epoch=3)
    one.note(5, 50, "s")
    assert one.identity() == DiskIdentity("cluster", "module", 5, 50, "s", whole_epoch=3)
    note_whole(volumes[0].root_fd, 5)
    assert one.identity() == DiskIdentity("cluster", "module", 5, 50, "s", whole_epoch=3)
    note_whole(volumes[1].root_fd, 5)
    assert one.identity() == DiskIdentity("cluster", "module", 5, 50, "s", whole_epoch=5)
    one.note_promotion(6, 60, "s")
    assert one.identity() == DiskIdentity("cluster", "module", 6, 60, "s", whole_epoch=6)


def test_what_a_join_has_ended_with_is_not_lost_by_what_is_noted_meanwhile(volumes: list[Volume]) -> None:
    """As by an agent that has just adopted this process, and says once more whom to follow."""
    vouching(volumes).note(5, 50)
    asked: list[threading.Thread] = []

    class Spec:
        """Which node it is, told while the other fields of an identity are known, and it is not written yet."""

        cluster_id, module_id = "cluster", "module"

        def __init__(self, last: int = 0) -> None:
            self._last = last

        @property
        def node(self) -> str:
            asked.append(threading.Thread(target=note_whole, args=(volumes[0].root_fd, 5)))
            if len(asked) == self._last:
                asked[-1].start()
                asked[-1].join(0.1)
            return "a"

    Vouching(volumes[1:], cast(ReplicatorSpec, Spec())).note(5, 51)
    times = len(asked)
    asked.clear()
    Vouching(volumes[:1], cast(ReplicatorSpec, Spec(times))).note(5, 51)
    asked[-1].join()
    found = read_identity(volumes[0].root_fd)
    assert found is not None and (found.revision, found.whole_epoch) == (51, 5)


def test_together_they_vouch_for_the_lowest(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 30)
    write_identity(volumes[1].root_fd, NotedIdentity("cluster", "module", 2, 40))
    assert one.identity() == DiskIdentity("cluster", "module", 2, 30)
    assert one.highest_epoch() == 3


def test_one_disk_that_is_being_brought_in_sync_spoils_it_for_all(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 30)
    mark_joining(volumes[1].private_fd)
    assert one.identity() is None
    assert one.highest_epoch() == 3
    unmark_joining(volumes[1].private_fd)
    assert one.identity() is not None


@pytest.mark.parametrize(("cluster", "module"), [("other", "module"), ("cluster", "other")])
def test_a_foreign_disk_vouches_for_nothing_of_ours(volumes: list[Volume], cluster: str, module: str) -> None:
    vouching(volumes).note(9, 90)
    one = vouching(volumes, cluster, module)
    assert one.identity() is None
    assert "other" in one.foreign()
    assert one.highest_epoch() == 0
    one.note(1, 10)
    assert one.foreign() == ""
    assert one.identity() == DiskIdentity(cluster, module, 1, 10)


def test_the_disk_of_another_node_vouches_for_nothing_here(volumes: list[Volume]) -> None:
    """It has taken part in the same epochs, and not in all that was written in them."""
    vouching(volumes, node="b").note_promotion(9, 90, "s")
    one = vouching(volumes)
    assert (one.identity(), one.seen_epoch()) == (None, 0)
    assert "node b" in one.foreign()
    assert vouching(volumes, node="b").foreign() == "", "nothing was changed"


def test_one_disk_of_another_node_among_several_spoils_it_for_all(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 30)
    write_identity(volumes[1].root_fd, NotedIdentity("cluster", "module", 3, 30, node="b"))
    assert one.identity() is None
    assert "node b" in one.foreign()


def test_whose_disk_it_is_is_noted_where_a_former_release_did_not(volumes: list[Volume]) -> None:
    for volume in volumes:
        write_identity(volume.root_fd, NotedIdentity("cluster", "module", 3, 30))
    one = vouching(volumes)
    assert one.identity() == DiskIdentity("cluster", "module", 3, 30)
    one.note(3, 30)
    assert "node a" in vouching(volumes, node="b").foreign()


def test_a_damaged_identity_is_said_to_be_one(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 30)
    (Path(volumes[0].path) / ".mirrorfarm/identity.json").write_bytes(b"\0" * 100)
    assert one.identity() is None
    assert "identity.json" in one.foreign()
    one.note(4, 40)
    assert one.identity() == DiskIdentity("cluster", "module", 4, 40)


def test_a_disk_on_which_something_is_to_be_set_aside_spoils_it_for_all(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 30)
    mark_diverged(volumes[1].private_fd, Divergence(3, 1))
    assert (one.is_diverged(), one.identity(), one.highest_epoch()) == (True, None, 3)
    one.expect_join()
    assert not one.is_joining(), "its copy is whole yet"
    unmark_diverged(volumes[1].private_fd)
    assert one.identity() is not None


def test_what_vouched_for_nothing_does_not_vouch_for_an_epoch_that_is_noted_before_its_join(
    volumes: list[Volume],
) -> None:
    one = vouching(volumes)
    one.expect_join()
    one.note(3, 30)
    assert one.is_joining()
    assert one.identity() is None
    for volume in volumes:
        unmark_joining(volume.private_fd)
    one.expect_join()
    assert one.identity() == DiskIdentity("cluster", "module", 3, 30)


def test_one_new_disk_among_several_is_to_be_joined_first(volumes: list[Volume]) -> None:
    write_identity(volumes[1].root_fd, NotedIdentity("cluster", "module", 3, 30))
    one = vouching(volumes)
    one.expect_join()
    one.note(3, 30)
    assert one.identity() is None


def test_what_one_of_several_disks_has_of_its_own_is_told_and_is_no_whole_copy(volumes: list[Volume]) -> None:
    write_identity(volumes[1].root_fd, NotedIdentity("cluster", "module", 3, 30))
    one = vouching(volumes)
    assert (one.identity(), one.seen_epoch()) == (None, 3)
    for volume in volumes:
        mark_diverged(volume.private_fd, Divergence(3, 1))
    one.expect_join()
    assert (one.is_joining(), one.seen_epoch()) == (True, 0), "it may not be forced in its turn"


def test_which_epoch_a_join_was_of_that_did_not_come_to_its_end_is_told(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    assert one.joining_epoch() is None
    one.expect_join()
    assert one.joining_epoch() == 0
    one.note(3, 30)
    assert (one.joining_epoch(), one.seen_epoch()) == (3, 0)
    for volume in volumes:
        unmark_joining(volume.private_fd)
    assert one.joining_epoch() is None


def test_a_copy_that_diverged_is_whole_only_while_all_its_disks_are_there(volumes: list[Volume]) -> None:
    """Else it could be forced, or named, with one of its directories empty."""
    one = vouching(volumes)
    assert not one.is_whole_but_diverged()
    one.note(3, 30)
    for volume in volumes:
        mark_diverged(volume.private_fd, Divergence(3, 1))
    assert one.is_whole_but_diverged()
    (Path(volumes[0].path) / ".mirrorfarm/identity.json").unlink()
    assert not one.is_whole_but_diverged()
    write_identity(volumes[0].root_fd, NotedIdentity("cluster", "module", 3, 30, node="a"))
    mark_joining(volumes[1].private_fd)
    assert not one.is_whole_but_diverged()


def noted(revision: int, store: str, epoch: int = 3) -> NotedIdentity:
    return NotedIdentity("cluster", "module", epoch, revision, store, node="a")


def stored(revision: int, store: str, epoch: int = 3) -> DiskIdentity:
    return DiskIdentity("cluster", "module", epoch, revision, store)


def test_the_stores_id_stays_until_another_is_told(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 30)
    assert one.identity() == stored(30, "")
    one.note(3, 20, "first")
    assert one.identity() == stored(30, "first"), "it was this store all the time, for all that is known"
    one.note(3, 40)
    assert one.identity() == stored(40, "first")
    one.note_revision(35)
    one.note_revision(45)
    assert one.identity() == stored(45, "first")


def test_revisions_of_another_store_are_not_compared(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 4000, "first")
    one.note(4, 7, "second")
    assert one.identity() == stored(7, "second", epoch=4)
    assert [read_identity(volume.root_fd) for volume in volumes] == [noted(7, "second", epoch=4)] * 2


def test_a_promotion_is_noted_as_it_is(volumes: list[Volume]) -> None:
    one = vouching(volumes)
    one.note(3, 4000, "store")
    one.note_promotion(4, 60, "")
    assert one.identity() == dataclasses.replace(stored(60, "store", epoch=4), whole_epoch=4)


def test_disks_that_were_noted_one_by_one_vouch_for_the_older_store(volumes: list[Volume]) -> None:
    write_identity(volumes[0].root_fd, noted(7, "second", epoch=4))
    write_identity(volumes[1].root_fd, noted(4000, "first"))
    one = vouching(volumes)
    assert one.identity() == stored(7, "first")
    one.note(4, 8, "second")
    assert one.identity() == stored(8, "second", epoch=4)
