"""The timed model's steps, replayed by shipped agents' cores over the fake store, with its time.

As in ``tests.model.replay`` a core must offer the transaction that the model's node sends, and offer none that the
model does not allow. After each step what the model says must be what the cores say (``replay_compare``): who serves,
and until when; what the wardens were told; who is bound by a promise, and who may give one.
"""

import itertools
import re
from typing import Final

from agent.core import commands as k
from agent.core.events import Tag
from agent.core.mirror import RULES, Rule
from agent.core.state import SERVES, Link
from manager.model import control as c
from manager.model.codec import decode
from manager.model.records import (
    DiskIdentity,
    PrimaryRecord,
)
from manager.store.api import ModRevisionIs
from tests.model.replay_agent import KEYS, Clock
from tests.model.replay_compare import holds
from tests.model.replay_store import PATIENCE_S, ReplayStore
from tests.model.replay_words import Parted, Stricter, record_in, verb_of
from tests.model.serving.replay_agent import BRIEF_S, TICK_S, TimedAgent, timed
from tests.model.serving.replay_compare import same_transaction
from tests.model.serving.state import Bounds, State
from tests.model.world import name

TAGS: Final = {
    "stands": Tag.ELECT, "takes": Tag.TAKE_OVER, "adds": Tag.RECORD, "drops": Tag.RECORD, "writes": Tag.RECORD,
    "withdraws": Tag.RECORD, "resumes": Tag.RESUME, "gives": Tag.RESIGN, "adopts": Tag.ADOPT,
}  # fmt: skip
"""By the step's verb: the purpose of its transaction."""
_MOST_WRITES: Final = 10
"""That a core may want one after the other, and are no steps of the model."""
_KINDS: Final = {"stands": "elect", "takes": "take over", "adds": "add", "drops": "drop", "gives": "release"}


