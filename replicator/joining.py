"""What the primary asks of whoever brings a joining peer in sync.

A peer whose stream stands is *joining* until its join point, then *complete*. Every operation is shipped whole to a
joining peer from the start; so before one is shipped the directories that it names must be listed there, which the
joiner sees to. The primary (``replicator.primary``) knows no more of the copying than this.

What asks the peer by path (VERIFY_LISTING and its like) needs no join: it may come before one, or after it.
"""

from collections.abc import Iterable
from typing import Protocol

from replicator.core.operations import Operation
from replicator.wire.frames import FrameKind


class Joining(Protocol):
    """Brings one peer in sync. All calls are on the loop."""

    def start(self) -> Iterable[None]:
        """Called once, at the quiet moment in which the stream begins: nothing is under way until its end."""
        ...

    def may_ship(self, operation: Operation) -> bool:
        """Called before each operation that is shipped to the peer: the place to count operations by inode.

        False: something has to be listed first. Then nothing more is shipped to anyone, :meth:`prepare` is called at
        the next quiet moment, and ``operation`` is shipped right after it without being asked about again.
        """
        ...

    def prepare(self, operation: Operation) -> Iterable[None]:
        """At a quiet moment, which lasts to its end: sends the listings that ``operation`` needs."""
        ...

    def answered(self, kind: FrameKind, sequence: int, body: memoryview) -> None:
        """A copy answer of the peer (``frames.COPY_ANSWERS`` but DURABLE); the view is valid during the call only.

        Raises:
            PeerProtocolError: it is not one; the peer is dropped.
        """
        ...

    def lost(self) -> None:
        """The stream is gone: nothing more can be sent, nothing more is answered. Called at most once, also when
        the peer is complete."""
        ...


class Asking(Protocol):
    """Asks a peer by path what differs there. All calls are on the loop."""

    def answered(self, sequence: int, body: memoryview) -> None:
        """A VERIFY_ANSWER to the frame ``sequence``; the view is valid during the call only.

        Raises:
            PeerProtocolError: it is none; the peer is dropped.
        """
        ...

    def lost(self) -> None:
        """The stream is gone. Called at most once."""
        ...
