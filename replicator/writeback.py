"""Looks now and then whether the disks took what was written: a failed writeback is told only to who asks (S8).

The kernel remembers such an error of a whole file system for each descriptor of it, and syncfs(2) tells of it. That
writes back what is dirty, which the kernel would do some seconds later; where nothing was changed since the last look
nothing is asked. It knows no roles: what follows is for who is told. A disk that does not answer is told of, too. The
last look is when the process ends: an error that a descriptor was told of is told to none that is opened later.

Not noticed: what was lost since the last look when the process is killed, or its node, or when the disk does not answer
the last one in time; and what lies below and says that it has written what it has not. What others lose on the same
file system is taken for a loss of ours.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from replicator.background import Background

LOOK_EVERY_S: Final = 10.0
"""So long a lost writeback may go unnoticed, beside the 30 s or so that the kernel may take to try it."""
SILENT_AFTER_S: Final = 300.0
"""A healthy disk may have to write all that others have left in memory on its file system."""


class Check(Protocol):
    """What is asked."""

    def check(self) -> None:
        """Brings everything to the disk; blocks. Raises OSError when a writeback failed since the last call."""
        ...

    def close(self) -> None:
        """It is asked nothing more."""
        ...


class Synced(Protocol):
    """A replicated directory, as far as this is concerned."""

    @property
    def path(self) -> str:
        """Its directory."""
        ...

    @property
    def device(self) -> int:
        """Of its file system."""
        ...

    def watch(self) -> Check:
        """What tells of errors from here on. Raises OSError."""
        ...


class Writeback:
    """Watches the disks of one module. All methods are for the loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        volumes: Sequence[Synced],
        background: Background,
        changes: Callable[[], int],
        on_lost: Callable[[str], None],
        on_silent: Callable[[str], None],
    ) -> None:
        """``changes``: a number that differs when something was changed since.

        ``on_lost`` is told of each error, ``on_silent`` once of a disk that does not answer.
        """
        self._loop = loop
        self._volumes = tuple({volume.device: volume for volume in volumes}.values())
        self._background = background
        self._changes = changes
        self._on_lost = on_lost
        self._on_silent = on_silent
        self._watches: dict[str, Check] = {}
        self._looked_at: int | None = None
        """The changes up to which everything is on the disks, or was told of."""
        self._asked_at: float | None = None
        self._told = False
        self._answer: asyncio.Future[None] | None = None
        """For who waits for the answer."""
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Looks from now on. Raises OSError."""
        self._watches = {volume.path: volume.watch() for volume in self._volumes}
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._tick)

    async def look_last(self) -> None:
        """Returns when everything until now is on the disks, or was told of: the next process may not hear of it."""
        while self._asked_at is not None or self._changes() != self._looked_at:
            if self._asked_at is None:
                self._look()
            self._answer = self._loop.create_future()
            await self._answer

    def close(self) -> None:
        """Looks no more."""
        if self._timer is not None:
            self._timer.cancel()
        for watch in self._watches.values():
            watch.close()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(LOOK_EVERY_S, self._tick)
        if self._asked_at is not None:
            silent_s = self._loop.time() - self._asked_at
            if silent_s >= SILENT_AFTER_S and not self._told:
                self._told = True
                self._on_silent(f"the disk has not brought to it what was written for {silent_s:.0f} s")
            return
        if self._changes() != self._looked_at:
            self._look()

    def _look(self) -> None:
        self._looked_at = self._changes()
        self._asked_at = self._loop.time()
        self._background.run(self._sync, self._answered, self._failed)

    def _sync(self) -> list[str]:
        """What failed, in words."""
        failures = []
        for path, watch in self._watches.items():
            try:
                watch.check()
            except OSError as error:
                failures.append(f"{path}: what was written is not on the disk: {error.strerror}")
        return failures

    def _answered(self, failures: list[str]) -> None:
        self._asked_at, self._told = None, False
        if failures:
            self._on_lost("; ".join(failures))
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _failed(self, error: OSError) -> None:
        raise error  # each is caught where it is one disk's
