"""How much a full compare will have to examine: found out beside it, slowly, so that the time left can be told early.

A compare finds that itself no sooner than near its end, since it does not list ahead of what it compares. Nothing
relies on the number. It looks at some entries at a time, in a thread, and rests after each time.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Final

from replicator.copy_ports import Background, Loop
from replicator.disk.extent import sizes_below
from replicator.disk.volume import Volume

_AT_ONCE: Final = 128
_REST_S: Final = 0.01


class Estimate:
    """Of what is in some volumes."""

    def __init__(self, loop: Loop, background: Background, volumes: Sequence[Volume]) -> None:
        """Begins with :meth:`start`."""
        self.bytes = 0
        """About so much content; 0: not known."""
        self.entries = 0
        """About so many names; 0: not known."""
        self._loop = loop
        self._background = background
        self._sizes: Iterator[int] = chain.from_iterable(sizes_below(volume.root_fd) for volume in volumes)
        self._counted_bytes = 0
        self._counted_entries = 0
        self._closed = False

    def start(self) -> None:
        """Counts for some seconds, or minutes."""
        if not self._closed:
            self._background.run(partial(_some, self._sizes), self._seen, self._failed)

    def close(self) -> None:
        """It is not wanted any more."""
        self._closed = True
        self._sizes = iter(())  # what it has open is closed as soon as no thread is at it

    def _seen(self, sizes: list[int]) -> None:
        self._counted_bytes += sum(sizes)
        self._counted_entries += len(sizes)
        if len(sizes) < _AT_ONCE:
            self.bytes, self.entries = self._counted_bytes, self._counted_entries
        elif not self._closed:
            self._loop.call_later(_REST_S, self.start)

    def _failed(self, _error: OSError) -> None:
        """Not even the root can be looked at: whoever compares will say so."""


def _some(sizes: Iterator[int]) -> list[int]:
    return list(islice(sizes, _AT_ONCE))
