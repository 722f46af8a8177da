"""Until when this node may serve, and what it promises as a secondary (S5). Pure.

A primary serves while its lease lasts, and beyond it for as long as it can show that no other node can be promoted: it
is alone in the record by a settled transaction, or every other node that the record lists, or may list, has just
promised not to stand. So a healthy pair outlives a loss of etcd. Promises are asked for all the time, since nobody
knows when etcd will fail.

It does not know how a question travels, nor what is stopped when the time is over (``fencing``).
"""

from agent.core import transactions
from agent.core.commands import ServeUntil, Tell
from agent.core.copying import replace
from agent.core.events import Tag
from agent.core.opening import commit, may_commit
from agent.core.settings import MS_NS
from agent.core.state import SERVES, Link, MirrorState, Move, Rep
from agent.core.vouching import disk_objection
from manager.model.control import AskPromises, Promise

_WOULD_STAND = frozenset({Tag.ELECT, Tag.TAKE_OVER})


# As primary


def right_ns(state: MirrorState, now_ns: int) -> int:
    """Until when this node may serve; in the past: it may not."""
    by_lease_ns = state.lease.deadline_ns if state.is_primary and state.lease is not None else 0
    return max(by_lease_ns, proof_ns(state, now_ns))


def proof_ns(state: MirrorState, now_ns: int) -> int:
    """Until when no other node can be promoted, as far as this node can show; 0: it cannot."""
    if state.office is None or state.is_offering:
        return 0
    others = _others(state)
    if not others:
        return now_ns + state.settings.promise_ns - state.settings.taken_off_ns
    return min(_given_ns(state, node) for node in others)


def _others(state: MirrorState) -> frozenset[str]:
    """The other nodes that the record lists, or that a change of it of unknown outcome may have listed (S6)."""
    listed = frozenset() if state.insync is None else state.insync.record.nodes
    under_way = frozenset() if state.open is None else state.open.lists
    return (listed | under_way | state.late_lists) - {state.node}


def _given_ns(state: MirrorState, node: str) -> int:
    given, peer = state.given.get(node), state.peers.get(node)
    holder = None if state.insync is None else state.insync.record.holder(node)
    instance = holder.instance if holder is not None else "" if peer is None else peer.instance
    return given.until_ns if given is not None and given.instance == instance != "" else 0


