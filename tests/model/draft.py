"""A state that is being changed, and how it becomes a state again: with what makes no difference taken out of it.

Two states that differ only in what nobody can ever notice are one, or the search would not end: an end of a stream
that has nothing more to say is closed, requests whose guards cannot hold any more are gone, and the record's revision
is only the present one or an older one.
"""

from tests.model.rules import Rules
from tests.model.state import FOLLOWS, JOINED, RUNS, WAITS, Budget, Client, Node, Request, State, Store, Stream
from tests.model.world import World


class Draft:
    """A copy of a state, to be changed by putting other tuples in the place of its parts."""

    __slots__ = ("budget", "client", "nodes", "requests", "store", "streams", "violation")

    def __init__(self, state: State) -> None:
        self.store: Store = state.store
        self.nodes: list[Node] = list(state.nodes)
        self.streams: list[Stream | None] = list(state.streams)
        self.requests: list[Request] = list(state.requests)
        self.client: Client = state.client
        self.budget: Budget = state.budget
        self.violation: str | None = None
        """The first invariant that was found broken on the way."""

    def spend(self, kind: str, failure: bool = True) -> None:
        """One of the budget; most are failures, which are counted."""
        self.budget = self.budget._replace(**{kind: getattr(self.budget, kind) - 1})
        if failure and self.client.failures < 2:
            self.client = self.client._replace(failures=self.client.failures + 1)

    def flag(self, violation: str | None) -> None:
        """An invariant is broken; the first one counts."""
        if self.violation is None:
            self.violation = violation

    def close_near(self, world: World, n: int) -> None:
        """``n`` closes the streams that it sends."""
        self._close(range(n * world.nodes, (n + 1) * world.nodes), near=True)

    def close_far(self, world: World, n: int) -> None:
        """``n`` closes the streams that it takes."""
        self._close(range(n, world.nodes * world.nodes, world.nodes), near=False)

    def _close(self, which: range, *, near: bool) -> None:
        for i in which:
            stream = self.streams[i]
            if stream is not None:
                self.streams[i] = stream._replace(near=False) if near else stream._replace(far=False)

    def finish(self, world: World) -> State:
        """The state, in its one form."""
        self._settle_streams(world)
        self._settle_nodes(world)
        self._settle_revisions(world)
        return State(self.store, tuple(self.nodes), tuple(self.streams), tuple(self.requests), self.client, self.budget)

    def _settle_streams(self, world: World) -> None:
        for i, stream in enumerate(self.streams):
            if stream is None:
                continue
            near, far, frames = stream.near, stream.far, stream.frames
            if not far:
                frames = ()
                near = near and (stream.mode == JOINED or self._still_says(i // world.nodes, i % world.nodes, stream))
            elif not near and not frames:
                far = False
            if not near and not far:
                self.streams[i] = None
            elif (near, far) != (stream.near, stream.far) or frames is not stream.frames:
                self.streams[i] = stream._replace(near=near, far=far, frames=frames)

    def _still_says(self, n: int, other: int, stream: Stream) -> bool:
        """Whether what the closed far end has said can still do something at the primary."""
        primary = self.nodes[n].primary
        if primary is None:
            return False
        waits = bool(primary.pending) and primary.pending[0].place <= stream.applied
        return waits or stream.synced > primary.heard[other]

    def _settle_nodes(self, world: World) -> None:
        for n, node in enumerate(self.nodes):
            if node.role is FOLLOWS and not any(s is not None and s.far for s in self.streams[n :: world.nodes]):
                node = self.nodes[n] = node._replace(role=WAITS)
            place = node.place
            if place is not None and (
                not world.bounds.reconnects
                or node.power != RUNS
                or not any(y.primary is not None and y.epoch == place[0] for y in self.nodes)
            ):
                self.nodes[n] = node._replace(place=None)

    def _settle_revisions(self, world: World) -> None:
        """The record's revision is 1, an older one 0; a request that cannot succeed any more is no request."""
        revision, rules = self.store.revision, world.rules
        for n, node in enumerate(self.nodes):
            primary = node.primary
            if primary is not None and primary.settled != (settled := int(primary.settled == revision)):
                self.nodes[n] = node._replace(primary=primary._replace(settled=settled))
        if revision != 1:
            self.store = self.store._replace(revision=1)
            self.requests = [r._replace(revision=False) for r in self.requests]
        if self.requests:
            self.requests = sorted(r for r in self.requests if _may_succeed(r, rules))


def _may_succeed(request: Request, rules: Rules) -> bool:
    match request.kind:
        case "elect":
            return request.revision or not rules.elect_checks_revision
        case "take over":
            revision, key = rules.take_over_checks_revision, rules.take_over_checks_key
        case _:
            revision, key = rules.change_checks_revision, rules.change_checks_own_key and rules.change_checks_key
    return (request.revision or not revision) and (request.key or not key)
