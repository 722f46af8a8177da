"""What all parts of one join work on, and whom they tell; how each of them goes on is its own matter."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from replicator.copy_ports import Stream
from replicator.disk.volume import Inode, Volume


@dataclass(frozen=True, slots=True)
class JoinPorts:
    """Of one join."""

    stream: Stream
    volumes: Sequence[Volume]
    within_reach: Callable[[int, Inode, Callable[[], None]], bool]
    """Whether the peer knows the directories by which the inode is introduced; if not, called when it does."""
    is_listed: Callable[[int, int], bool]
    """Whether the peer knows the names in a directory, and those above it. Raises OSError and DivergenceError."""
    release: Callable[[int, Inode], None]
    """Ends a hold."""
    unclear: Callable[[str], None]
    """The peer's copy differs in what this node cannot tell, for this reason: every directory has to be listed."""
    drop: Callable[[str], None]
    """It cannot be carried through: the peer is dropped for this reason."""
    advanced: Callable[[], None]
    """Something came to its end."""
