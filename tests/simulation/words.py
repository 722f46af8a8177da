"""What an operator has said, and which of it was taken: nobody stands by a word that was refused, or that is over.

It looks at what was asked, and at what agents answer, whatever becomes of that in the store.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from manager.model.reasons import Reason
from tests.simulation.checkers import Violation

BY_WORD = frozenset({Reason.FIRST_START, Reason.PROMOTED_BY_OPERATOR, Reason.FORCED_BY_OPERATOR})
"""With what the history says that an operator has named the node."""
OTHER_STORE = frozenset({Reason.STORE_REPLACED, Reason.STORE_WENT_BACK})
"""What he accepts where etcd may not know which copy is the newest."""


@dataclass(slots=True)
class Words:
    """Of one operator to all nodes."""

    accepts: dict[str, frozenset[str]] = field(default_factory=dict)
    """Each ``prim`` that was asked for, to what he knew to be against it."""
    stood: dict[str, frozenset[str]] = field(default_factory=dict)
    """Node to what he had accepted when it asked to stand by his word last."""

    def ask(self, request_id: str, accept: str) -> None:
        """A ``prim``, with what is accepted, with commas."""
        self.accepts[request_id] = frozenset(filter(None, accept.split(",")))

    def judge(self, node: str, because: str, taken: Iterable[str], *, decided: bool) -> None:
        """``node`` asks to stand, and the history is to say ``because``; ``decided``: the record that he has decided.

        ``taken``: the requests that its agent has accepted, and not ended.

        Raises:
            Violation: no word of the operator's, as far as it goes, is that.
        """
        if because not in BY_WORD:
            return
        said = [self.accepts[request_id] for request_id in taken if request_id in self.accepts]
        if not said:
            rule = "S9" if because == Reason.FIRST_START else "S8"
            raise Violation(f"{rule}: {node} stands by an operator's word, {because}, and none taken is under way")
        accepted = self.stood[node] = frozenset[str]().union(*said)
        if because == Reason.FORCED_BY_OPERATOR and Reason.NOT_IN_SYNC not in accepted:
            raise Violation(f"S12: {node} is forced, and the operator has accepted {sorted(accepted)} alone")
        if because == Reason.PROMOTED_BY_OPERATOR and decided and not accepted & OTHER_STORE:
            raise Violation(
                f"S8: {node} stands in another etcd, and the operator has accepted {sorted(accepted)} alone"
            )
