"""What completed writes become that an operator gives up by naming a copy without them (S8, S12): nothing loses them.

Each is in some copy still, or set aside, unless it went with a memory or a disk before: on the copy that was absent, or
in haste not looked at. ``Promises.require_kept`` sees that none is overwritten after that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tests.simulation.checkers import Content, Violation


class Kept(Protocol):
    """A copy, as far as what it holds can tell."""

    cache: dict[int, int]
    asides: list[dict[int, int]]


def holds(copies: Iterable[Kept], block: int, number: int) -> bool:
    """Whether one of ``copies``, or what was set aside there, has that write, or a later one in its place."""
    contents: list[Content] = [content for copy in copies for content in (copy.cache, *copy.asides)]
    return any(content.get(block, 0) >= number for content in contents)


@dataclass(slots=True)
class GivenUp:
    """Of one run."""

    gone: set[tuple[int, int]] = field(default_factory=set)
    """The writes, as (block, number), that were completed, and that no copy has any more."""

    def lost(self, completed: Content, copies: Iterable[Kept]) -> None:
        """A memory or a disk has just been lost."""
        left = list(copies)
        self.gone.update(item for item in completed.items() if not holds(left, *item))

    def judge(self, node: str, given: Iterable[tuple[int, int]], copies: Mapping[str, Kept]) -> None:
        """The copy of ``node`` is to go on without the writes of ``given``.

        Raises:
            Violation: one of them is nowhere, and no loss has taken it.
        """
        others = [copy for name, copy in copies.items() if name != node]
        for block, number in sorted(set(given) - self.gone):
            if not holds(others, block, number):
                raise Violation(f"S12: {node} goes on without write {number} in block {block}, which nobody has kept")
