"""The model's steps, replayed by shipped agents' cores over the fake store, so that model and code cannot part.

Where the model's node sends a transaction, the core must offer the same one: its purpose, its guards, what it puts.
After each step no core may offer one that the store would take and the model does not allow. What only moves data is
the replicators', and is not replayed here (``replay_completions``).
"""

import itertools
import re
from dataclasses import replace
from typing import Final

from agent.core import commands as k
from agent.core.events import Tag
from agent.core.mirror import RULES, Rule
from agent.core.state import SERVES, Link
from manager.model import control as c
from manager.model.codec import decode
from manager.model.records import (
    DiskIdentity,
    InsyncRecord,
    PrimaryRecord,
)
from tests.model.replay_agent import CLUSTER, KEYS, NODES, Agent, Clock, settings_of
from tests.model.replay_compare import same_guards, same_record
from tests.model.replay_store import PATIENCE_S, ReplayStore
from tests.model.replay_words import TAGS, Parted, Stricter, record_in, verb_of
from tests.model.search import steps
from tests.model.state import JOINED, Budget, Key, State, Step
from tests.model.world import World

_SEES: Final = re.compile(r"\w: (sees that its key is gone|reads that it is primary|reaches etcd|the stream to )")
"""Steps by which a node notices what is so already: a core may know it at the same moment, as by a new boot id."""

_Allowed = set[tuple[str, Tag | None, frozenset[tuple[str, str]]]]
"""Which node may do what, and whom the record lists then, with which boot ids."""