def _ask_every_ns(state: MirrorState) -> int:
    """How often promises are asked for: so that the next one is there before the last is over.

    Another node, whose lease is shorter, promises for less than this one would.
    """
    every_ns = state.settings.ask_every_ns
    spans_ns = [state.given[node].for_ns // _ASKED_WITHIN for node in _others(state) if node in state.given]
    return max(min([every_ns, *spans_ns]), every_ns // _MOST_OFTEN)


_ASKED_WITHIN = 2
"""So often within a promise."""
_MOST_OFTEN = 8
"""So much more often than usual at the most: one that is still shorter is of no use."""


def has_lapsed(state: MirrorState, now_ns: int) -> bool:
    """The last instant that was told has passed: what serves has fenced itself, whatever came since."""
    return state.told_until_ns != 0 and now_ns >= state.told_until_ns


def tell_deadline(state: MirrorState, now_ns: int) -> Move | None:
    """What serves is told until when it may, whenever that has moved on by enough."""
    if not state.holds_office or state.rep not in SERVES or state.rep is Rep.FOUND_SERVING:
        return None
    until_ns = right_ns(state, now_ns)
    step_ns = _ask_every_ns(state) // 2
    if until_ns < state.told_until_ns + step_ns or until_ns <= now_ns:
        return None
    return Move(replace(state, told_until_ns=until_ns), (ServeUntil(until_ns),))


def ask(state: MirrorState, now_ns: int) -> Move | None:
    """Ask the others for their promises, again and again."""
    if not state.holds_office or state.rep not in (Rep.SERVING, Rep.FREEZING, Rep.FROZEN) or not _others(state):
        return None
    if state.is_offering or now_ns < state.asked_ns + _ask_every_ns(state):
        return None
    return Move(replace(state, asked_ns=now_ns), (Tell(AskPromises(now_ns)),))


def resume(state: MirrorState, now_ns: int) -> Move | None:
    """The key expired, or hangs on a lease that was given up, and etcd is back: it is written anew, same epoch (S1)."""
    if state.office is None or state.is_primary or state.rep not in (Rep.SERVING, Rep.FREEZING, Rep.FROZEN):
        return None
    if state.record_is_unreadable:
        return None  # The key is there: nobody else can have its place, nor can this node write it anew.
    if state.is_offering or not state.store_heard or not state.lease_holds(now_ns) or not may_commit(state, now_ns):
        return None
    if now_ns >= proof_ns(state, now_ns) or not _same_processes(state) or disk_objection(state) is not None:
        return None
    if state.primary is not None:
        return commit(state, transactions.adopt(state)) if state.key_is_ours else None
    return commit(state, transactions.resume(state))


def _same_processes(state: MirrorState) -> bool:
    """Every other listed node's stream stands, past its join point, from the very process that the record lists."""
    if state.insync is None:
        return False
    peers = state.peers
    others = [h for h in state.insync.record.holders if h.node != state.node]
    return all(
        h.node in peers and peers[h.node].link is Link.COMPLETE and peers[h.node].instance == h.instance for h in others
    )


# As secondary


def promise(state: MirrorState, now_ns: int) -> Move | None:
    """Answer the primary's question, if this node may promise; else there is no answer."""
    asked = state.asked
    if asked is None:
        return None
    heard = replace(state, asked=None)
    if not _may_promise(state, now_ns):
        return Move(heard)
    until_ns = now_ns + state.settings.promise_ns
    promised = replace(heard, promised_epoch=asked.epoch, promised_until_ns=until_ns)
    return Move(promised, (Tell(Promise(asked.epoch, asked.asked_ns, state.settings.promise_ns // MS_NS)),))


def _may_promise(state: MirrorState, now_ns: int) -> bool:
    asked = state.asked
    if asked is None or state.rep is not Rep.FOLLOWING or not state.stream_up or not state.settings.promises:
        return False
    if (asked.primary, asked.epoch) != (state.follow_primary, state.follow_epoch):
        return False
    would_stand = state.open is not None and state.open.commit.tag in _WOULD_STAND
    if would_stand or state.late_stand is not None:
        return False  # It may be the primary already (S3).
    if not (state.store_heard and state.lease_holds(now_ns)):
        return True
    if state.primary is not None:
        return (state.primary.record.node, state.primary.record.epoch) == (asked.primary, asked.epoch)
    if state.record_is_unreadable:
        return True  # It does not stand, and the key is there: the primary has nothing else to serve by.
    # No key: one TTL is left for it to be written anew.
    return state.primary_gone_ns is None or now_ns < state.primary_gone_ns + state.settings.ttl_ns


def bound_ns(state: MirrorState) -> int:
    """Until when a promise keeps this node from standing: its own, or one that its former agent may have made.

    One of an epoch above the record's binds it as well: that etcd is a restored one, which does not know who serves.
    """
    record = None if state.insync is None else state.insync.record
    if record is None or state.promised_epoch > record.epoch:
        return state.promised_until_ns
    if record.released == record.epoch:
        return 0
    own_ns = state.promised_until_ns if state.promised_epoch == record.epoch else 0
    if record.last_primary == state.node:
        return own_ns  # It has promised nothing since, nor has a former agent.
    former_ns = state.began_ns + state.settings.promise_ns
    return max(own_ns, former_ns, state.settings.former_promise_until_ns)


def instants(state: MirrorState, now_ns: int) -> tuple[int, ...]:
    """When time alone may change something of all this."""
    at: tuple[int, ...] = (state.promised_until_ns, bound_ns(state))
    if state.primary_gone_ns is not None:
        at += (state.primary_gone_ns + state.settings.ttl_ns,)
    if not state.holds_office:
        return at
    every_ns = _ask_every_ns(state)
    renew_ns = state.told_until_ns - state.settings.promise_ns + state.settings.taken_off_ns + every_ns
    return (*at, right_ns(state, now_ns), state.told_until_ns, state.asked_ns + every_ns, renew_ns)
