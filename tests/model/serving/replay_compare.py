"""Whether the shipped cores say what the timed model says: of a transaction, and of a state."""

from dataclasses import replace
from typing import TYPE_CHECKING

from agent.core import commands as k
from agent.core import promising
from agent.core.events import Tag
from manager.model.codec import decode
from manager.model.records import InsyncRecord, PrimaryRecord
from manager.store.api import CreateRevisionIs, Guard, KeyAbsent, ModRevisionIs, Put
from manager.store.fake import FakeEtcd
from tests.model.replay_agent import KEYS
from tests.model.replay_words import Parted, record_in
from tests.model.serving.actions import actions
from tests.model.serving.draft import limit
from tests.model.serving.primary import listing
from tests.model.serving.replay_agent import TimedAgent, ticks_left
from tests.model.serving.secondary import is_bound
from tests.model.serving.state import ORPHAN, PRIMARY, WAITS, Bounds, Budget, State
from tests.model.serving.transactions import is_unread
from tests.model.world import name

if TYPE_CHECKING:
    from tests.model.serving.replay import Replay


def same_transaction(etcd: FakeEtcd, agent: TimedAgent, commit: k.Commit, what: str, after: State | None) -> None:
    """The key as S1 and S2 want it, the record's revision; and what the model's node writes."""
    own = agent.state.primary
    wanted: list[Guard] = [ModRevisionIs(KEYS.insync, agent.state.insync_revision)]
    if commit.tag in (Tag.ELECT, Tag.RESUME):
        wanted.append(KeyAbsent(KEYS.primary))
    else:
        assert own is not None
        wanted.append(CreateRevisionIs(KEYS.primary, own.create_revision))
    if sorted(map(repr, commit.txn.guards)) != sorted(map(repr, wanted)):
        raise Parted(f"{agent.node} {what}: it tests {commit.txn.guards}, the model {wanted}")
    puts = {put.key: put for put in commit.txn.then if isinstance(put, Put)}
    if KEYS.insync not in puts:
        raise Parted(f"{agent.node} {what}: it leaves the record as it is")
    record = record_in(commit)
    if commit.tag in (Tag.ELECT, Tag.TAKE_OVER, Tag.RESUME, Tag.ADOPT):
        key = puts[KEYS.primary]
        primary = decode(PrimaryRecord, key.value)
        if (primary.node, primary.epoch, key.lease) != (agent.node, record.epoch, agent.lease):
            raise Parted(f"{agent.node} {what}: {primary} on lease {key.lease}")
    if after is not None:
        store = after.store
        writes = (record.epoch, listed_in(record), record.last_primary.upper())
        if writes != (store.epoch, listing(store.holders), name(store.last)):
            raise Parted(f"{agent.node} {what}: it writes {record}, the model {store}")
    if (commit.tag is Tag.RESIGN) is not (record.released == record.epoch):
        raise Parted(f"{agent.node} {what}: it says that epoch {record.released} is released")


def allowed(bounds: Bounds, state: State) -> frozenset[str]:
    """What may happen, whatever is left of what may go wrong: at once, or once a node has left its place."""
    bounds = replace(bounds, epochs=bounds.epochs + 1)
    found = list(actions(bounds, state._replace(budget=_PLENTY)))
    texts = {text for text, _ in found}
    for text, draft in found:
        if text.endswith(" is primary no more"):
            texts.update(then for then, _ in actions(bounds, draft.finish(bounds)))
    return frozenset(texts)


_PLENTY = Budget(1, 1, 1, 1, 1, 1, 1, 1)


def listed_in(record: InsyncRecord) -> str:
    """The nodes, as the model names them."""
    return " ".join(sorted(record.nodes)).upper()


def compare(replay: "Replay", state: State, may: frozenset[str]) -> None:
    """Each node's core says what the model says of it.

    Args:
        replay: the agents.
        state: of the model.
        may: what may happen in it, whatever is left of what may go wrong.
    """
    for n, at in enumerate(state.nodes):
        node = replay.nodes[n]
        agent = replay.agents[node]
        if agent is None:
            told_ns = replay.wardens.get(node, 0)
            if (at.serves, at.told if at.role is ORPHAN else 0) != (told_ns > replay.clock.now_ns, _told(replay, node)):
                raise Parted(f"{node}, without its agent, serves until {told_ns}, in the model for {at.told}")
            continue
        _compare_serving(replay, state, n, agent, may)
        if at.role is WAITS and not is_unread(state, n):
            _compare_promise(replay, state, n, agent)
        _compare_offers(replay, state, n, agent, may)
        if at.role is WAITS:
            _compare_answers(replay, state, n, agent, may)


