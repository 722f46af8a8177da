"""Whether there is room: the smaller of both nodes, what is under way counted, overwriting allowed on a full disk."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from replicator.core.filesystem import Free
from replicator.disk.volume import Volume
from replicator.fuse.space import (
    LOW_BYTES,
    LOW_INODES,
    RESERVE_BYTES,
    RESERVE_INODES,
    SpaceGuard,
    allocated_bytes,
    guards_of,
)

_MIB = 1 << 20
_ROOMY = Free(1 << 40, 1 << 30)


class Disk:
    """What is measured, and how often."""

    def __init__(self, free: Free) -> None:
        self.free = free
        self.measured = 0

    def measure(self) -> Free:
        self.measured += 1
        return self.free


def nothing_allocated() -> int:
    return 0


def guard_of(free: Free) -> tuple[SpaceGuard, Disk]:
    disk = Disk(free)
    guard = SpaceGuard(disk.measure)
    guard.refresh()
    return guard, disk


def test_while_there_is_plenty_nothing_is_measured() -> None:
    guard, disk = guard_of(_ROOMY)
    assert not any(guard.refuses_write(4096, nothing_allocated) for _ in range(1000))
    assert disk.measured == 1


def test_the_reserve_is_kept() -> None:
    guard, _ = guard_of(Free(RESERVE_BYTES + 8192, 1 << 30))
    assert not guard.refuses_write(8192, nothing_allocated)
    assert guard.refuses_write(8193, nothing_allocated)


def test_what_overwrites_needs_no_room() -> None:
    guard, _ = guard_of(Free(0, 1 << 30))
    assert not guard.refuses_write(4096, lambda: 4096)
    assert guard.refuses_write(4096, lambda: 4095)


def test_what_is_under_way_is_counted_until_it_is_done() -> None:
    guard, _ = guard_of(Free(RESERVE_BYTES + _MIB, 1 << 30))
    assert not guard.refuses_write(_MIB, nothing_allocated)
    guard.started(_MIB)
    assert guard.refuses_write(1, nothing_allocated)
    guard.finished(_MIB)
    assert not guard.refuses_write(_MIB, nothing_allocated)


def test_the_peer_decides_when_it_has_less() -> None:
    guard, _ = guard_of(_ROOMY)
    guard.set_peer_free(0, Free(RESERVE_BYTES + 4096, 1 << 30))
    assert not guard.refuses_write(4096, nothing_allocated)
    guard.started(4096)
    guard.finished(4096)
    assert guard.refuses_write(1, nothing_allocated), "issued since its last report"
    guard.set_peer_free(0, Free(RESERVE_BYTES + 4096, 1 << 30))
    assert not guard.refuses_write(4096, nothing_allocated)
    guard.set_peer_free(0, None)
    assert not guard.refuses_write(LOW_BYTES, nothing_allocated)


def test_volumes_on_one_file_system_have_one_account(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    volumes = [Volume.open(str(tmp_path / name), index) for index, name in enumerate("ab")]
    first, second = guards_of(volumes)
    assert first is second
    for volume in volumes:
        volume.close()


def test_a_volume_with_a_quota_of_its_own_has_an_account_of_its_own() -> None:
    """On one device; the file system shows the quota's size there."""
    rooms = [(7, 1000), (7, 1000), (7, 200)]
    first, second, third = guards_of([cast(Volume, SimpleNamespace(room=r, free=lambda: _ROOMY)) for r in rooms])
    assert first is second and third is not first


def test_of_volumes_that_share_the_peer_decides_by_the_smallest() -> None:
    """On the peer they may be on file systems of their own."""
    guard, _ = guard_of(_ROOMY)
    guard.set_peer_free(0, Free(RESERVE_BYTES + 8192, 1 << 30))
    guard.set_peer_free(1, Free(RESERVE_BYTES + 4096, 1 << 30))
    assert guard.free().bytes == 4096
    guard.started(4096)
    assert guard.refuses_write(1, nothing_allocated), "whichever of them it was issued for"
    guard.finished(4096)
    guard.set_peer_free(0, None)
    assert guard.free().bytes == 4096
    guard.set_peer_free(1, None)
    assert guard.free().bytes == _ROOMY.bytes - RESERVE_BYTES


def test_new_entries_need_an_inode_and_some_room() -> None:
    guard, _ = guard_of(Free(1 << 40, RESERVE_INODES))
    assert guard.refuses_entry()
    guard, _ = guard_of(Free(RESERVE_BYTES, 1 << 30))
    assert guard.refuses_entry()
    guard, disk = guard_of(Free(1 << 40, LOW_INODES))
    assert not guard.refuses_entry()
    disk.free = Free(1 << 40, 0)
    assert guard.refuses_entry(), "it is low, so it is measured"


def test_blocks_that_a_file_has(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        file.write(b"x" * 8192)
        file.truncate(_MIB)
        file.flush()
        os.fsync(file.fileno())
        os.posix_fallocate(file.fileno(), 65536, 8192)
        assert allocated_bytes(file.fileno(), 0, _MIB) == 16384
        assert allocated_bytes(file.fileno(), 4096, 8192) == 4096
        assert allocated_bytes(file.fileno(), 16384, 16384) == 0
        assert allocated_bytes(file.fileno(), 2 * _MIB, 4096) == 0
