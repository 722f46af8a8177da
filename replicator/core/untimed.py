"""Inodes whose mtime each node has set by its own clock, and was not told of since. Pure.

So many as are kept; beyond that it may be any inode, and stays so: nobody can tell when the last of them was told.
"""

from collections.abc import Iterator

from replicator.core.dirty import Key


class Untimed:
    """A set of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: set[Key] = set()
        self.is_any = False
        """It may be any inode."""

    def __contains__(self, key: Key) -> bool:
        """Whether the inode is known to be one."""
        return key in self._keys

    def __iter__(self) -> Iterator[Key]:
        """Those that are known."""
        return iter(self._keys)

    def add(self, key: Key) -> None:
        """It was touched."""
        if key not in self._keys and not self.is_any:
            self._keys.add(key)
            if len(self._keys) > self._most:
                self.is_any = True
                self._keys.clear()

    def discard(self, key: Key) -> None:
        """Its mtime was told, or is of no interest any more."""
        self._keys.discard(key)
