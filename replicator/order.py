"""The order of a primary's operations, as its streams, its fsyncs and its repairs see it.

Protocols and a type only: the primary (``replicator.primary``) has all of this, and makes the three. Each says in its
own module what it needs beyond this, so that none of them imports the primary; the barriers that the streams make say
all that they need.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from replicator.core.completions import Completions
from replicator.disk.volume import Volume
from replicator.peer import Peer

Moment = Callable[[], Iterator[None] | None]
"""What is to be done at a quiet moment; if it returns an iterator, the moment lasts to its end."""


class Order(Protocol):
    """What all three need. All calls are on the loop."""

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """The replicated directories, by their index."""
        ...

    @property
    def completions(self) -> Completions[Any]:
        """What is issued, and what it waits for."""
        ...

    @property
    def standing(self) -> tuple[Peer, ...]:
        """The peers that are sent the operations."""
        ...

    @property
    def stopped(self) -> bool:
        """Whether nothing may complete any more."""
        ...

    def when_quiet(self, callback: Moment) -> None:
        """Calls ``callback`` when nothing is issued and not yet applied here; perhaps before this returns."""
        ...

    def fail(self, reason: str) -> None:
        """Nothing is applied or completed any more, and the agent is told."""
        ...