class Replay(ReplayStore):
    """Shipped agents, brought to the model's first state, then led along its steps."""

    def __init__(self, bounds: Bounds, rules: tuple[Rule, ...] = RULES) -> None:
        """``rules``: of the core; others only where a test breaks one on purpose."""
        self.bounds, self.rules = bounds, rules
        self.nodes = tuple(name(n).lower() for n in range(bounds.nodes))
        super().__init__(self.nodes)
        self.clock = Clock()
        self._processes = itertools.count(1)
        self.agents: dict[str, TimedAgent | None] = {node: self._new(node, None) for node in self.nodes}
        self.ended: dict[str, TimedAgent] = {}
        """The last of each node whose agent is gone."""
        self.wardens: dict[str, int] = {}
        """Of what serves on without its agent: until when it was told that it may."""
        self.sent_ns: dict[str, int] = {}
        """When a renewal was sent that has not been answered."""
        self.asked: dict[tuple[str, str], tuple[int, int]] = {}
        """By primary and other: the epoch and instant of a question for a promise."""
        self.answers: dict[tuple[str, str], c.Promised] = {}
        self.happened: list[str] = []

    def agent(self, node: str) -> TimedAgent:
        """Of a node whose agent lives."""
        found = self.agents[node]
        assert found is not None, f"{node} does not run"
        return found

    def _new(self, node: str, disk: DiskIdentity | None, left: TimedAgent | None = None) -> TimedAgent:
        settings = timed(node, self.nodes, self.bounds)
        return TimedAgent(self.etcd, settings, self.clock, next(self._processes), disk, self.rules, left)

    # --- the first state ------------------------------------------------------------------------------------

    def begin(self, state: State) -> None:
        """A is named and serves, those that the record lists have joined: epoch 1, its lease is fresh."""
        for node in self.nodes:
            self.agent(node).wait(0.0)
        self.clock.wait(self.bounds.promise * TICK_S)  # What former agents may have promised is over.
        a = self.agent("a")
        self.request("prim", "a")
        a.learn(lease_s=self._ttl_s)
        if a.commit is None or not a.settle():
            raise Parted("a named node does not stand at the first start")
        self.tidy(a)
        for node in self.nodes[1:]:
            if state.store.holders >> self.nodes.index(node) & 1:
                self._join(a, node)
                a.learn(lease_s=self._ttl_s)
                if a.commit is None or not a.settle():
                    raise Parted("a node that has everything is not listed")
                self.tidy(a)
            self.agent(node).learn()
        a.renewed(a.now_ns, self._ttl_s)
        self.tidy(a)

    @property
    def _ttl_s(self) -> int:
        return self.bounds.ttl * TICK_S

    def _join(self, p: TimedAgent, secondary: str) -> None:
        """The other one's stream stands, and everything up to its join point is on its disk."""
        s = self.agent(secondary)
        for seconds in PATIENCE_S:
            for agent in (s, p):
                agent.learn(seconds=seconds)
                self.tidy(agent)
            peer = p.state.peers.get(secondary)
            if peer is not None and peer.link is not Link.LOST and s.follows == p.state.epoch:
                break
        else:
            raise Parted(f"{p.node} does not connect to {secondary}: {p.state.peers}, {secondary} is {s.state.rep}")
        s.takes_stream()
        p.facts.append(c.PeerConnected(secondary, s.instance))
        s.comes_through()
        p.facts.append(c.PeerComplete(secondary, s.boot_id, s.instance, p.state.epoch))

    def tidy(self, agent: TimedAgent) -> None:
        """What a core wants that is no step of the model is not done now, but for its own entry in the record."""
        for _ in range(_MOST_WRITES):
            if agent.commit is None:
                return
            plain = agent.state.late_record is None and agent.state.leaving is None
            if agent.commit.tag is Tag.RECORD and plain and not self.would_change(agent.commit):
                if any(all(holds(self.etcd, guard) for guard in txn.guards) for _, _, txn in self.late):
                    raise Stricter("the record was written anew, which voids what is on its way")
                agent.settle()
            else:
                agent.fail()
        raise Parted(f"{agent.node} asks for transactions without end: {agent.commit}")

    # --- a step ---------------------------------------------------------------------------------------------

    def follow(self, before: State, text: str, after: State) -> None:
        """One step of the model."""
        self.happened.append(text)
        who, _, what = text.partition(": ")
        if not what.startswith("delayed"):
            under_way = {(self.nodes[r.node], r.kind) for r in after.requests}
            self.still_late(under_way)
        if text == "time passes":
            self._tick(before)
        elif who == "etcd":
            self._store_step(what)
        elif verb_of(what) in TAGS:
            self._transaction(who.lower(), what, before, after)
        else:
            self._other_step(who.lower(), what, before)
        for agent in self.agents.values():
            if agent is not None:
                self.tidy(agent)

    def _tick(self, before: State) -> None:
        """Whoever serves looks at the clock; of the others nobody needs to."""
        self.clock.wait(TICK_S)
        for n, node in enumerate(before.nodes):
            agent = self.agents[self.nodes[n]]
            if agent is not None and (node.serves or agent.serves):
                agent.wait(0.0)

    def _store_step(self, what: str) -> None:
        found = re.match(r"the lease of (\w) ends", what)
        if found:
            kv = self.etcd.get_now(KEYS.primary)
            assert kv is not None
            self.etcd.expire(kv.lease)
            return
        found = re.match(r"delayed (elect|take over|add|drop|release) of (\w): (done|refused)", what)
        assert found is not None, what
        kind, node, outcome = found[1], found[2].lower(), found[3]
        txn = self.take_late(node, kind)
        failed = [guard for guard in txn.guards if not holds(self.etcd, guard)]
        if kind == "release" and failed and all(isinstance(guard, ModRevisionIs) for guard in failed):
            raise Stricter("a place is given up by the record that was read")
        if self.executes(txn) is not (outcome == "done"):
            raise Parted(f"the store does not agree: {what}")

    def _other_step(self, node: str, what: str, before: State) -> None:
        if what == "crashes":
            self._end(node)
            self.wardens.pop(node, None)
        elif what.startswith("its agent dies"):
            # A new agent that has not adopted what serves has told it nothing.
            self.wardens[node] = self.agent(node).state.told_until_ns or self.wardens[node]
            self._end(node)
        elif what == "starts":
            self._start(node)
        elif what.startswith("renews its lease"):
            self.sent_ns[node] = self.clock.now_ns
            if not what.endswith("on its way"):
                self._hear_renewal(node)
        elif what.startswith("hears that its lease"):
            self._hear_renewal(node)
        elif found := re.match(r"(asks|hears the promise of|promises) (\w)", what):
            {"asks": self._ask, "promises": self._promise}.get(found[1], self._hear)(node, found[2].lower())
        elif what.startswith("serves"):
            self.agent(node).wait(0.0)
            if not self.agent(node).serves:
                raise Parted(f"{node} does not serve: {self.agent(node).state.rep}")
        elif what.startswith("is frozen"):
            self._offer(node, what[-1].lower())
        elif what.startswith("reads that it is primary"):
            self._read(node)
        elif what.startswith("reads the record"):
            self.agent(node).learn()
            if self.agent(node).state.late_record is not None:
                raise Parted(f"{node} does not see that its change was executed, or never will be")
        else:
            assert what == "is primary no more", what
            self._leave(node)

    def _hear_renewal(self, node: str) -> None:
        self.agent(node).renewed(self.sent_ns.pop(node), self._ttl_s)

    # --- its end, and its start -----------------------------------------------------------------------------

    def _end(self, node: str) -> None:
        """What hangs on its lease stays until a step ends that, if it has the key."""
        ended = self.ended[node] = self.agent(node)
        self.agents[node] = None
        self.sent_ns.pop(node, None)
        kv = self.etcd.get_now(KEYS.primary)
        if (kv is None or kv.lease != ended.lease) and ended.has_lease:
            self.etcd.expire(ended.lease)

    def _start(self, node: str) -> None:
        ended = self.ended[node]
        serves = self.wardens.get(node, 0) > self.clock.now_ns
        agent = self.agents[node] = self._new(node, ended.disk, ended if serves else None)
        for other in self.agents.values():
            if serves and other is not None and ended.has_stream_to(other):
                agent.facts.append(c.PeerConnected(other.node, other.instance))
                agent.facts.append(c.PeerComplete(other.node, other.boot_id, other.instance, ended.state.epoch))
        agent.see()
        agent.learn()

    # --- promises -------------------------------------------------------------------------------------------

    def _ask(self, primary: str, other: str) -> None:
        agent = self.agent(primary)
        if not agent.asks():
            raise Parted(f"{primary} does not ask {other} for a promise: {agent.state.rep}")
        self.asked[primary, other] = agent.state.epoch, agent.asked_ns
        self.answers.pop((primary, other), None)

    def _promise(self, other: str, primary: str) -> None:
        agent, (epoch, asked_ns) = self.agent(other), self.asked[primary, other]
        promise = agent.promises(primary, epoch, asked_ns)
        if promise is None:
            raise Parted(
                f"{other} does not promise {primary}: {agent.state.rep}, it follows {agent.state.follow_epoch}"
            )
        self.answers[primary, other] = c.Promised(
            other, agent.instance, promise.epoch, promise.asked_ns, promise.for_ms
        )  # fmt: skip

    def _hear(self, primary: str, other: str) -> None:
        agent = self.agent(primary)
        agent.facts.append(self.answers.pop((primary, other)))
        if not agent.state.is_offering:  # Else it has no use for it, and would withdraw its offer once it looks.
            agent.learn(of_store=False)

    # --- its place ------------------------------------------------------------------------------------------

    def _offer(self, node: str, other: str) -> None:
        """The operator swaps."""
        agent = self.agent(node)
        for one in (self.agent(other), agent):
            one.learn()
            self.tidy(one)
        self.request("swap", node)
        for seconds in PATIENCE_S[:4]:
            agent.learn(seconds=seconds)
            self.tidy(agent)
            if agent.state.is_offering and agent.state.leaving is not None and agent.state.leaving.to == other:
                return
        raise Parted(f"{node} offers its place to nobody: {agent.state.leaving}, {agent.state.rep}")

    def _read(self, node: str) -> None:
        agent = self.agent(node)
        self.clock.wait(2 * BRIEF_S)  # What it had of its lease is over.
        agent.see()
        self.tidy(agent)
        kv = self.etcd.get_now(KEYS.primary)
        if kv is not None and decode(PrimaryRecord, kv.value).instance != agent.state.instance:
            raise Stricter("the key is of a process that is gone")
        if not agent.state.is_primary:
            raise Parted(f"{node} does not find itself primary")

    def _leave(self, node: str) -> None:
        agent = self.agent(node)
        for seconds in PATIENCE_S[:5]:
            agent.learn(seconds=seconds)
            self.tidy(agent)
        if agent.state.is_primary:
            raise Stricter("it has its place, and waits for its lease")
        if agent.state.holds_office:
            raise Parted(f"{node} does not leave its place")

    # --- a transaction --------------------------------------------------------------------------------------

    def _transaction(self, node: str, what: str, before: State, after: State) -> None:
        agent, verb = self.agent(node), verb_of(what)
        if verb == "gives":
            self._die(agent)
        commit = self._offered(agent, what, before)
        outcome = what.rpartition(", ")[2]
        if verb == "drops" and len(agent.listed - record_in(commit).nodes) > 1:
            raise Stricter("all that are lost are dropped at once")
        same_transaction(self.etcd, agent, commit, what, after if outcome != "delayed" else None)
        if outcome == "delayed":
            self.late.append((node, _KINDS[verb], agent.unknown()))
        elif outcome == "answer lost":
            if not self.executes(agent.unknown()):
                raise Parted(f"the store refuses: {node} {what}")
        elif not agent.settle():
            raise Parted(f"the store refuses: {node} {what}")
        elif verb in ("stands", "takes", "adopts"):
            agent.renewed(agent.now_ns, self._ttl_s)
        if verb == "gives":
            agent.see()

    def _die(self, agent: TimedAgent) -> None:
        """Its replicator fails, if it serves; its place is not given up before everything is dead."""
        agent.learn()
        self.tidy(agent)
        if agent.state.is_primary or agent.state.rep in SERVES:
            agent.undying = True
            agent.facts.append(c.Failed("as the model has it"))
            agent.learn()
            if agent.commit is not None:
                raise Parted(f"{agent.node} gives up its place while what serves lives: {agent.commit}")
            agent.dies()

    def _offered(self, agent: TimedAgent, what: str, before: State) -> k.Commit:
        """What it offers when it knows what the model's node knows."""
        tag, n = TAGS[verb_of(what)], self.nodes.index(agent.node)
        self._prepare(agent, what)
        # The model's node does not know that its key is gone: neither does this one.
        key = before.store.key
        unaware = tag is Tag.RECORD and key != (n, before.nodes[n].epoch)
        # In ticks the lease is as it was, where it was renewed in this one.
        fresh = tag is Tag.RESUME or (what.startswith("adds") and before.nodes[n].lease == self.bounds.ttl)
        for seconds in PATIENCE_S:
            self.clock.wait(seconds)
            agent.learn(of_store=not unaware, lease_s=self._ttl_s if fresh else 0)
            if agent.commit is not None and agent.commit.tag is tag:
                record = agent.state.insync
                changes = record is None or record.record.nodes != record_in(agent.commit).nodes
                if tag is not Tag.RECORD or changes or what.startswith(("withdraws", "writes")):
                    return agent.commit
            self.tidy(agent)
        raise Parted(
            f"{agent.node} does not do what the model's does: {what}; it is {agent.state.rep}, {agent.state.peers}, "
            f"{agent.state.insync}, {agent.state.lease}"
        )

    def _prepare(self, agent: TimedAgent, what: str) -> None:
        """What its replicator has to have said."""
        found = re.match(r"(adds|drops) (\w)", what)
        if found and found[1] == "adds":
            if not agent.has_stream_to(self.agents[found[2].lower()]):
                self._join(agent, found[2].lower())
        elif found:
            agent.facts.append(c.PeerLost(found[2].lower(), "cut"))
        elif what.startswith("writes"):
            listed = {node.lower() for node in what.partition("anew: ")[2].partition(",")[0].split()}
            for node, peer in agent.state.peers.items():
                if node not in listed and peer.link is not Link.LOST:
                    agent.facts.append(c.PeerLost(node, "cut"))
