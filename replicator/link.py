"""One framed connection to another replicator, over a socket that does not block.

It checks that what comes are frames of this protocol, whole, undamaged and of the agreed epoch, and hands them on in
order; it sends frames without copying their bodies. It knows nothing of sequences, nor of what the frames mean. All
of it runs on the loop in plain callbacks.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from replicator.core.operations import Operation

Parts = bytes | memoryview


class Link:
    """A connection, from the accept or connect to its end.

    ``on_frame(kind, sequence, body)`` gets each frame; the body is valid only during the call. When it raises
    PeerProtocolError the link is lost. ``on_batch()`` comes after all frames that were there have been handed on.
    ``on_lost(reason)`` comes once, never from within a call of the owner, and not after :meth:`close`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        epoch: int,
        on_frame: Callable[[int, int, memoryview], None],
        on_lost: Callable[[str], None],
        on_batch: Callable[[], None] | None = None,
        compression: bool = False,
    ) -> None:
        """Takes over ``sock``, connected. ``epoch`` 0: none is agreed yet (:meth:`agree`)."""
        self.epoch = epoch
        self.unsent_bytes = 0
        """Handed over to send, and not taken by the kernel yet."""
        self.received_at: float = loop.time()
        """When something last came, in the loop's time."""
        self.sent_at: float = loop.time()
        """When something was last sent, in the loop's time."""
        self.closed = False

    def agree(self, epoch: int) -> None:
        """The handshake is done: every frame is of this epoch from now on, and may be large."""

    def send(self, kind: int, sequence: int, *parts: Parts, done: Callable[[], None] | None = None) -> None:
        """Sends a frame whose body is ``parts``, which are not copied.

        ``done`` is called when the parts may be used again: sent, or the link is closed; perhaps before this returns.
        """

    def send_operation(self, sequence: int, operation: Operation, done: Callable[[], None] | None = None) -> None:
        """Sends an operation; a write's data as :meth:`send` does its parts, compressed where that pays."""

    def pause_reading(self) -> None:
        """Takes nothing more from the other end until :meth:`resume_reading`."""

    def resume_reading(self) -> None:
        """Takes frames again."""

    def drain(self) -> None:
        """Hands on all frames that have come until now, those in the kernel's buffer included."""

    def finish(self) -> None:
        """Closes once what is unsent is sent and the other end has closed, or after a second; takes no frames."""

    def close(self) -> None:
        """Closes now. Nothing is called any more, but the ``done`` of what was not sent."""

    def counters(self) -> dict[str, int]:
        """bytes_plain, bytes_wire, frames_sent, frames_compressed … of what was sent."""
        return {}


LINGER_S: Final = 1.0
