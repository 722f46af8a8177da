"""What must hold in an etcd that was restored or rebuilt, until an operator has decided there (S8).

What it shows is of another day: who was primary then, who was listed. So who has seen that it is another one

- asks for nothing there but to give its place up: it begins no epoch, resumes none, lists and drops nobody, whatever
  key of its own the backup has brought back;
- serves no more, whatever it could have shown in the etcd of before. (An agent that has just begun may adopt what it
  finds, in order to end it: that serves no longer than it was told by the agent before, which is over before anybody
  else may be named.)

Who has not seen it yet may serve on, as one that is cut off from etcd does: so what is completed meanwhile stays where
it was, on each node that the last record of before listed (``checkers.Copies``). And the operator's word counts once a
lease's time is over, for until then a restored one may show others that are not there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.core.events import Tag
from tests.simulation.checkers import SECOND_NS, Violation

_WAY_OUT = frozenset({Tag.RESIGN, Tag.ADOPT})


@dataclass(slots=True)
class Restored:
    """Of the etcd of now."""

    undecided: bool = False
    """It was restored or rebuilt, and no operator has decided there."""
    etcd: str = ""
    """Its id."""
    since_ns: int = 0
    """When it was."""
    seen: set[str] = field(default_factory=set)
    """Who had seen it, and served, at the last look."""

    def begins(self, etcd: str, now_ns: int) -> None:
        """Another one is there from now on."""
        self.undecided, self.etcd, self.since_ns = True, etcd, now_ns
        self.seen.clear()

    def asks(self, node: str, tag: Tag, etcd: str, *, by_word: bool) -> None:
        """``node`` commits something by what it sees in ``etcd``; ``by_word``: an operator named it.

        Raises:
            Violation: it may not.
        """
        if self.undecided and etcd == self.etcd and tag not in _WAY_OUT and not by_word:
            raise Violation(f"S8: {node} asks to {tag} in another etcd, and no operator has decided")

    def look(self, serve: Iterable[str]) -> None:
        """To be asked often; ``serve``: who serves, though its agent runs, and sees this etcd.

        Raises:
            Violation: one did the last time, too.
        """
        now = set(serve) if self.undecided else set()
        still = now & self.seen
        if still:
            raise Violation(f"S8: {sorted(still)} serve on in another etcd, and no operator has decided")
        self.seen = now

    def decides(self, node: str, now_ns: int, ttl_ns: int) -> None:
        """An operator has decided for ``node``.

        Raises:
            Violation: before a lease's time was over.
        """
        if self.undecided and now_ns < self.since_ns + ttl_ns:
            after_s = (now_ns - self.since_ns) / SECOND_NS
            raise Violation(
                f"S8: for {node} it is decided {after_s:.1f} s after etcd was restored, within a lease's time"
            )
