"""What the file system hands its changes to: the order of the stream, the peer, then the files below.

The file system (``replicator.fuse``) has checked what can be refused; whoever issues knows whom an operation has to
reach before it may be applied here, and when it is done. Neither knows the other's inside.
"""

from collections.abc import Callable
from typing import Protocol

from replicator.core.operations import Fsync, Operation


class Issuer(Protocol):
    """Takes operations in the order in which they are to happen."""

    @property
    def fsync_carries_time(self) -> bool:
        """Whether an fsync tells its mtime to every node that has to have it; else it is issued before, on its own."""
        ...

    def issue(self, operation: Operation, done: Callable[[int], None]) -> None:
        """Has ``operation`` applied by every holder, then here, and then calls ``done``.

        ``done`` gets what ``Volume.apply`` returned (0 or more) or a negative errno. It is called on the loop, once,
        in the order of issue, perhaps before this returns. The data of a Write is the issuer's until then, and not
        after. When the module must not complete anything any more, it is never called.
        """
        ...

    def fsync(self, operation: Fsync, done: Callable[[int], None]) -> None:
        """Brings the inode, with all that was done before, to the disk of every holder at once; then ``done``.

        0 or a negative errno. Later operations do not wait for it.
        """
        ...

    def forgotten(self, volume: int, inode: int) -> None:
        """The inode is not live here any more: nothing more is issued on it until it is looked up again."""
        ...
