"""A loss is told until it is settled, whoever heard of it first."""

import errno

import pytest

from replicator.disk.losses import Losses


class Disk:
    """Tells once of what it lost."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.asked = 0

    def lose(self) -> None:
        self.error = OSError(errno.EIO, "Input/output error")

    def sync(self) -> None:
        self.asked += 1
        error, self.error = self.error, None
        if error is not None:
            raise error


def test_a_disk_that_lost_nothing_is_asked_each_time() -> None:
    disk = Disk()
    losses = Losses(disk.sync)
    losses.check()
    losses.check()
    assert disk.asked == 2


def test_what_was_lost_is_told_again_although_the_disk_does_not() -> None:
    disk = Disk()
    losses = Losses(disk.sync)
    disk.lose()
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            losses.check()
    assert disk.asked == 2


def test_what_is_settled_is_not_told_and_what_comes_after_is() -> None:
    disk = Disk()
    losses = Losses(disk.sync)
    disk.lose()
    losses.settle()
    losses.check()
    disk.lose()
    with pytest.raises(OSError, match="Input/output"):
        losses.check()
    losses.settle()
    losses.check()