class Replay(ReplayStore):
    """Two shipped agents, brought to the model's first state, then led along its steps."""

    def __init__(self, world: World, rules: tuple[Rule, ...] = RULES) -> None:
        """``rules``: of the core; others only where a test breaks one on purpose."""
        super().__init__(NODES)
        self.world, self.rules = world, rules
        self.beyond = World(replace(world.bounds, epochs=world.bounds.epochs + 1))
        """A core does not know that the epochs of a search have an end."""
        self._processes = itertools.count(1)
        self.boots = dict.fromkeys(NODES, 1)
        self.agents: dict[str, Agent | None] = {node: self._new(node) for node in NODES}
        self.ended: dict[str, Agent] = {}
        """The last of each node whose processes are gone."""
        self.happened: list[str] = []

    def _new(self, node: str, disk: DiskIdentity | None = None) -> Agent:
        """It starts; a clock of its own is enough, since time is not what is replayed."""
        settings = settings_of(node, self.boots[node])
        return Agent(self.etcd, settings, Clock(), next(self._processes), disk, self.rules)

    def agent(self, node: str) -> Agent:
        """Of a node whose processes live."""
        found = self.agents[node]
        assert found is not None, f"{node} does not run"
        return found

    # --- the first state ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The model's first state: nobody has served; or A is named, and serves; and B has joined it, in epoch 1."""
        a, b = self.agent("a"), self.agent("b")
        if self.world.bounds.start == "first":
            a.learn()
            b.learn()
            return
        self.request("prim", "a")
        a.learn()
        if a.commit is None or not a.settle():
            raise Parted("a named node does not stand at the first start")
        self.tidy(a)
        if self.world.bounds.start == "alone":
            b.learn()
            return
        self.connect("a", "b")
        self.complete("a", "b")
        a.learn()
        if a.commit is None or not a.settle():
            raise Parted("a node that has everything is not listed")
        a.learn()
        b.learn()

    def connect(self, primary: str, secondary: str) -> None:
        """The primary's replicator connects to the other's, as both were told."""
        p, s = self.agent(primary), self.agent(secondary)
        for seconds in PATIENCE_S:
            for agent in (p, s):
                agent.learn(seconds=seconds)
                self.tidy(agent)
            if p.was_told_of_peer() and s.follows == p.state.epoch:
                break
        else:
            raise Parted(f"{primary} does not connect to {secondary}: {p.state.peers}, {secondary} is {s.state.rep}")
        p.facts.append(c.PeerConnected(secondary, s.instance))
        s.takes_stream()

    def tidy(self, agent: Agent) -> None:
        """What a core wants that is no step of the model is not done now, but for its own entry in the record.

        A new primary writes that anew once its disk has noted the epoch, and one that has lost a node past its join
        point does before it connects again.
        """
        while agent.commit is not None:
            own = agent.commit.tag is Tag.RECORD and agent.state.late_record is None
            if own and self.would_take(agent.commit) and not self.would_change(agent.commit):
                voided = self.is_any_late_by_this_record
                agent.settle()
                if voided:
                    raise Stricter("the record was written anew, which voids what is on its way")
            else:
                agent.fail()

    def complete(self, primary: str, secondary: str) -> None:
        """Everything up to the join point is on the other's disk."""
        p, s = self.agent(primary), self.agent(secondary)
        s.comes_through()
        p.facts.append(c.PeerComplete(secondary, s.boot_id, s.instance, p.state.epoch))

    # --- a step ---------------------------------------------------------------------------------------------

    def follow(self, before: State, step: Step) -> None:
        """One step of the model, which led from ``before`` to ``step.state``."""
        self.happened.append(step.text)
        who, _, what = step.text.partition(": ")
        verb = verb_of(what)
        if not what.startswith("delayed"):
            under_way = {(NODES[r.node], r.kind) for r in step.state.requests}
            self.still_late(under_way)
        if who == "operator":
            self._operator_step(what)
        elif who == "etcd":
            self._store_step(what)
        elif verb in TAGS:
            self._transaction(who.lower(), what, TAGS[verb], before, step.state)
        else:
            self._other_step(who.lower(), what)
        self._note_lost_streams(before, step.state)

    def _note_lost_streams(self, before: State, after: State) -> None:
        """Ends of streams that are closed now: their agents are told when they look."""
        for i, (was, now) in enumerate(zip(before.streams, after.streams, strict=True)):
            p, s = divmod(i, len(NODES))
            primary, secondary = self.agents[NODES[p]], self.agents[NODES[s]]
            if was is None:
                continue
            if was.near and not (now is not None and now.near) and primary is not None:
                primary.facts.append(c.PeerLost(NODES[s], "cut"))
                if was.mode == JOINED:
                    self._write_after_joined(primary, after)
            if was.far and not (now is not None and now.far) and secondary is not None and secondary.follows:
                secondary.facts.append(c.StreamLost(NODES[p], "cut"))

    def _write_after_joined(self, primary: Agent, after: State) -> None:
        """A core that has lost a node past its join point writes the record anew before anything completes."""
        n = NODES.index(primary.node)
        node = after.nodes[n]
        if node.primary is None or node.primary.unknown is not None:
            return  # The record is in doubt as it is.
        if after.store.key != Key(n, node.epoch):
            raise Stricter("a node past its join point is lost, and the record cannot be written")
        for seconds in PATIENCE_S[:2]:
            primary.learn(seconds=seconds)
            self.tidy(primary)

    def _operator_step(self, what: str) -> None:
        named = re.match(r"names the data of (\w)", what)
        if named:
            self.request("prim", named[1].lower())
        elif what == "makes a backup of etcd":
            self.etcd.back_up()
        else:
            self._restore()

    def _restore(self) -> None:
        """Of what hangs on leases, the registrations are there again as soon as their nodes look; the key is not."""
        self.etcd.restore()
        self.delete(KEYS.primary)
        for node in NODES:
            agent = self.agents[node]
            if agent is not None and agent.has_lease:
                agent.write_registration()
            else:
                self.delete(CLUSTER.node(node))

    def _store_step(self, what: str) -> None:
        found = re.match(r"the lease of (\w) ends( though)?", what)
        if found:
            self._expire(found[1].lower(), wholly=found[2] is not None)
            return
        found = re.match(r"delayed (elect|take over|add|drop)(?: \w)? of (\w): (done|refused)", what)
        assert found is not None, what
        kind, node, outcome = found[1], found[2].lower(), found[3]
        txn = self.take_late(node, kind)
        if self.executes(txn) is not (outcome == "done"):
            raise Parted(f"the store does not agree: {what}")

    def _expire(self, node: str, *, wholly: bool) -> None:
        """The lease that holds the key, which may be of a process that is gone; and that of its agent."""
        kv = self.etcd.get_now(KEYS.primary)
        holds = kv is not None and decode(PrimaryRecord, kv.value).node == node
        if kv is not None and holds:
            self._end_lease(kv.lease)
        agent = self.agents[node]
        if agent is not None and (wholly or not holds):
            self._end_lease(agent.lease)

    def _end_lease(self, lease: int) -> None:
        if lease in self.etcd.leases:
            self.etcd.expire(lease)

    def _other_step(self, node: str, what: str) -> None:
        agent = self.agents[node]
        other = NODES[1 - NODES.index(node)]
        if re.match(r"the replicator crashes|loses power", what):
            self._end(node)
        elif re.match(r"boots|its replicator starts", what):
            self._start(node, rebooted=what == "boots")
        elif what == "reaches etcd again" and agent is not None:
            agent.reach()
        elif re.match(r"reads that \w is ", what):
            # Reading settles nothing (S6): a core writes the record anew then.
            self.agent(node).learn(seconds=8.0)
            if self.agent(node).commit is not None:
                self.agent(node).settle()
        elif " connects, " in what:
            self.connect(node, other)
        elif what.startswith("is frozen"):
            self._offer(node, other)
        elif what.startswith("sees that its key"):
            assert agent is not None
            agent.wait(16.0)  # What was promised to it is over.
            agent.learn()
            self.tidy(agent)
            if agent.state.holds_office and not agent.killed:
                raise Parted(f"{node} serves on though its key is gone, and nobody promises")
            agent.killed = False
        elif what.startswith("reads that it is primary"):
            self._read(node)
        # All else is the replicators'.

    def _end(self, node: str) -> None:
        """All its processes are gone. What hangs on its lease stays until a step ends that, if it has the key."""
        ended = self.agents[node]
        if ended is not None:
            self.ended[node] = ended
        self.agents[node] = None
        kv = self.etcd.get_now(KEYS.primary)
        if ended is not None and (kv is None or kv.lease != ended.lease):
            self._end_lease(ended.lease)

    def _start(self, node: str, *, rebooted: bool) -> None:
        self.boots[node] += 1 if rebooted else 0
        self.agents[node] = self._new(node, self.ended[node].disk)

    def _offer(self, node: str, other: str) -> None:
        """The operator swaps."""
        agent = self.agent(node)
        self.agent(other).learn()
        self.tidy(self.agent(other))
        agent.learn()
        self.tidy(agent)
        self.request("swap", node)
        for seconds in PATIENCE_S[:4]:
            agent.learn(seconds=seconds)
            self.tidy(agent)
            kv = self.etcd.get_now(KEYS.member(node))
            if kv is not None and '"hand_over":{' in kv.value.replace(" ", ""):
                return
        raise Parted(f"{node} offers its place to nobody: {agent.state.leaving}, {agent.state.rep}")

    def _read(self, node: str) -> None:
        agent = self.agent(node)
        for seconds in PATIENCE_S:
            agent.learn(seconds=seconds)
            self.tidy(agent)
            if agent.state.rep in SERVES:
                break
        key = self.etcd.get_now(KEYS.primary)
        if key is not None and decode(PrimaryRecord, key.value).instance != agent.state.instance:
            raise Stricter("the key is of a process that is gone")
        if not agent.state.is_primary:
            raise Parted(f"{node} does not find itself primary")

    # --- a transaction --------------------------------------------------------------------------------------

    def _transaction(self, node: str, what: str, tag: Tag, before: State, after: State) -> None:
        agent = self.agent(node)
        if what.startswith("writes") and self._is_settled_by_now(agent, after):
            return
        commit = self._offered(agent, what, tag, before)
        if commit.tag is not tag:
            raise Parted(f"{node} offers {commit.tag}, the model's {what}")
        same_guards(self.world, agent, node, commit, what, before)
        outcome = what.rpartition(", ")[2]
        same_record(agent, node, commit, what, after if outcome != "delayed" else None)
        if outcome == "delayed":
            kind = {"stands": "elect", "takes": "take over", "adds": "add", "drops": "drop"}[verb_of(what)]
            self.late.append((node, kind, agent.unknown()))
        elif outcome == "answer lost":
            if not self.executes(agent.unknown()):
                raise Parted(f"the store refuses: {node} {what}")
        elif not agent.settle():
            raise Parted(f"the store refuses: {node} {what}")
        self.tidy(agent)
        agent.proves = False
        if not what.startswith("resumes"):
            agent.killed = False

    def _offered(self, agent: Agent, what: str, tag: Tag, before: State) -> k.Commit:
        """What it offers when it knows what the model's node knows."""
        node, other = agent.node, agent.other
        n = NODES.index(node)
        peer = agent.state.peers.get(other)
        if what.startswith(("adds", "writes the record anew with ")) and (
            peer is None or peer.link is not Link.COMPLETE
        ):
            self.complete(node, other)
        # The model's node does not know that its key is gone: neither does this one.
        unaware = tag is Tag.RECORD and (before.store.key is None or before.store.key.node != n)
        if what.startswith("resumes"):
            agent.proves = True
            agent.wait(2.0)
        for seconds in PATIENCE_S:
            agent.learn(seconds=seconds, of_store=not unaware)
            if agent.commit is not None and agent.commit.tag is tag:
                record = agent.state.insync
                changes = record is None or record.record.nodes != record_in(agent.commit).nodes
                if tag is not Tag.RECORD or changes or what.startswith(("withdraws", "writes")):
                    return agent.commit
            self.tidy(agent)
        if tag is Tag.ELECT and before.store.named and agent.state.insync is None and not agent.state.named:
            raise Stricter("an operator's word is for the process that has heard it")
        raise Parted(
            f"{node} does not do what the model's does: {what}; it is {agent.state.rep}, {agent.state.peers}, "
            f"{agent.state.insync}"
        )

    def _is_settled_by_now(self, agent: Agent, after: State) -> bool:
        """Its change was executed, though no answer came: the record has moved since, and is as it wanted it.

        Then nothing that it has sent can be executed any more, and a core does not write it once more.
        """
        late = agent.state.late_record
        record = self.etcd.get_now(KEYS.insync)
        assert record is not None
        nodes = {NODES[h.node] for h in after.store.holders}
        if late is None or record.mod_revision == late or decode(InsyncRecord, record.value).nodes != nodes:
            return False
        agent.learn()
        self.tidy(agent)
        return agent.state.late_record is None

    # --- what must not be offered ---------------------------------------------------------------------------

    def refuses(self, state: State) -> None:
        """No core offers a transaction that the store would take and the model does not allow in this state.

        Not if it hears all that its replicator has said, and however long it waits.
        """
        allowed = self._allowed(state)
        for node, agent in self.agents.items():
            if agent is None or not agent.has_lease:
                continue
            for commit in (knowing.commit for knowing in agent.prospects()):
                if commit is None or commit.tag in (Tag.RESIGN, Tag.ADOPT) or not self.would_change(commit):
                    continue
                lists = frozenset((h.node, h.boot_id) for h in record_in(commit).holders)
                if (node, commit.tag, lists) not in allowed:
                    raise Parted(f"{node} offers what the model does not allow: {commit}")

    def _allowed(self, state: State) -> _Allowed:
        """What nodes may do though nothing goes wrong any more: at once, or once one has seen how things are."""
        found = list(steps(self.beyond, state._replace(budget=Budget())))
        for step in tuple(found):
            if _SEES.match(step.text):
                found += (s for s in steps(self.beyond, step.state) if s.text[0] == step.text[0])
        return {
            (
                step.text[0].lower(),
                TAGS.get(verb_of(step.text[3:])),
                frozenset((NODES[h.node], f"{NODES[h.node]}-boot-{h.boot}") for h in step.state.store.holders),
            )
            for step in found
        }
