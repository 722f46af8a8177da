"""The end of a mount, with nothing mounted, before a primary with a scripted secondary."""

from typing import Any, cast

from manager.model import control
from replicator.fuse.filesystem import FileSystem
from tests.unit.replicator.secondaries import Stage


class Mount:
    """One that can be taken away at once."""

    def unmount(self) -> None:
        """Nothing is there."""

    def close(self) -> None:
        """Nothing is open."""


def test_a_time_that_is_under_way_when_the_mount_is_gone_is_no_failure(stage: Stage) -> None:
    """The kernel's last word is about what it forgets, for which times are shipped; nobody waits for these."""
    stage.settle()
    peer = stage.complete()
    system = FileSystem(stage.volume, stage.primary, stage.background, stage.loop, stage.loop.errors.append)
    system._mount = cast(Any, Mount())
    inode = stage.inode("one")
    system.context.touched.add(inode.id)
    system.context.release(inode, 1)
    stage.until_sent(peer)
    ended: list[OSError | None] = []
    system.unmount(ended.append)
    stage.until(lambda: ended)
    peer.acknowledge()
    stage.until(lambda: stage.primary.completions.idle)
    assert not stage.of(control.Failed)
    assert ended == [None]
