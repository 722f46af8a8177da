"""When an fsync is done: here, and at every node that completions wait for.

Pure, like ``completions``, on which it leans: a node that is no longer required is no longer waited for, and while
completions are held no fsync completes either (S2).
"""

from collections.abc import Callable
from typing import Any, Final

from replicator.core.completions import Completions


class Sync:
    """One fsync under way."""

    __slots__ = ("done", "result", "waits_for")

    def __init__(self, done: Callable[[int], None], waits_for: set[str]) -> None:
        self.done: Final = done
        self.waits_for: Final = waits_for
        self.result: int | None = None
        """Of this node's disk: 0 or a negative errno; ``None`` while it is under way."""


class Syncs:
    """The fsyncs under way. Each ``finish`` that comes back is to be completed by the caller."""

    def __init__(self, completions: Completions[Any]) -> None:
        self._completions = completions
        self._under_way: dict[Sync, None] = {}

    @property
    def under_way(self) -> int:
        """How many there are."""
        return len(self._under_way)

    def begin(self, done: Callable[[int], None]) -> Sync:
        """A new one: it waits for this node, and for those that are required now."""
        sync = Sync(done, set(self._completions.required))
        self._under_way[sync] = None
        return sync

    def done_here(self, sync: Sync, result: int) -> bool:
        """This node's disk has it, or failed. Whether the fsync is complete."""
        sync.result = result
        return self._finish(sync)

    def done_at(self, sync: Sync, node: str) -> bool:
        """The disk of ``node`` has it. Whether the fsync is complete."""
        sync.waits_for.discard(node)
        return self._finish(sync)

    def changed(self) -> list[Sync]:
        """Who is required has changed: the fsyncs that are complete by that.

        A node that was left out is not waited for again when it comes back, for its new stream has no such fsync: by
        its next join point all that was before is on its disk before it is listed.
        """
        required = self._completions.required
        for sync in self._under_way:
            sync.waits_for.intersection_update(required)
        return [sync for sync in list(self._under_way) if self._finish(sync)]

    def _finish(self, sync: Sync) -> bool:
        completions = self._completions
        if sync.result is None or completions.fenced or completions.held:
            return False
        if not sync.waits_for.isdisjoint(completions.required):
            return False
        return self._under_way.pop(sync, sync) is None
