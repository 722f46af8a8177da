"""A state of the timed model that is being changed, and how it becomes a state again."""

from collections.abc import Iterator
from typing import Any

from tests.model.serving.state import PRIMARY, Bounds, Node, Question, Request, State, Store


class Draft:
    """A state that is being changed."""

    __slots__ = ("budget", "nodes", "questions", "requests", "store")

    def __init__(self, state: State) -> None:
        self.store: Store = state.store
        self.nodes: list[Node] = list(state.nodes)
        self.questions: list[Question | None] = list(state.questions)
        self.requests: list[Request] = list(state.requests)
        self.budget = state.budget

    def spend(self, kind: str) -> None:
        """One of the budget."""
        self.budget = self.budget._replace(**{kind: getattr(self.budget, kind) - 1})

    def node(self, n: int, **changes: Any) -> None:
        """Changes what is known of one node."""
        self.nodes[n] = self.nodes[n]._replace(**changes)

    def set_key(self, key: tuple[int, int] | None, lease: int = 0) -> None:
        """Guards on the key before do not hold any more."""
        self.store = self.store._replace(key=key, lease=lease)
        self.requests = [r._replace(key=False) for r in self.requests]

    def set_record(self, holders: int) -> None:
        """Guards on the record before do not hold any more."""
        self.store = self.store._replace(holders=holders, revision=self.store.revision + 1)

    def finish(self, bounds: Bounds) -> State:
        """The state, in its one form."""
        revision, rules = self.store.revision, bounds.rules
        nodes = [self._known(bounds, n, node, revision) for n, node in enumerate(self.nodes)]
        requests = self.requests
        if revision != 1:
            self.store = self.store._replace(revision=1)
            requests = [r._replace(revision=False) for r in requests]
        checked = {
            "elect": rules.elect_checks_revision,
            "add": rules.change_checks_revision,
            "drop": rules.change_checks_revision,
            "take over": True,
            "release": False,
        }
        requests = [r for r in requests if r.revision or not checked[r.kind]]
        requests = [r for r in requests if r.key or r.kind == "elect" or not rules.change_checks_key]
        questions = tuple(
            None if q is None or q.age >= bounds.promise or not _asks(nodes, i // bounds.nodes, q) else q
            for i, q in enumerate(self.questions)
        )
        return State(self.store, tuple(nodes), questions, tuple(sorted(requests)), self.budget)

    def _known(self, bounds: Bounds, n: int, node: Node, revision: int) -> Node:
        """A primary's warden is told of each later end; without a limit, of one a promise's time away at least."""
        if node.role is not PRIMARY:
            return node
        left = limit(bounds, node, n)
        told = max(node.told, node.lease, bounds.promise) if left < 0 else max(node.told, left)
        return node._replace(settled=int(node.settled == revision), told=told if node.serves else 0)


def limit(bounds: Bounds, node: Node, n: int) -> int:
    """For how long it may serve from now on (S5); -1: no limit."""
    rules = bounds.rules
    others = node.holders | node.unknown if rules.unsettled_may_list else node.holders & ~node.unknown
    others &= ~(1 << n)
    if not others:
        return -1
    left = [node.promised[x] for x in range(bounds.nodes) if others >> x & 1]
    promised = (min if rules.every_promise else max)(left, default=0)
    return max(node.lease, promised)


def _asks(nodes: list[Node], p: int, question: Question) -> bool:
    return nodes[p].role is PRIMARY and nodes[p].epoch == question.epoch


Found = Iterator[tuple[str, Draft]]
