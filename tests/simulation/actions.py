"""What can be done to a simulated cluster, by the words that scenarios and schedules are written in.

``crash a``, ``cut primary > store``, ``store away`` …: each line is one action, done at once. A node is named, or is
the ``primary`` or the ``second`` of that moment. Times are ``12s`` or ``300ms``.
"""

import re
from collections.abc import Callable

from manager.model.states import Run
from tests.simulation.clockwork import MS_NS, SECOND_NS
from tests.simulation.cluster import Cluster
from tests.simulation.machine import CLUSTER, Machine
from tests.simulation.network import CLIENT, STORE
from tests.simulation.operating import Insisting, decide, force

Words = list[str]
DOUBT_NS = 15 * SECOND_NS
"""After a clock has been wrong by more than the margin, what rests on clocks may fail for so long."""


class ActionError(Exception):
    """A line that is no action."""


def span_ns(text: str) -> int:
    """``12s``, ``1.5s`` or ``300ms``.

    Raises:
        ActionError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s)", text)
    if match is None:
        raise ActionError(f"a time: found {text!r}; allowed: 12s, 1.5s, 300ms")
    return round(float(match[1]) * (SECOND_NS if match[2] == "s" else MS_NS))


def do(cluster: Cluster, line: str) -> None:
    """One action.

    Raises:
        ActionError: there is no such action, or node.
    """
    verb, *words = line.split()
    words = [_meant(cluster, word) for word in words]
    action = ACTIONS.get(verb)
    if action is None:
        raise ActionError(f"an action: found {line!r}; allowed: {' '.join(ACTIONS)}")
    action(cluster, words)


def _meant(cluster: Cluster, word: str) -> str:
    """``primary`` is the node that serves now, or did last; ``second`` is another one."""
    if word not in ("primary", "second"):
        return word
    running = [name for name, node in cluster.nodes.items() if node.application_runs]
    record = cluster.store.record
    last = record.last_primary if record is not None else cluster.plan.nodes[0]
    primary = running[0] if running else last
    return primary if word == "primary" else next(n for n in cluster.plan.nodes if n != primary)


def _node(cluster: Cluster, words: Words) -> Machine:
    if not words or words[0] not in cluster.nodes:
        raise ActionError(f"a node: found {' '.join(words)!r}; allowed: {' '.join(cluster.nodes)}")
    return cluster.nodes[words[0]]


# Machines and processes


def _boot(cluster: Cluster, words: Words) -> None:
    """Init starts the agent: after a crash, or after the agent was killed.

    What a request of the killed one has listed meanwhile, the new one does not know as listed by itself.
    """
    cluster.flapping.forget()
    cluster.to_and_fro.forget()
    for name in words or cluster.plan.nodes:
        _node(cluster, [name]).start()


def _crash(cluster: Cluster, words: Words) -> None:
    """All processes die; the kernel lives."""
    cluster.flapping.forget()
    _node(cluster, words).crash(power=False)


def _power(cluster: Cluster, words: Words) -> None:
    """The machines lose power."""
    for name in words:
        _node(cluster, [name]).crash(power=True)


def _kill(cluster: Cluster, words: Words) -> None:
    """``kill agent a``, ``kill replicator a``: kill -9."""
    node = _node(cluster, words[1:])
    cluster.flapping.forget()
    {"agent": node.kill_agent, "replicator": node.kill_replicator}[words[0]]()


def _ttl(cluster: Cluster, words: Words) -> None:
    """``ttl b 4s``: so long is the lease of its agent, from that one's next start on (``lease.ttl`` of its file)."""
    _node(cluster, words).ttl_s = round(span_ns(words[1]) / SECOND_NS)


def _quit(cluster: Cluster, words: Words) -> None:
    """The agent is told to end: the module stops there."""
    agent = _node(cluster, words).agent
    cluster.flapping.forget()
    if agent is not None:
        agent.stop()


def _freeze(cluster: Cluster, words: Words) -> None:
    """``freeze node a``; or ``agent``, ``replicator``, ``both``."""
    _node(cluster, words[1:]).freeze(words[0])


def _pause(cluster: Cluster, words: Words) -> None:
    """The whole machine stands still, its clock too."""
    _node(cluster, words).pause()


def _thaw(cluster: Cluster, words: Words) -> None:
    """What is frozen or paused there, or anywhere, runs again."""
    for name in words or cluster.plan.nodes:
        _node(cluster, [name]).thaw()


def _jump(cluster: Cluster, words: Words) -> None:
    """``jump a 10s``: its CLOCK_BOOTTIME shows so much more, as after a suspension."""
    _node(cluster, words).clock.jump(span_ns(words[1]))
    _doubt(cluster)


def _doubt(cluster: Cluster) -> None:
    applications = cluster.applications
    applications.doubted_until_ns = max(applications.doubted_until_ns, cluster.clock.now_ns + DOUBT_NS)
    cluster.flapping.forget()


# Disks


def _full(cluster: Cluster, words: Words) -> None:
    """Nothing more can be written to its disk."""
    _node(cluster, words).copy.full = True


