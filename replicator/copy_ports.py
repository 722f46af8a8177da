"""What joining and verifying need of others: the loop, threads, the primary, its peer, the file systems.

Protocols only, so that tests can turn each of them by hand.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from replicator.core.operations import Operation
from replicator.disk.volume import Inode
from replicator.wire.frames import FrameKind

_T = TypeVar("_T")


class Loop(Protocol):
    """What of an event loop is used."""

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> Any:
        """Calls it after so many seconds."""
        ...

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> Any:
        """Calls it in the next round."""
        ...

    def time(self) -> float:
        """Seconds, of a clock that only goes forward."""
        ...


class Background(Protocol):
    """Runs what may block beside the loop."""

    def run(self, work: Callable[[], _T], done: Callable[[_T], None], failed: Callable[[OSError], None]) -> None:
        """Calls ``work`` in a thread, then on the loop ``done`` with its result or ``failed`` with its OSError."""
        ...


class Stream(Protocol):
    """The peer."""

    node: str

    @property
    def unsent_bytes(self) -> int:
        """What waits for room in the socket."""
        ...

    def send(self, kind: FrameKind, *parts: bytes | memoryview, acknowledged: Callable[[], None] | None = None) -> int:
        """Sends a frame in the stream's order; returns its sequence."""
        ...

    def ship_to(self, operation: Operation, acknowledged: Callable[[], None] | None = None) -> int:
        """Sends an operation to this peer alone; returns its sequence."""
        ...

    def together(self) -> AbstractContextManager[None]:
        """Within it what is sent is gathered, and given to the kernel at its end."""
        ...

    def introduce(self, volume: int, inode: int) -> None:
        """Has the inode bound."""
        ...

    def is_introduced(self, volume: int, inode: int) -> bool:
        """Whether it is bound."""
        ...

    def drop(self, reason: str) -> None:
        """Closes the stream."""
        ...


class Order(Protocol):
    """The primary."""

    def when_quiet(self, callback: Callable[[], Iterator[None] | None]) -> None:
        """Calls ``callback`` when nothing is issued and not yet applied here; if it iterates, that lasts to its end."""
        ...

    def underway_on(self, volume: int, inode: int) -> list[Operation]:
        """What was issued on the inode, or is the very next to be shipped, and is not applied here yet."""
        ...


class Host(Protocol):
    """The file systems in front of the volumes."""

    def release(self, volume: int, inode: Inode) -> None:
        """Ends a hold on an inode; tells the peers when it is not live any more for it."""
        ...

    def is_touched(self, volume: int, inode: int) -> bool:
        """Whether the inode's mtime is not shipped yet."""
        ...
