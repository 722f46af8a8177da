"""What the timed model's nodes may do and the shipped cores do not: there a replay goes another way."""

import re

from agent.core.events import Tag
from agent.core.limits import ADOPT_NS, OFFER_NS
from agent.core.state import Link, Rep
from manager.model import control as c
from manager.store.api import ModRevisionIs
from tests.model.replay_words import record_in, verb_of
from tests.model.serving.primary import listing
from tests.model.serving.replay import Replay
from tests.model.serving.replay_agent import TimedAgent
from tests.model.serving.state import PRIMARY, WAITS, Node, State
from tests.model.serving.transactions import is_unsettled


def is_replayable(replay: Replay, state: State, text: str) -> bool:
    """Whether the shipped core may do it as well: that the model's nodes may do more makes what it shows stronger."""
    who, _, what = text.partition(": ")
    if _is_about_to_serve(replay, state) not in ("", who):
        return False  # A core serves as soon as it may.
    if len(who) != 1 or what in ("crashes", "starts"):
        return True
    n = ord(who) - ord("A")
    node, agent = state.nodes[n], replay.agents[replay.nodes[n]]
    if agent is None:
        return False
    if _is_about_to_serve(replay, state) == who:
        return verb_of(what) == "serves"
    other = re.match(r"(?:asks|hears the promise of|promises|adds|drops|takes over from|.* to) (\w)\b", what)
    x = ord(other[1]) - ord("A") if other and other[1].isupper() else n
    there = replay.agents[replay.nodes[x]]
    return _may(replay, state, what, n, agent, node, x, there)


def _is_about_to_serve(replay: Replay, state: State) -> str:
    for n, node in enumerate(state.nodes):
        agent = replay.agents[replay.nodes[n]]
        if node.role is PRIMARY and not node.serves and agent is not None and agent.serves:
            return replay.nodes[n].upper()
    return ""


def _may(
    replay: Replay, state: State, what: str, n: int, agent: TimedAgent, node: Node, x: int, there: TimedAgent | None
) -> bool:
    key, leaving = state.store.key, agent.state.leaving
    if leaving is not None and leaving.offered_ns and agent.now_ns >= leaving.offered_ns + OFFER_NS:
        # A core that looks at the clock withdraws its offer by itself.
        return "hears the promise" in what or (verb_of(what) == "withdraws" and node.lease > 0)
    own = key == (n, node.epoch)
    match verb_of(what):
        case "its":
            return agent.serves  # What is left of a former agent's is not told of again.
        case "serves":
            waiting = agent.shadow()
            waiting.wait(0.0)
            return waiting.serves
        case "asks":
            return agent.serves
        case "hears" if "promise" in what:
            return agent.state.office is not None
        case "promises":
            # It is asked by the stream that stands.
            return there is not None and there.has_stream_to(agent)
        case "adds":
            # A core lists by its lease alone; and only who follows, which one with a doubtful stand does not, once all
            # that are lost are dropped.
            at, others = state.nodes[x], agent.listed - {agent.node, replay.nodes[x]}
            follows = there is not None and at.role is WAITS and not at.serves and not is_unsettled(state, x)
            whole = all(agent.has_stream_to(replay.agents[other]) for other in others)
            within = node.told < node.lease or node.told <= node.lease == replay.bounds.ttl
            return own and agent.serves and follows and whole and within
        case "drops":
            return agent.serves
        case "writes":
            return _would_write(replay, agent, what)
        case "resumes":
            return key is None and agent.serves and not node.offered and _has_proof(replay, node, n, agent)
        case "is" if "frozen" in what:
            # The operator swaps with the first that is there.
            streams = sorted(at for at in replay.nodes if at in agent.listed and agent.has_stream_to(replay.agents[at]))
            return agent.serves and streams[:1] == [replay.nodes[x]]
        case "withdraws":
            return agent.state.rep is Rep.FROZEN and node.lease > 0
        case "stands":
            return key is None  # A core does not stand while it sees a key, even if that is about to go.
        case "takes":
            # Another process than the one that followed does not take over.
            offers = there is None or there.state.is_offering
            return offers and agent.state.rep in (Rep.FOLLOWING, Rep.CLOSED)
        case "adopts":
            return agent.state.rep is Rep.FOUND_SERVING and agent.now_ns < agent.state.rep_since_ns + ADOPT_NS
        case _:
            return True


def _would_write(replay: Replay, agent: TimedAgent, what: str) -> bool:
    """A core writes as wanted: with a node that has everything, without one that is lost; and only what is in doubt."""
    listed = what.partition("anew: ")[2]
    knowing = agent.shadow()
    for node, peer in agent.state.peers.items():
        if node.upper() not in listed.split() and peer.link is not Link.LOST:
            knowing.facts.append(c.PeerLost(node, "cut"))
    knowing.learn(seconds=1.0)
    commit = knowing.commit
    if commit is None or commit.tag is not Tag.RECORD:
        return False
    record = replay.etcd.get_now(next(g.key for g in commit.txn.guards if isinstance(g, ModRevisionIs)))
    doubtful = record is not None and record.mod_revision == agent.state.late_record
    wanted = sum(1 << (ord(node) - ord("a")) for node in record_in(commit).nodes)
    return doubtful and listing(wanted) == listed


def _has_proof(replay: Replay, node: Node, n: int, agent: TimedAgent) -> bool:
    """A core resumes while it can show that nobody stands, with the same processes at all ends."""
    others = [x for x in range(replay.bounds.nodes) if node.holders >> x & 1 and x != n]
    complete = {other for other, peer in agent.state.peers.items() if peer.link is Link.COMPLETE}
    return not node.unknown and all(node.promised[x] and replay.nodes[x] in complete for x in others)