def _room(cluster: Cluster, words: Words) -> None:
    """There is space again."""
    _node(cluster, words).copy.full = False


def _eio(cluster: Cluster, words: Words) -> None:
    """An error on writeback: what was not synced may be gone."""
    _node(cluster, words).lose_writeback()


def _replace(cluster: Cluster, words: Words) -> None:
    """Another disk, an empty one, is there at its next start; ``replace b spare``: if another whole copy is listed."""
    node, record = _node(cluster, words), cluster.store.record
    listed = [] if record is None else [cluster.nodes[name].copy for name in record.nodes - {node.name}]
    if "spare" not in words or any(copy.vouches() is not None for copy in listed):
        node.copy.replace()


def _image(cluster: Cluster, words: Words) -> None:
    """An image of its disk is taken."""
    _node(cluster, words).copy.take_image()


def _put_back(cluster: Cluster, words: Words) -> None:
    """Its disk is what it was when the image was taken, at its next start: where it is off, and not listed.

    ``put_back b old``: or listed, for an epoch that the image has not seen.
    """
    node, record = _node(cluster, words), cluster.store.record
    if node.agent is not None or record is None:
        return
    seen = node.copy.image_epoch
    if node.name not in record.nodes or ("old" in words and 0 < seen < record.epoch):
        node.copy.put_back()
        cluster.note(f"an image of {node.name} was put back")


def _exchange(cluster: Cluster, words: Words) -> None:
    """``exchange a b``: each has the other one's disk from its next start on; again: its own. Both are off."""
    one, other = _node(cluster, words[:1]), _node(cluster, words[1:])
    if one.replicator is None and other.replicator is None:
        one.exchange(other)


# Links


def _cut(cluster: Cluster, words: Words) -> None:
    """``cut a`` (from everyone), ``cut a b``, ``cut a > store`` (one way), ``cut a store``."""
    network = cluster.network
    match words:
        case [one]:
            network.isolate(one, cluster.plan.nodes)
        case [one, ">", other]:
            network.cut(one, other, one_way=True)
        case [one, other]:
            network.cut(one, other)
        case _:
            raise ActionError(f"what to cut: found {' '.join(words)!r}; allowed: a, a b, a > b, a {STORE}")


def _slow(cluster: Cluster, words: Words) -> None:
    """``slow a b 200ms``: up to so much more, both ways; ``slow a > b 2s``: one way."""
    one, *_, other, most = words
    for pair in ((one, other),) if ">" in words else ((one, other), (other, one)):
        cluster.network.slow_ms[pair] = span_ns(most) / MS_NS


def _heal(cluster: Cluster, words: Words) -> None:
    """All links; or those that were cut between two."""
    if not words:
        cluster.network.heal()
        return
    one, other = words
    cluster.network.cuts -= {(one, other), (other, one)}
    for pair in ((one, other), (other, one)):
        cluster.network.slow_ms.pop(pair, None)


# The store


def _blind(cluster: Cluster, words: Words) -> None:
    """``blind a 5s``: its watch shows nothing for so long, although its calls are answered."""
    agent = _node(cluster, words).agent
    if agent is not None:
        agent.watch.go_blind(span_ns(words[1]))


def _late(cluster: Cluster, words: Words) -> None:
    """``late a 8s``: its next decision is executed so late, and the answer is lost."""
    agent = _node(cluster, words).agent
    if agent is not None:
        agent.link.late_ns = span_ns(words[1])


def _store(cluster: Cluster, words: Words) -> None:
    """``store away``, ``frozen``, ``back``, ``back without leases``, ``backup``, ``restored``,
    ``rebuilt`` and what follows from that."""
    etcd = cluster.clock.etcd
    match words:
        case ["away"]:
            etcd.go(frozen=False)
        case ["frozen"]:
            etcd.go(frozen=True)
        case ["back"]:
            etcd.come_back(leases=True)
        case ["back", "without", "leases"]:
            if not etcd.up:
                if cluster.clock.now_ns < etcd.gone_ns + cluster.plan.ttl_s * SECOND_NS:
                    _doubt_clocks(cluster)  # They end before their time: only a wrong clock does that.
                etcd.come_back(leases=False)
        case ["backup"]:
            etcd.back_up()
        case ["restored"]:
            if cluster.clock.etcd.has_backup:
                cluster.restore_store()
        case ["rebuilt"]:
            cluster.rebuild_store()
        case _:
            raise ActionError(f"store: found {' '.join(words)!r}; allowed: away, frozen, back, backup, restored")


def _force(cluster: Cluster, words: Words) -> None:
    """``force b``: its copy goes on, though the record does not list it; ``force b fence``: the last primary is turned
    off for it; ``force b wrong``: another one is named than the last primary; ``force b store_replaced``: that is
    accepted too."""
    force(cluster, _node(cluster, words).name, words[1:])


def _insist(cluster: Cluster, words: Words) -> None:
    """``insist b``: it is named, and yes is said to whatever is asked; ``insist b force``: with ``--force``."""
    Insisting(cluster, _node(cluster, words).name, words[1:])


