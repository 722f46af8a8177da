"""What is known at a moment of a cluster that is watched: the agent's last answer, whether it is true now, and events.

An answer is true for as long as the next one is not overdue. From then on all that stood in it is unknown, until the
agent answers again. It has no clock and asks nobody.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from manager.cli.node_words import readiness_word, state_word, takes_over, why_with_detail
from manager.model.api import ModuleView, NodeState, StateResult
from manager.model.api_around import Around
from manager.model.states import Readiness

LATE_S = 2.0
"""An answer that comes so much later than due is awaited no more: what there is now is unknown."""
MOST_NOTES = 200


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was seen to happen."""

    at: str
    """By this machine's clock, UTC, to the second."""
    says: str


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a screen is made of."""

    result: StateResult
    """The last answer."""
    at: str
    """When that came, UTC, to the second."""
    every_s: float
    """How often it is asked for."""
    unknown_s: int | None = None
    """For how long there is no answer; ``None``: the last one is as good as now."""
    trouble: str = ""
    """Why there is none; empty: it is only awaited."""
    notes: tuple[Note, ...] = ()
    """What has happened since the watch began, the newest first."""

    @property
    def now(self) -> StateResult:
        """What may be said of this moment."""
        return self.result if self.unknown_s is None else forgotten(self.result, clock_word(self.at))


class Watched:
    """What has come in since the watch began; instants are of one monotonic clock, in seconds."""

    def __init__(self, first: StateResult, at: str, now_s: float, every_s: float) -> None:
        """``first``: the answer that came at ``now_s``, which was ``at`` by the clock on the wall."""
        self._result = first
        self._at = at
        self._heard_s = now_s
        self._every_s = every_s
        self._trouble = ""
        self._notes: deque[Note] = deque(maxlen=MOST_NOTES)
        self._is_unknown = False

    def heard(self, answer: StateResult, at: str, now_s: float) -> None:
        """The agent has answered."""
        if self._is_unknown:
            silent_s = int(now_s - self._heard_s)
            self._note(at, f"The agent of {answer.node} answers again, after {silent_s} s without an answer.")
        for says in changes(self._result, answer):
            self._note(at, says)
        self._result, self._at, self._heard_s = answer, at, now_s
        self._trouble, self._is_unknown = "", False

    def failed(self, trouble: str) -> None:
        """It could not be asked, or could not tell."""
        self._trouble = trouble

    def look(self, at: str, now_s: float) -> Seen:
        """What is known now."""
        silent_s = now_s - self._heard_s
        is_unknown = bool(self._trouble) or silent_s > self._every_s + LATE_S
        if is_unknown and not self._is_unknown:
            self._note(at, f"The agent of {self._result.node} gives no answer.")
        self._is_unknown = is_unknown
        return Seen(
            self._result, self._at, self._every_s, int(silent_s) if is_unknown else None, self._trouble,
            tuple(reversed(self._notes)),
        )  # fmt: skip

    def _note(self, at: str, says: str) -> None:
        self._notes.append(Note(at, says))


def clock_word(at: str) -> str:
    """The time of the day of ``at``, which is UTC in the form of ISO 8601."""
    return at[11:19]


def forgotten(result: StateResult, when: str) -> StateResult:
    """``result`` as it is when it is not known any more: of each node only that, and what it was ``when``."""
    modules = (
        replace(
            module, nodes=tuple(_forgotten(n, when) for n in module.nodes), tables=(), maintenance=False,
            failover_off=False, verify=None, primary="", holders=None,
        )
        for module in result.modules
    )  # fmt: skip
    around = result.around
    if around is not None:
        unknown = (replace(n, registered=None, software="", away_ms=None) for n in around.nodes)
        around = replace(around, nodes=tuple(unknown))
    return replace(result, modules=tuple(modules), around=around, told_by=())


def _forgotten(node: NodeState, when: str) -> NodeState:
    was = state_word(node) if node.state is None else f"{state_word(node)}, {readiness_word(node)},"
    return NodeState(node.node, None, None, "", None, None, None, detail=f"it was {was} at {when}")


def changes(before: StateResult, after: StateResult) -> list[str]:
    """What has happened between two answers, a sentence each."""
    said = []
    if before.store_reachable != after.store_reachable:
        again = "answers again" if after.store_reachable else "does not answer any more"
        said.append(f"etcd, as {after.node} hears it, {again}.")
    said += _node_changes(before.around, after.around)
    former = {module.name: module for module in before.modules}
    for module in after.modules:
        known = former.pop(module.name, None)
        said += [f"{module.name} was applied."] if known is None else _module_changes(known, module)
    return [*said, *(f"{name} was removed." for name in former)]


def _node_changes(before: Around | None, after: Around | None) -> Iterator[str]:
    if before is None or after is None:
        return
    former = {n.node: n for n in before.nodes}
    for node in after.nodes:
        known = former.get(node.node)
        was, version = (False, "") if known is None else (known.registered, known.software)
        if node.registered and not was and was is not None:
            yield f"Node {node.node} is registered, with agent {node.software}."
        elif node.registered and was and node.software != version:
            yield f"Node {node.node} is registered with agent {node.software}, after {version}."
        elif node.registered is False and was:
            yield f"Node {node.node} is not registered any more."


def _module_changes(before: ModuleView, after: ModuleView) -> Iterable[str]:
    for node in after.nodes:
        known = before.on(node.node)
        if known is not None and (known.state, known.readiness) != (node.state, node.readiness):
            why = why_with_detail(after.name, node, failover=takes_over(after))
            yield f"{after.name} on {node.node}: {_word(known)} -> {_word(node)}: {why}"
    former = {table.address: table.director for table in before.tables}
    for table in after.tables:
        director = former.get(table.address)
        if director is not None and table.director is not None and director != table.director:
            yield f"{after.name} {table.address}: directed by {table.director or 'nobody'}, not {director or 'nobody'}."


def _word(node: NodeState) -> str:
    if node.readiness in (None, Readiness.READY):
        return state_word(node)
    return f"{state_word(node)} ({readiness_word(node)})"
