"""What may be set aside: by what an operator allows, and by what a file system has to keep free."""

import pytest

from replicator.core.aside_room import NoRoom, Room, Space

MUCH = Space(size_bytes=1000_000, free_bytes=900_000, inodes=0, free_inodes=0)


def test_all_asides_together_are_bounded() -> None:
    room = Room(100_000, kept_bytes=40_000)
    room.take(MUCH, 50_000)
    with pytest.raises(NoRoom, match="set_aside allows 100000 bytes") as refused:
        room.take(MUCH, 10_001)
    assert (refused.value.needed_bytes, refused.value.room_bytes) == (10_001, 10_000)
    room.take(MUCH, 10_000)


def test_what_was_refused_is_not_counted() -> None:
    room = Room(100, 0)
    with pytest.raises(NoRoom):
        room.take(MUCH, 101)
    room.take(MUCH, 100)


def test_a_limit_that_was_lowered_leaves_no_room() -> None:
    with pytest.raises(NoRoom) as refused:
        Room(100, 200).take(MUCH, 1)
    assert refused.value.room_bytes == 0


@pytest.mark.parametrize("limit_bytes", [0, -1])
def test_nothing_may_be_kept(limit_bytes: int) -> None:
    with pytest.raises(NoRoom):
        Room(limit_bytes, 0).take(MUCH, 1)


def test_a_twentieth_of_the_file_system_stays_free() -> None:
    room = Room(1 << 40, 0)
    nearly = Space(size_bytes=1000_000, free_bytes=60_000, inodes=0, free_inodes=0)
    room.take(nearly, 10_000)
    with pytest.raises(NoRoom, match="5 %") as refused:
        room.take(nearly, 10_001)
    assert refused.value.room_bytes == 10_000
    with pytest.raises(NoRoom) as refused:
        room.take(Space(1000_000, 40_000, 0, 0), 1)
    assert refused.value.room_bytes == 0


def test_a_twentieth_of_its_inodes_stays_free() -> None:
    room = Room(1 << 40, 0)
    few = Space(size_bytes=1000_000, free_bytes=900_000, inodes=2000, free_inodes=100)
    with pytest.raises(NoRoom, match="inodes"):
        room.take(few, 1)
    room.take(few, 1, new_inode=False)
    room.take(Space(1000_000, 900_000, 2000, 101), 1)
