"""Which directory is listed next to a joining peer.

First those that the list of what it lacks names, in the list's order: what was renamed is to be missing at its old
place before it is wanted at the new one, so that the peer moves it and need not make it. One below a directory that is
not listed yet has to wait for that one. Then those that listings have brought to light. Where a directory of the list
is not found by its hint the listings of the others are awaited, which tell of what was moved; if none has it, and it is
not known to have been removed, every directory has to be listed.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from replicator.core.dirty import Key
from replicator.disk.locating import Missed, locate
from replicator.disk.volume import Inode, Volume
from replicator.lacking import Lacking
from replicator.reaching import Reach


class Directories:
    """Of one join."""

    def __init__(
        self, volumes: Sequence[Volume], lacking: Lacking, reach: Reach, release: Callable[[int, Inode], None]
    ) -> None:
        self._volumes = volumes
        self._lacking = lacking
        self._reach = reach
        self._release = release
        self._named: deque[Key] = deque(lacking.directories())
        self._blocked: dict[Key, list[Key]] = {}
        """Those of the list that wait for a directory above them."""
        self._missed: deque[Key] = deque()
        self._found: deque[tuple[int, Inode]] = deque()
        """By listings; held."""
        self._stalled = False
        """The next one waits for an answer."""
        self._forced = False
        """What is above is listed first, whatever the order."""

    def add(self, volume: int, inode: Inode) -> None:
        """One that a listing has brought to light; its hold passes over."""
        self._found.append((volume, inode))

    def answered(self) -> None:
        """The peer has answered a listing."""
        self._stalled = False

    def listed(self, key: Key) -> None:
        """A directory is listed now."""
        self._named.extendleft(reversed(self._blocked.pop(key, ())))

    @property
    def are_over(self) -> bool:
        """Whether none is left."""
        return not (self._named or self._blocked or self._missed or self._found)

    def may_go_on(self, settled: bool) -> bool:
        """Whether :meth:`next` has one; ``settled``: all that was listed is answered."""
        if self._named or self._found:
            return settled or not self._stalled
        return settled and not self.are_over

    def next(self, settled: bool) -> tuple[int, Inode] | None:
        """The next one, held; ``None``: none now.

        Raises OSError, DivergenceError; and LookupError for one that is neither where it was, nor removed.
        """
        if settled and not self._named and not self._found:
            self._named.extend(key for keys in self._blocked.values() for key in keys)
            self._blocked.clear()
            self._forced = True
        found = self._next_named(settled)
        if found is not None or (self._stalled and not settled):
            return found
        while self._found:
            index, inode = self._found.pop()
            if not inode.unlinked and not self._lacking.is_listed((index, inode.id)):
                return index, inode
            self._release(index, inode)
        return self._next_missed() if settled and not self._blocked else None

    def _next_named(self, settled: bool) -> tuple[int, Inode] | None:
        lacking = self._lacking
        while self._named:
            key = self._named.popleft()
            if lacking.has_been_listed(key):
                continue
            inode = self._locate(key)
            if isinstance(inode, Missed):
                self._missed.append(key)
                continue
            above = None if self._forced else self._above(key[0], inode)
            if above is None:
                return key[0], inode
            self._release(key[0], inode)
            if lacking.is_doubtful(above) and not settled:
                self._named.appendleft(key)
                self._stalled = True
                return None
            self._blocked.setdefault(above, []).append(key)
        self._forced = False
        return None

    def _next_missed(self) -> tuple[int, Inode] | None:
        """One that listings have shown again. Raises LookupError."""
        while self._missed:
            key = self._missed.popleft()
            inode = self._locate(key)
            if not isinstance(inode, Missed):
                return key[0], inode
            if not inode.removed and not self._lacking.is_gone(key):
                raise LookupError(f"directory {key[1]:x} is not where it was")
        return None

    def _locate(self, key: Key) -> Inode | Missed:
        index, inode = key
        return locate(
            self._volumes[index],
            inode,
            lambda each: self._lacking.place_of((index, each)),
            partial(self._release, index),
        )

    def _above(self, index: int, inode: Inode) -> Key | None:
        """The topmost directory above that is not listed."""
        try:
            unlisted = self._reach.unlisted(self._volumes[index], inode)
        except BaseException:
            self._release(index, inode)
            raise
        return (index, unlisted[0].id) if unlisted else None

    def close(self) -> None:
        """None is listed any more: what is held is released."""
        self._named.clear()
        self._blocked.clear()
        self._missed.clear()
        found, self._found = self._found, deque()
        for index, inode in found:
            self._release(index, inode)
