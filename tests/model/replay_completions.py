"""The model's operations, replayed by the object that holds and releases completions in the shipped replicator.

What the model's primary completes must have been released; and nothing may be released that the model's would not
complete at that moment.
"""

from replicator.core.completions import Completions, Gate
from tests.model.primary import is_acknowledged
from tests.model.replay import Replay
from tests.model.replay_agent import Agent
from tests.model.replay_words import Parted
from tests.model.state import COPYING, Pending, State, Step, Stream
from tests.model.world import World, name


class Order:
    """One primary's, for one epoch. Its agent's core tells it of the record."""

    def __init__(self, world: World, n: int, epoch: int, agent: Agent) -> None:
        self.world, self.n, self.epoch, self.agent = world, n, epoch, agent
        self.completions: Completions[int] = Completions()
        self.places: list[int] = []
        """In the model's stream, where copies have places too: of each operation issued in this epoch."""
        self.ready: list[int] = []
        self._hear_record()

    def _hear_record(self) -> None:
        for told in self.agent.settled:
            if told.epoch == self.epoch:
                others = [node.upper() for node in told.holders if node != self.agent.node]
                self.completions.settled(told.number, others)
        self.agent.settled.clear()

    def follow(self, before: State, after: State) -> None:
        """What a step changed for this primary."""
        was, now = before.nodes[self.n].primary, after.nodes[self.n].primary
        assert was is not None and now is not None
        for x in self.world.others[self.n]:
            at = self.n * self.world.nodes + x
            self.stream(name(x), before.streams[at], after.streams[at])
        self._hear_record()
        if now.frozen and not was.frozen:
            self._freeze()
        elif was.frozen and not now.frozen:
            self.completions.open(Gate.FROZEN)
            self.completions.next_waiting()
        for pending in now.pending:
            if pending not in was.pending:
                self._issue(pending)

    def _freeze(self) -> None:
        """The replicator says that it is frozen once nothing is under way."""
        self.completions.shut(Gate.FROZEN)
        if not self.completions.idle:
            raise Parted(f"{name(self.n)} is not frozen: operations are under way")

    def _issue(self, pending: Pending) -> None:
        if self.completions.gated:
            raise Parted(f"{name(self.n)} issues nothing while it is frozen")
        self.places.append(pending.place)
        self.completions.issue(pending.number)

    def stream(self, x: str, was: Stream | None, now: Stream | None) -> None:
        """One to another node: before and after a step."""
        stood, stands = was is not None and was.near, now is not None and now.near
        if stood and not stands:
            self.completions.lost(x)
        elif stands and not stood:
            self.completions.attach(x)
        if stands and now is not None and now.mode != COPYING and (was is None or not stood or was.mode == COPYING):
            self.completions.join_point(x)

    def hear(self, state: State) -> None:
        """Everything that was acknowledged is heard; what is released by that, the model would complete."""
        node = state.nodes[self.n]
        assert node.primary is not None
        for x in self.world.others[self.n]:
            stream = state.streams[self.n * self.world.nodes + x]
            if stream is not None and stream.near:
                reached = sum(1 for place in self.places if place <= stream.applied)
                self.completions.sent(name(x), self.completions.issued)
                self.completions.acknowledged(name(x), reached)
        for number in self.completions.release():
            place = next((p.place for p in node.primary.pending if p.number == number), None)
            if place is None or not is_acknowledged(self.world, state, self.n, node.primary, place):
                raise Parted(f"{name(self.n)} releases operation {number}, which the model does not complete")
            self.ready.append(number)

    def complete(self, number: int) -> None:
        """The model completes it."""
        if not self.ready or self.ready.pop(0) != number:
            raise Parted(f"{name(self.n)} does not release operation {number}, which the model completes")


class Orders:
    """Of all that serve."""

    def __init__(self, world: World, replay: Replay) -> None:
        self.world, self.replay = world, replay
        self.orders: dict[int, Order] = {}

    def begin(self, state: State) -> None:
        """A's, if it serves, with the streams that stand."""
        if state.nodes[0].primary is None:
            return
        order = self.orders[0] = Order(self.world, 0, state.nodes[0].epoch, self.replay.agent("a"))
        for x in self.world.others[0]:
            order.stream(name(x), None, state.streams[x])

    def follow(self, before: State, step: Step) -> None:
        """One step of the model, which the agents have followed."""
        who, _, what = step.text.partition(": ")
        if what.startswith("applies and completes operation "):
            self.orders[ord(who) - ord("A")].complete(int(what.rpartition(" ")[2]))
        for n, node in enumerate(step.state.nodes):
            order = self.orders.get(n)
            if node.primary is None:
                self.orders.pop(n, None)
            elif order is None or order.epoch != node.epoch:
                self.orders[n] = Order(self.world, n, node.epoch, self.replay.agent(name(n).lower()))
            else:
                order.follow(before, step.state)
        for order in self.orders.values():
            order.hear(step.state)


def is_replayable(state: State, step: Step) -> bool:
    """A shipped primary begins a stream at a moment when nothing is under way."""
    who, _, what = step.text.partition(": ")
    if " connects, " not in what:
        return True
    primary = state.nodes[ord(who) - ord("A")].primary
    return primary is not None and not primary.pending