def _fails(cluster: Cluster, words: Words) -> None:
    """``fails fence b``: the hook with which b has others turned off says that it could not; ``fails kill b``: what is
    to be killed there does not die, but by its warden; ``fails kill off``: nowhere any more."""
    if words[0] == "fence":
        _node(cluster, words[1:]).fence_fails = True
        return
    for node in cluster.nodes.values():
        node.kill_fails = words[1] == node.name or (words[1] != "off" and node.kill_fails)


def _expire(cluster: Cluster, words: Words) -> None:
    """The store lets a live node's lease go before its time, as one with a wrong clock would."""
    kv = cluster.clock.etcd.get_now(CLUSTER.node(_node(cluster, words).name))
    if kv is not None and cluster.clock.etcd.up:
        _doubt_clocks(cluster)
        cluster.clock.etcd.expire(kv.lease)


def _doubt_clocks(cluster: Cluster) -> None:
    """Two may serve for a moment, since S5 rests on clocks; nothing else does."""
    doubted_ns = cluster.clock.now_ns + 2 * cluster.plan.ttl_s * SECOND_NS
    cluster.applications.doubted_until_ns = max(cluster.applications.doubted_until_ns, doubted_ns)


# Operators


def _start(cluster: Cluster, words: Words) -> None:
    """``mirrorfarm start``."""
    if cluster.clock.etcd.up:
        cluster.want(Run.STARTED, *words)


def _stop(cluster: Cluster, words: Words) -> None:
    """``mirrorfarm stop``. What an operator stops does not flap."""
    if cluster.clock.etcd.up:
        cluster.want(Run.STOPPED, *words)


def _prim(cluster: Cluster, words: Words) -> None:
    """``prim a``, or ``prim a store_replaced``: with what the operator accepts."""
    cluster.request("prim", _node(cluster, words).name, accept=words[1] if len(words) > 1 else "")


def _decide(cluster: Cluster, words: Words) -> None:
    """``prim`` for the copy that counts, if one has to be named, by what all nodes show (docs/operations.md)."""
    decide(cluster)


def _maintenance(cluster: Cluster, words: Words) -> None:
    """``maintenance on``, ``off``."""
    if cluster.clock.etcd.up:
        cluster.maintain(on=words == ["on"])


def _failover(cluster: Cluster, words: Words) -> None:
    """``failover off``, ``on``: applied, and taken up by each node once the module was stopped there."""
    if cluster.clock.etcd.up:
        cluster.configure(words[0])


def _swap(cluster: Cluster, words: Words) -> None:
    """On the primary, or on the node that is named, in vain."""
    name = words[0] if words else cluster.primary
    if name and cluster.clock.etcd.up:
        cluster.request("swap", name)


def _restart(cluster: Cluster, words: Words) -> None:
    """The application, or what failed."""
    if cluster.clock.etcd.up:
        cluster.request("restart", _node(cluster, words).name)


def _spoil(cluster: Cluster, words: Words) -> None:
    """``spoil config``, ``spoil desired/a``, ``spoil /primary`` (which is a node without the slash): a value that no
    release has written; who writes it next mends it. ``spoil /primary bare``: it has no lease any more."""
    if cluster.clock.etcd.up:
        cluster.spoil(words[0].removeprefix("/"), bare="bare" in words)


def _mend(cluster: Cluster, words: Words) -> None:
    """``mend insync``: what is not understood is what it was; ``mend`` alone: all that is not."""
    if cluster.clock.etcd.up:
        cluster.mend(words[0].removeprefix("/") if words else "")


# The application and its addresses


def _ends(cluster: Cluster, words: Words) -> None:
    """``ends a``: the application there ends by itself."""
    _node(cluster, words).end_application()


def _break(cluster: Cluster, words: Words) -> None:
    """``break a``: the application fails at each start there; ``break a off``: no more."""
    _node(cluster, words).broken = "off" not in words


def _addresses(cluster: Cluster, words: Words) -> None:
    """``addresses a failed``, ``addresses a in_use``: they cannot be had there; ``addresses a``: they can."""
    cluster.to_and_fro.addresses_fail()
    _node(cluster, words).addresses_fail = words[1] if len(words) > 1 else ""


ACTIONS: dict[str, Callable[[Cluster, Words], None]] = {
    "boot": _boot, "crash": _crash, "power": _power, "kill": _kill, "ttl": _ttl, "quit": _quit, "freeze": _freeze,
    "pause": _pause, "thaw": _thaw, "jump": _jump, "full": _full, "room": _room, "eio": _eio, "replace": _replace,
    "image": _image, "put_back": _put_back, "exchange": _exchange,
    "cut": _cut, "slow": _slow, "heal": _heal, "store": _store, "blind": _blind, "late": _late, "expire": _expire,
    "start": _start, "stop": _stop, "prim": _prim, "swap": _swap, "restart": _restart,
    "force": _force, "insist": _insist, "fails": _fails, "decide": _decide, "maintenance": _maintenance,
    "failover": _failover,
    "spoil": _spoil, "mend": _mend, "ends": _ends, "break": _break, "addresses": _addresses,
}  # fmt: skip

__all__ = ["ACTIONS", "CLIENT", "ActionError", "do", "span_ns"]
