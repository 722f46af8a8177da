"""One node of a replay of the timed model: the shipped agent core, whose clock is the model's.

A tick is so long that all waits of the core's own together are less: so what the model has in ticks the core has in
instants, rounded up (:func:`ticks_left`). Nothing is taken off a lease or a promise, as clocks are right in the model.
"""

from dataclasses import replace
from typing import Final

from agent.core import commands as k
from agent.core import events as e
from agent.core.lease import deadline_ns
from agent.core.mirror import Rule
from agent.core.settings import SECOND_NS, Settings
from agent.core.state import LIVES, Link, Rep
from manager.model import control as c
from manager.model.records import DiskIdentity
from manager.store.fake import FakeEtcd
from tests.model.replay_agent import Agent, Clock, settings_of
from tests.model.serving.state import Bounds

TICK_S: Final = 1_000_000
BRIEF_S: Final = 5
"""What a node without a place has of its lease whenever it looks: enough to stand, and over when it looks again."""
FOR_EVER_NS: Final = 1_000_000 * TICK_S * SECOND_NS


def timed(node: str, nodes: tuple[str, ...], bounds: Bounds) -> Settings:
    """The times of the model; what it does not know of lasts for ever."""
    return replace(
        settings_of(node, 1, nodes), ttl_ns=bounds.ttl * TICK_S * SECOND_NS,
        promise_ns=bounds.promise * TICK_S * SECOND_NS, taken_off_ns=0, start_limit_ns=FOR_EVER_NS,
        stop_limit_ns=FOR_EVER_NS,
    )  # fmt: skip


def ticks_left(until_ns: int, now_ns: int) -> int:
    """How many ticks have to pass until then; 0: it is over."""
    return max(0, -(-(until_ns - now_ns) // (TICK_S * SECOND_NS)))


class TimedAgent(Agent):
    """The agent of one node, from its start to its end."""

    def __init__(
        self,
        etcd: FakeEtcd,
        settings: Settings,
        clock: Clock,
        process: int,
        disk: DiskIdentity | None,
        rules: tuple[Rule, ...],
        left: "TimedAgent | None" = None,
    ) -> None:
        """``left``: what a former agent has left serving."""
        super().__init__(etcd, settings, clock, process, disk, rules)
        self.left_epoch = 0
        if left is not None:
            self.instance, self.left_epoch = left.instance, left.state.epoch
        self.asked_ns = 0
        """When it asked for promises last."""
        self.promise: c.Promise | None = None
        """What it promised last."""
        self.undying = False
        """What is to be killed does not die yet."""

    # What it is told

    def learn(self, *, seconds: float = 0.0, of_store: bool = True, lease_s: int = 0) -> None:
        """Time passes; then all that its replicator has said, and the store as it stands.

        Its lease is renewed for ``lease_s``; 0: as it has to be for one without a place, and not at all for another.
        """
        self.clock.wait(seconds)
        facts, self.facts = self.facts, []
        for fact in facts:
            self.give(e.ReplicatorSaid(fact))
        if of_store:
            self.reach()
            if self._lost_lease:
                self._lost_lease = False
                self.give(e.LeaseLost())
            self.see()
            if lease_s or not (self.state.holds_office or self.state.is_primary):
                self.renewed(self.now_ns, lease_s or BRIEF_S)
        self.give(e.Tick())

    def renewed(self, sent_ns: int, ttl_s: int) -> None:
        """The answer to a renewal that was sent then."""
        self.give(e.LeaseRenewed(self.lease, deadline_ns(sent_ns, ttl_s, 0)))

    def asks(self) -> bool:
        """It asks for promises now."""
        self.wait(self.state.settings.ask_every_ns / SECOND_NS)
        return self.asked_ns == self.now_ns

    def promises(self, primary: str, epoch: int, asked_ns: int) -> c.Promise | None:
        """It is asked for one, without hearing the store; what it answers."""
        self.promise = None
        self.give(e.StoreSilent())
        self.give(e.ReplicatorSaid(c.PromiseAsked(primary, epoch, asked_ns)))
        return self.promise

    # What it is

    @property
    def serves(self) -> bool:
        """Its application runs, or may: a former agent's, too."""
        return self.state.app in LIVES or self.state.rep is Rep.FOUND_SERVING

    @property
    def listed(self) -> frozenset[str]:
        """Whom the record lists, as it knows it."""
        return frozenset() if self.state.insync is None else self.state.insync.record.nodes

    def has_stream_to(self, other: "TimedAgent | None") -> bool:
        """Past its join point, and both ends stand."""
        if other is None or other.node not in self.state.peers:
            return False
        peer, there = self.state.peers[other.node], other.state
        ends = peer.link is Link.COMPLETE and there.stream_up and there.rep is Rep.FOLLOWING
        return ends and (peer.instance, self.state.epoch) == (there.instance, there.follow_epoch)

    # Its hands

    def _do(self, command: k.Command) -> e.Event | None:
        if isinstance(command, k.StartReplicator) and self.left_epoch:
            return e.ReplicatorSaid(c.Hello(1, self.instance, 7, "primary", self.left_epoch, self.disk))
        if isinstance(command, k.KillEverything) and self.undying:
            return None
        return super()._do(command)

    def dies(self) -> None:
        """What was to be killed is dead."""
        self.undying = False
        self.give(self._ended(e.Killed()))

    def _ended(self, event: e.Event) -> e.Event:
        self.left_epoch = 0
        return super()._ended(event)

    def _tell(self, told: c.Command) -> e.Event | None:
        match told:
            case c.AskPromises(asked_ns):
                self.asked_ns = asked_ns
            case c.Promise():
                self.promise = told
            case _:
                return super()._tell(told)
        return None