def _told(replay: "Replay", node: str) -> int:
    return ticks_left(replay.wardens.get(node, 0), replay.clock.now_ns)


def _compare_serving(
    replay: "Replay", state: State, n: int, agent: TimedAgent, may: frozenset[str]
) -> None:  # fmt: skip
    """Who serves, until when, and what its warden was told (S5, S7)."""
    at, now_ns = state.nodes[n], agent.now_ns
    if agent.serves and not at.serves and f"{name(n)}: serves epoch {at.epoch}" not in may:
        raise Parted(f"{agent.node} serves, and may not")
    if at.role is not PRIMARY or not at.serves:
        return
    if not agent.serves:
        raise Parted(f"{agent.node} does not serve on: {agent.state.rep}, {agent.state.app}")
    left = limit(replay.bounds, at, n)
    right_ns, alone = promising.right_ns(agent.state, now_ns), not promising._others(agent.state)
    if alone is not (left < 0) or (not alone and ticks_left(right_ns, now_ns) != left):
        raise Parted(f"{agent.node} may serve for {ticks_left(right_ns, now_ns)}, alone: {alone}; in the model {left}")
    told = ticks_left(agent.state.told_until_ns, now_ns)
    if told != at.told:
        raise Parted(f"{agent.node} has told its warden of {told}, the model's node of {at.told}")


def _compare_promise(replay: "Replay", state: State, n: int, agent: TimedAgent) -> None:
    """Whether it may stand as far as it has promised not to (S5)."""
    knowing = agent.shadow()
    knowing.see()
    bound = knowing.now_ns < promising.bound_ns(knowing.state)
    if bound is not is_bound(replay.bounds, state, n):
        raise Parted(f"{agent.node} is bound: {bound}; in the model {not bound}")


def _compare_answers(
    replay: "Replay", state: State, n: int, agent: TimedAgent, may: frozenset[str]
) -> None:  # fmt: skip
    """It gives no promise that the model's node does not give."""
    for p, primary in enumerate(replay.nodes):
        question, asked = state.questions[p * replay.bounds.nodes + n], replay.asked.get((primary, agent.node))
        if question is None or question.answered or asked is None:
            continue
        promise = agent.shadow().promises(primary, *asked)
        if promise is not None and f"{name(n)}: promises {name(p)} not to stand" not in may:
            raise Parted(f"{agent.node} promises {primary} not to stand, and may not")


def _compare_offers(
    replay: "Replay", state: State, n: int, agent: TimedAgent, may: frozenset[str]
) -> None:  # fmt: skip
    """However long it waits, it offers no transaction that the store would take and the model does not allow."""
    if not agent.has_lease:
        return
    for knowing in agent.prospects():
        commit = knowing.commit
        if commit is not None and replay.would_change(commit) and not _does(state, n, knowing, commit, may):
            raise Parted(f"{agent.node} offers what the model does not allow: {commit}")


def _does(state: State, n: int, knowing: TimedAgent, commit: k.Commit, may: frozenset[str]) -> bool:
    """The model's node does it, too."""
    who = name(n)
    match commit.tag:
        case Tag.ELECT:
            return f"{who}: stands" in may
        case Tag.TAKE_OVER:
            return any(text.startswith(f"{who}: takes over from ") for text in may)
        case Tag.RESUME:
            return any(text.startswith(f"{who}: resumes") for text in may)
        case Tag.ADOPT:
            return f"{who}: adopts what serves" in may
        case Tag.RESIGN:
            return f"{who}: gives up its place" in may and not knowing.serves
        case _:
            return _may_write(state, n, record_in(commit), may)


def _may_write(state: State, n: int, record: InsyncRecord, may: frozenset[str]) -> bool:
    who, now, wanted = name(n), state.store.holders, sum(1 << (ord(node) - ord("a")) for node in record.nodes)
    node = state.nodes[n]
    if node.unknown:
        # It drops in one whom it would drop next.
        ways = (node.holders, node.holders ^ node.unknown)
        return any(not wanted & ~way and f"{who}: writes the record anew: {listing(way)}" in may for way in ways)
    verbs = {"adds": wanted & ~now, "drops": now & ~wanted}
    return all(f"{who}: {verb} {x}" in may for verb, bits in verbs.items() for x in listing(bits).split())
