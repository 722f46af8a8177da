"""An application that works nowhere does not go from node to node for ever: each time costs a stop and a start."""

from dataclasses import dataclass, field

from manager.model.reasons import Reason
from tests.simulation.checkers import SECOND_NS, Violation

_HOUR_NS = 3600 * SECOND_NS
_A_WHILE_NS = 55 * SECOND_NS
"""For so long at the least a node keeps a module that came to it for its addresses, by the fastest clock."""


@dataclass(slots=True)
class ToAndFro:
    """How often a module went to another node because its application, or its addresses, did not work."""

    nodes: int
    within_ns: int = _HOUR_NS
    """So long counts: addresses are tried again elsewhere sooner than an application that ended."""
    at_ns: list[int] = field(default_factory=list)

    def forget(self) -> None:
        """An operator has asked for another attempt, or an agent has begun anew, which knows of none."""
        self.at_ns.clear()

    def addresses_fail(self) -> None:
        """They cannot be had on some node from now on."""
        self.within_ns = _A_WHILE_NS

    def promoted(self, because: str, now_ns: int) -> None:
        """An epoch has begun.

        Raises:
            Violation: it has been to each node lately.
        """
        if because != Reason.APPLICATION_FAILED:
            self.forget()
            return
        self.at_ns = [at_ns for at_ns in self.at_ns if at_ns > now_ns - self.within_ns] + [now_ns]
        if len(self.at_ns) > self.nodes:
            seconds = [at_ns // SECOND_NS for at_ns in self.at_ns]
            raise Violation(f"to and fro: it went to another node for its application's sake at {seconds}")
