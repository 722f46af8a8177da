"""The secondary's end of the stream: who may send it, and that what comes is applied in order and acknowledged.

It decides which connection is the stream, and answers the primary. How an operation changes files is the Volume's
matter, what is copied the copier's, whom to follow the agent's.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from manager.model.control import Event, Follow, ReplicatorSpec
from replicator.disk.volume import Volume
from replicator.link import Link


class Copier(Protocol):
    """The secondary's part of copying and verifying, for one stream."""

    def on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        """A frame of ``frames.COPYING``, at its place in the stream; it counts as applied when this returns.

        Answers go by the link (``frames.COPY_ANSWERS``), now or later from the loop. The body is valid only during
        the call. OSError and DivergenceError fail the stream, PeerProtocolError loses it.
        """
        ...

    def close(self) -> None:
        """The stream has ended: when this returns nothing is changed or sent any more."""
        ...


class Secondary:
    """Listens for the primary; takes one stream at a time.

    ``events`` gets Following, StreamLost, StreamClosed and Failed. ``make_copier`` makes the copier of a stream that
    has just been welcomed. ``on_refused(address, reason)`` is for the log: once per address and reason.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        volumes: Sequence[Volume],
        spec: ReplicatorSpec,
        instance: str,
        events: Callable[[Event], None],
        make_copier: Callable[[Link], Copier],
        on_refused: Callable[[str, str], None],
    ) -> None:
        """Nothing is opened before :meth:`listen`."""

    def listen(self) -> int:
        """Listens at the spec's address; returns the port. Until :meth:`follow` all are refused. Raises OSError."""
        return 0

    def follow(self, command: Follow) -> None:
        """Takes the stream of ``command.primary`` in exactly this epoch; a stream of another one is ended.

        The epoch is on this node's disk by now (S8). Answered by Following when the stream stands.
        """

    def close_stream(self) -> None:
        """Applies what has come, ends the stream, takes none until :meth:`follow`; then StreamClosed (S3)."""

    def stop_following(self) -> None:
        """As :meth:`close_stream`, without the event: for another role."""

    def close(self) -> None:
        """Ends everything, the listening too."""

    def counters(self) -> dict[str, int]:
        """For control.Status."""
        return {}
