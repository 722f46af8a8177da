"""A script of events with the commands expected: one line is ``event arguments -> command; command``.

The node under test is ``a``, its peer ``b``. A :class:`Desk` plays the store (the fake one), the hands and the peer:
each word of a script says what one of them does. Commands are written short; until when it may serve, its
questions for promises, wake-ups and what the member record says are left out, the last word of that can be asked for
(``is``).
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.core import commands as k
from agent.core import events as e
from agent.core.mirror import initial, step
from agent.core.settings import SECOND_NS, Settings
from agent.core.state import MirrorState
from agent.core.telling import member
from agent.core.view import ModuleView, decode_view
from manager.model import asides
from manager.model import control as c
from manager.model.codec import decode, encode
from manager.model.keys import ClusterKeys
from manager.model.records import (
    ClusterIdentity,
    DesiredRecord,
    DiskIdentity,
    Endpoint,
    HandOver,
    Holder,
    InsyncRecord,
    KnownNode,
    MemberRecord,
    ModuleConfigRecord,
    NodeRecord,
    PrimaryRecord,
    RequestRecord,
)
from manager.model.states import ModuleState, Readiness, Run
from manager.store.api import Delete, LeaseExpired, Put, Snapshot, Txn
from manager.store.fake import FakeEtcd

CLUSTER = ClusterKeys("test")
KEYS = CLUSTER.module("db")
LEASE, OTHER_LEASE = "a's lease", "b's lease"


class Desk:
    """The world of node ``a``."""

    def __init__(self, **changes: Any) -> None:
        """The module is applied and wanted on all nodes; their agents are registered. ``changes``: of the settings."""
        settings = replace(Settings(CLUSTER, "db", "a", ("a", "b"), "boot-a", "cluster", "module", "host-a"), **changes)
        self.state: MirrorState = replace(initial(settings), began_ns=1, watching=True)
        """Of an agent that began long ago: what a former one promised has run out; and that hears etcd."""
        self.etcd = FakeEtcd()
        self.store_id = "store"
        self.now_ns = 1_000 * SECOND_NS
        self.disk: DiskIdentity | None = None
        self.instances = 0
        self.commit: k.Commit | None = None
        self.leases = {f"{n}'s lease": self.etcd.grant_now(10_000) for n in settings.nodes}
        self.put(CLUSTER.identity, encode(ClusterIdentity("cluster", "")))
        self.put(KEYS.config, encode(ModuleConfigRecord("module", 1, "", {}, "", "")))
        for node in settings.nodes:
            self.put(CLUSTER.node(node), encode(NodeRecord(node, (), "1", f"boot-{node}", "", 1)), f"{node}'s lease")
            self.put(KEYS.desired(node), encode(DesiredRecord(Run.STARTED)))

    def put(self, key: str, value: str, lease: str = "") -> None:
        """Straight into the store; another node whose lease has ended has a new one."""
        if lease not in ("", LEASE) and self.leases[lease] not in self.etcd.leases:
            self.leases[lease] = self.etcd.grant_now(10_000)
        self.etcd.commit_now(Txn(then=(Put(key, value, self.leases.get(lease, 0)),)))

    def play(self, script: str) -> None:
        """Each line's event gives exactly the commands that stand behind its arrow."""
        for line in filter(None, (text.partition("#")[0].strip() for text in script.splitlines())):
            said, _, expected = line.partition("->")
            word, *arguments = said.split()
            got = "; ".join(getattr(self, f"do_{word}")(*arguments))
            assert got == expected.strip(), f"{line}\n  gave: {got}\n  state: {self.word}"

    @property
    def word(self) -> str:
        """The state's word, its readiness and its cause."""
        record = member(self.state, self.now_ns)
        return "-" if record is None else f"{record.state} {record.readiness} {record.reason}"

    def give(self, event: e.Event) -> list[str]:
        """One event, and the commands in short."""
        self.state, commands = step(self.state, event, self.now_ns)
        for command in commands:
            if isinstance(command, k.Commit):
                assert self.commit is None, "two transactions at once"
                self.commit = command
            elif isinstance(command, k.AnswerRequest):
                self.put(KEYS.request(command.request_id), encode(self._answered(command)))
        return [text for text in map(short, commands) if text]

    def _answered(self, command: k.AnswerRequest) -> RequestRecord:
        kv = self.etcd.get_now(KEYS.request(command.request_id))
        assert kv is not None
        reason = "" if command.reason is None else str(command.reason)
        answered = decode(RequestRecord, kv.value)
        return replace(answered, status=command.status, reason=reason, detail=command.detail)

    # The store

    def do_see(self) -> list[str]:
        """The watch shows everything as it is."""
        return self.give(e.Observed(self.view()))

    def view(self) -> ModuleView:
        """Everything as it is."""
        return self._view(self.etcd.range_now(CLUSTER.prefix))

    def _view(self, snapshot: Snapshot) -> ModuleView:
        depends = self.state.settings.depends
        return decode_view(CLUSTER, "db", snapshot.kvs, snapshot.revision, self.store_id, depends)

    def do_store(self, store_id: str) -> list[str]:
        """Another etcd cluster with the same keys."""
        self.store_id = store_id
        return self.do_see()

    def do_store_back(self) -> list[str]:
        """It was restored: a snapshot with a lower revision."""
        return self.give(e.StoreWentBack(replace(self.view(), revision=2)))

    def do_store_stays(self) -> list[str]:
        """The etcd that there is now was there for long: all leases that came out of a backup have ended."""
        self.state = replace(self.state, store_since_ns=1)
        return []

    def do_lease(self) -> list[str]:
        return self.give(e.LeaseRenewed(self.leases[LEASE], self.now_ns + 9 * SECOND_NS))

    def do_lease_lost(self) -> list[str]:
        self.etcd.expire(self.leases[LEASE])
        return self.give(e.LeaseLost())

    def _taken(self) -> k.Commit:
        assert self.commit is not None, "no transaction is under way"
        commit, self.commit = self.commit, None
        return commit

    def do_settle(self) -> list[str]:
        """The transaction is executed and answered, or refused for its lease; then the watch shows it."""
        commit = self._taken()
        try:
            result = self.etcd.commit_now(commit.txn)
        except LeaseExpired as gone:
            return self.give(e.TxnFailed(commit.tag, str(gone))) + self.do_see()
        gave = self.give(e.TxnSettled(commit.tag, result.succeeded, result.revision, result.found))
        return gave + self.do_see()

    def do_unknown(self, executed: str) -> list[str]:
        """No answer: ``done`` it was, or ``lost``."""
        commit = self._taken()
        if executed == "done":
            with contextlib.suppress(LeaseExpired):
                self.etcd.commit_now(commit.txn)
        return self.give(e.TxnUnknown(commit.tag))

    def do_wait(self, seconds: str) -> list[str]:
        self.now_ns += round(float(seconds) * SECOND_NS)
        return self.give(e.Tick())

    def do_record(self, epoch: str, holders: str, last: str = "b") -> list[str]:
        """The in-sync record as others left it: holders as ``a,b`` or ``a/other-boot,b``."""
        listed = []
        for text in holders.split(","):
            node, _, boot = text.partition("/")
            listed.append(Holder(node, boot or f"boot-{node}", "", int(epoch)))
        self.put(KEYS.insync, encode(InsyncRecord(int(epoch), int(epoch) * 10, last, tuple(listed))))
        return []

    def leads(self) -> bool:
        """Its key is in the store."""
        kv = self.etcd.get_now(KEYS.primary)
        return kv is not None and decode(PrimaryRecord, kv.value).node == "a"

    def do_disk(self, epoch: str, cluster: str = "cluster", store: str = "store") -> list[str]:
        self.disk = None if epoch == "none" else DiskIdentity(cluster, "module", int(epoch), 1, store)
        return []

    def do_desired(self, node: str, run: str) -> list[str]:
        self.put(KEYS.desired(node), encode(DesiredRecord(Run(run))))
        return self.do_see()

    def do_stop_all(self) -> list[str]:
        changes = tuple(Put(KEYS.desired(n), encode(DesiredRecord(Run.STOPPED))) for n in ("a", "b"))
        self.etcd.commit_now(Txn(then=changes))
        return self.do_see()

    def do_request(self, action: str, request_id: str = "r1", accept: str = "", *more: str) -> list[str]:
        """``more``: other arguments, as ``off=b``."""
        arguments = ({"accept": accept} if accept else {}) | dict(text.split("=") for text in more)
        record = RequestRecord(request_id, action, "a", "", "root", arguments)
        self.put(KEYS.request(request_id), encode(record))
        return self.do_see()

    def do_withdraws(self, request_id: str) -> list[str]:
        """Whoever asked does not wait any longer."""
        kv = self.etcd.get_now(KEYS.request(request_id))
        assert kv is not None
        self.put(KEYS.request(request_id), encode(replace(decode(RequestRecord, kv.value), status="failed")))
        return self.do_see()

    def detail(self, request_id: str) -> str:
        """What was answered beyond the reason."""
        kv = self.etcd.get_now(KEYS.request(request_id))
        assert kv is not None
        return decode(RequestRecord, kv.value).detail

    def do_known(self, node: str, addresses: str) -> list[str]:
        """Where it was to be found."""
        self.put(CLUSTER.known(node), encode(KnownNode(node, tuple(addresses.split(",")), f"boot-{node}", "")))
        return self.do_see()

    def do_probed(self, answering: str = "", untried: str = "", request_id: str = "") -> list[str]:
        """The other node answers so, or with ``no`` not; it could not be asked at ``untried``."""
        request_id = request_id or ("" if self.state.forcing is None else self.state.forcing.request_id)
        said = "" if answering in ("", "no") else answering.replace("_", " ")
        return self.give(e.NodeProbed(request_id, said, ((untried, "no route"),) if untried else ()))

    def do_fenced(self, failure: str = "") -> list[str]:
        request_id = "" if self.state.forcing is None else self.state.forcing.request_id
        return self.give(e.FenceEnded(request_id, failure.replace("_", " ")))

    def do_switch(self, node: str, name: str, value: str) -> list[str]:
        self.put(KEYS.desired(node), encode(DesiredRecord(Run.STARTED, {name: value})))
        return self.do_see()

    def do_spoil(self, *names: str) -> list[str]:
        """Keys of the module, as ``config`` or ``desired/a``, hold what no release has written; the watch shows it."""
        self.spoil(*names)
        return self.do_see()

    def spoil(self, *names: str) -> None:
        """Without anybody's seeing it yet; a key keeps its lease."""
        for name in names:
            key = KEYS.prefix + name
            kv = self.etcd.get_now(key)
            self.etcd.commit_now(Txn(then=(Put(key, "startd", 0 if kv is None else kv.lease),)))

    def do_apply(self) -> list[str]:
        """The configuration is written anew."""
        self.put(KEYS.config, encode(ModuleConfigRecord("module", 2, "", {}, "", "")))
        return self.do_see()

    def do_remove(self, name: str) -> list[str]:
        """A key of the module is deleted."""
        self.etcd.commit_now(Txn(then=(Delete(KEYS.prefix + name),)))
        return self.do_see()

    # The other node

    def do_b_is(self, state: str, epoch: str, *more: str) -> list[str]:
        """Its member record: ``frozen``, ``offers``, ``failed`` or ``broken`` beside its state; the watch shows it."""
        record = MemberRecord(
            "b", ModuleState(state), Readiness.READY, "in_sync", "boot-b", "b1", Endpoint("host-b", 7), None, int(epoch)
        )
        if "frozen" in more or "offers" in more:
            number = 0 if self.state.insync is None else self.state.insync.record.number
            offer = HandOver("a", int(epoch), number) if "offers" in more else None
            record = replace(record, frozen=True, hand_over=offer)
        if "failed" in more:
            record = replace(record, resources={"application": "failed"})
        if "broken" in more:
            record = replace(record, readiness=Readiness.TRANSIENT, reason="replicator_failed")
        self.put(KEYS.member("b"), encode(record), OTHER_LEASE)
        return self.do_see()

    def do_b_starts(self) -> list[str]:
        """Its agent is new, and does not know yet what its replicator does."""
        record = MemberRecord(
            "b", ModuleState.WAIT, Readiness.TRANSIENT, "starting_replicator", "boot-b", "", None, None
        )
        self.put(KEYS.member("b"), encode(record), OTHER_LEASE)
        return self.do_see()

    def do_b_leads(self, epoch: str) -> list[str]:
        self.put(KEYS.primary, encode(PrimaryRecord("b", int(epoch), "b1")), OTHER_LEASE)
        return self.do_see()

    def do_b_takes(self, epoch: str) -> list[str]:
        """It takes the place that was offered to it."""
        listed = (Holder("b", "boot-b", "b1"), Holder("a", "boot-a", "a1"))
        record = InsyncRecord(int(epoch), 99, "b", listed)
        key = Put(KEYS.primary, encode(PrimaryRecord("b", int(epoch), "b1")), self.leases[OTHER_LEASE])
        self.etcd.commit_now(Txn(then=(key, Put(KEYS.insync, encode(record)))))
        return self.do_see()

    def do_b_is_gone(self) -> list[str]:
        self.etcd.expire(self.leases[OTHER_LEASE])
        return self.do_see()

    def do_b_withdraws(self) -> list[str]:
        self.etcd.commit_now(Txn(then=(Delete(KEYS.member("b")),)))
        return self.do_see()

    def do_b_reboots(self) -> list[str]:
        return self.do_registers("b", "boot-b2")

    def do_registers(self, node: str, boot_id: str) -> list[str]:
        self.put(CLUSTER.node(node), encode(NodeRecord(node, (), "1", boot_id, "", 1)), f"{node}'s lease")
        return self.do_see()

    def do_leaves(self, node: str) -> list[str]:
        """Its agent is not registered any more."""
        self.etcd.expire(self.leases[f"{node}'s lease"])
        return self.do_see()

    def do_member(self, node: str, state: str, boot_id: str, epoch: str = "0", disk: str = "") -> list[str]:
        """A member record: with another boot id, or a disk that has seen an epoch."""
        seen = DiskIdentity("cluster", "module", int(disk), 1, "store") if disk else None
        record = MemberRecord(
            node, ModuleState(state), Readiness.READY, "", boot_id, f"{node}1", Endpoint("h", 7), seen, int(epoch)
        )
        self.put(KEYS.member(node), encode(record), f"{node}'s lease")
        return self.do_see()

    # This node

    def do_hello(self, role: str = "idle", epoch: str = "0") -> list[str]:
        if role == "idle":
            self.instances += 1
        instance = f"a{max(1, self.instances)}"
        return self._says(c.Hello(1, instance, 5, role, int(epoch), self.disk))

    def do_hello_diverged(self, epoch: str = "0") -> list[str]:
        """A process that finds on the disk that something is yet to be set aside, and that it has seen ``epoch``."""
        self.instances += 1
        hello = c.Hello(1, f"a{self.instances}", 5, "idle", 0, None, diverged=True, seen_epoch=int(epoch))
        return self._says(hello)

    def do_hello_partial(self, epoch: str) -> list[str]:
        """A process of several disks, of which one was replaced; another one has seen ``epoch``."""
        self.instances += 1
        return self._says(c.Hello(1, f"a{self.instances}", 5, "idle", 0, None, seen_epoch=int(epoch)))

    def do_hello_foreign(self) -> list[str]:
        """A process of a disk that was another cluster's."""
        self.instances += 1
        return self._says(c.Hello(1, f"a{self.instances}", 5, "idle", 0, None, foreign="it is of cluster old"))

    def do_hello_joining(self, epoch: str) -> list[str]:
        """A process that finds its disks in the middle of a join, which have noted ``epoch``."""
        self.instances += 1
        return self._says(c.Hello(1, f"a{self.instances}", 5, "idle", 0, None, joining_epoch=int(epoch)))

    def do_aside(self, what: str) -> list[str]:
        """How the setting aside goes: ``keeping``, ``full``, ``failed`` or ``kept``."""
        said: dict[str, c.Event] = {
            "keeping": asides.SettingAside("b", self.state.epoch), "full": asides.NotSetAside("b", True, "no room"),
            "failed": asides.NotSetAside("b", False, "input/output error"),
            "kept": asides.SetAside("b", 1, 3, 4),
        }  # fmt: skip
        return self._says(said[what])

    def _says(self, event: c.Event) -> list[str]:
        return self.give(e.ReplicatorSaid(event))

    def do_serving(self) -> list[str]:
        self.disk = DiskIdentity("cluster", "module", self.state.epoch, 1, self.store_id)
        return self._says(c.Serving(self.state.epoch))

    def do_following(self) -> list[str]:
        return self._says(c.Following("b", self.state.follow_epoch))

    def do_stream_lost(self, left: str = "") -> list[str]:
        """``left``: the copy is ``joining``, in the middle of it, or ``whole``, whether it was before or not."""
        return self._says(c.StreamLost("b", "closed", *self._left(left)))

    def do_joined(self) -> list[str]:
        """The join of the stream that stands is through."""
        return self._says(c.Joined(self.state.follow_epoch, self._made_equal()))

    def do_closed(self, left: str = "") -> list[str]:
        """``left``: as of a stream that is lost."""
        return self._says(c.StreamClosed(self.state.epoch, *self._left(left)))

    def _left(self, word: str) -> tuple[bool, DiskIdentity | None]:
        return word == "joining", self._made_equal() if word == "whole" else None

    def _made_equal(self) -> DiskIdentity:
        epoch = self.state.follow_epoch
        return DiskIdentity("cluster", "module", epoch, 1, self.state.told_store, epoch)

    def do_b_promises(self, seconds: str, instance: str = "b1") -> list[str]:
        """Its answer to the question that was asked last."""
        asked_ns, for_ms = self.state.asked_ns, round(float(seconds) * 1000)
        return self._says(c.Promised("b", instance, self.state.epoch, asked_ns, for_ms))

    def do_asked(self, epoch: str) -> list[str]:
        """The primary asks this node not to stand."""
        return self._says(c.PromiseAsked("b", int(epoch), 1))

    def do_new_agent(self) -> list[str]:
        """Another process in its place, which knows nothing."""
        self.state = initial(self.state.settings)
        return self.give(e.Tick())

    def do_frozen(self) -> list[str]:
        return self._says(c.Frozen())

    def do_connected(self) -> list[str]:
        return self._says(c.PeerConnected("b", "b1"))

    def do_complete(self, epoch: str = "") -> list[str]:
        return self._says(c.PeerComplete("b", "boot-b", "b1", int(epoch) if epoch else self.state.epoch))

    def do_lost(self) -> list[str]:
        return self._says(c.PeerLost("b", "slow"))

    def do_failed(self) -> list[str]:
        return self._says(c.Failed("input/output error"))

    def do_idled(self) -> list[str]:
        return self._says(c.Idled())

    def do_memory_lost(self) -> list[str]:
        return self._says(c.Failed("input/output error", memory_lost=True))

    def do_refused(self, command: str) -> list[str]:
        return self._says(c.Refused(command, "not now"))

    def do_gone(self) -> list[str]:
        return self.give(e.ReplicatorGone("signal 9"))

    def do_app_failed(self) -> list[str]:
        return self.give(e.ApplicationFailed("exit code 1"))

    def do_app_gone(self) -> list[str]:
        return self.give(e.ApplicationGone("exit code 1"))

    def do_no_address(self) -> list[str]:
        return self.give(e.AddressesFailed(in_use=False, detail="no such interface"))

    def do_in_use(self) -> list[str]:
        return self.give(e.AddressesFailed(in_use=True, detail="52:54:00:00:00:01"))

    def __getattr__(self, name: str) -> Callable[[], list[str]]:
        """The plain answers of the hands: ``prepared``, ``app_started``, ``killed`` …"""
        answers: dict[str, e.Event] = {
            "do_prepared": e.Prepared(), "do_finished": e.Finished(), "do_app_started": e.ApplicationStarted(),
            "do_app_stopped": e.ApplicationStopped(), "do_added": e.AddressesAdded(),
            "do_dropped": e.AddressesDropped(), "do_killed": e.Killed(), "do_stopped": e.ReplicatorStopped(),
            "do_agent_stopping": e.AgentStopping(), "do_silent": e.StoreSilent(), "do_heard": e.StoreHeard(),
        }  # fmt: skip
        if name not in answers:
            raise AttributeError(name)
        return lambda: self.give(answers[name])

    def do_is(self, *words: str) -> list[str]:
        """Looks at the state's word instead of giving an event."""
        assert self.word == " ".join(words), self.word
        return []


def short(command: k.Command) -> str:
    """A command as scripts write it; empty: left out."""
    match command:
        case k.WakeAt() | k.PublishMember() | k.ServeUntil() | k.Tell(c.AskPromises()):
            return ""
        case k.Commit(tag):
            return f"commit {tag}"
        case k.AnswerRequest(_, status, reason):
            return f"answer {status}" + (f" {reason}" if reason else "")
        case k.Tell(c.Serve(epoch, decided=True)):
            return f"serve {epoch} decided"
        case k.Tell(c.Serve(epoch)):
            return f"serve {epoch}"
        case k.Tell(c.Settled(_, _, _, holders)):
            return f"settled {','.join(holders)}"
        case k.Tell(c.Follow(epoch, _, primary, diverged=True)):
            return f"follow {primary} {epoch} diverged"
        case k.Tell(c.Follow(epoch, _, primary)):
            return f"follow {primary} {epoch}"
        case k.ProbeNode(_, node, addresses):
            return f"probe {node} {','.join(addresses)}"
        case k.Fence(_, node):
            return f"fence {node}"
        case k.Tell(told):
            return type(told).__name__
        case k.KillEverything(reason):
            return f"kill {reason}"
        case _:
            return type(command).__name__
