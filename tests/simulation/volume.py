"""One node's copy of the data: a page cache above a disk. What was not synced may be lost with the power."""

import random
from collections.abc import Callable, Iterable, Mapping

from manager.model.records import DiskIdentity

BLOCKS = 6
Content = dict[int, int]
"""Block to the number of the write that it holds; 0: none yet."""
Dirt = tuple[str, list[bytes]] | None


class Copy:
    """A node's directories."""

    device = 1
    """Of their file system: one for all."""

    def __init__(self, owner: str = "") -> None:
        """Empty, and without an identity; ``owner``: the node that it is of."""
        self.owner = owner
        self.cache: Content = dict.fromkeys(range(BLOCKS), 0)
        self.disk: Content = dict(self.cache)
        self.identity: DiskIdentity | None = None
        """Always synced."""
        self.joining = False
        """It is being brought in sync: it vouches for nothing. Synced before the first change."""
        self.bases: tuple[str, ...] = ()
        """The bases of the last join that it came through, and of the one before. Always synced."""
        self.dirty: Dirt = None
        """The list of what the other node may lack: its base, and its records. Always synced."""
        self._kept: tuple[bool, list[Content]] = (False, [])
        self._image: tuple[Content, DiskIdentity | None, bool, tuple[str, ...], Dirt] | None = None
        self.diverged = False
        """An operator has had another copy go on: its own is to be set aside, it vouches for nothing. Always synced."""
        self.asides: list[Content] = []
        """What was set aside, each time. Always synced."""
        self.saved: list[Content] = []
        """What an operator has saved of it elsewhere, before he had it made equal to another one."""
        self.on_loss: Callable[[], None] = lambda: None
        """Told when its memory, or the disk, was lost."""
        self.full = False
        """Nothing more can be written to it."""
        self.memories = 0
        """How often what was not synced was lost."""

    def vouches(self) -> DiskIdentity | None:
        """What a replicator's Hello says of it."""
        return None if self.joining or self.diverged else self.identity

    def sync(self) -> None:
        """All is on the disk."""
        self.disk = dict(self.cache)

    def syncfs(self) -> None:
        """As :meth:`sync`, for the replicator's barriers."""
        self.sync()

    def lose_memory(self, chance: random.Random | None) -> None:
        """Each block that was not synced is there, or is not, by itself; without ``chance`` all are lost."""
        for block, value in self.disk.items():
            if self.cache[block] != value and chance is not None and chance.random() < 0.5:
                self.disk[block] = self.cache[block]
        self.cache = dict(self.disk)
        self.memories += 1
        self.on_loss()

    def take_image(self) -> None:
        """An image of the disk, as it is at this moment without what is in memory."""
        self._image = (dict(self.disk), self.identity, self.joining, self.bases, self.dirty)
        self._kept = (self.diverged, list(self.asides))

    @property
    def image_epoch(self) -> int:
        """The epoch that its last image has seen; 0: none, or there is none."""
        identity = None if self._image is None else self._image[1]
        return 0 if identity is None else identity.epoch

    def put_back(self) -> None:
        """What the disk was when the last image of it was taken."""
        if self._image is None:
            raise ValueError("no image was taken")
        disk, self.identity, self.joining, self.bases, self.dirty = self._image
        self.diverged, self.asides = self._kept
        self.disk, self.cache = dict(disk), dict(disk)
        self.memories += 1
        self.on_loss()

    def replace(self) -> None:
        """Another disk, an empty one, is there instead."""
        fresh = Copy()
        self.cache, self.disk, self.identity, self.joining = fresh.cache, fresh.disk, None, False
        self.bases, self.dirty, self.diverged, self.asides = (), None, False, []
        self.memories += 1
        self.on_loss()

    def forget(self) -> None:
        """``.mirrorfarm`` is removed from it, once an operator has saved what it has: its data stays, of nobody."""
        self.saved += [*self.asides, dict(self.cache)]
        self.identity, self.joining, self.diverged = None, False, False
        self.bases, self.dirty, self.asides = (), None, []


def advance_base(copy: Copy, base: str) -> tuple[str, ...]:
    """It came through a barrier: noted, if it is of a join."""
    if copy.bases:
        copy.bases = (base, copy.bases[0])
    return copy.bases


def clear_base(copy: Copy) -> None:
    """It goes on without the other one: it is of no join any more."""
    copy.bases = ()


def equal(copies: Iterable[Copy]) -> bool:
    """Whether all hold the same."""
    contents: list[Mapping[int, int]] = [copy.cache for copy in copies]
    return all(content == contents[0] for content in contents)
