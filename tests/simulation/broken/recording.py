"""S2, S6, S10: how the record is changed, and what an answer that does not come means."""

from dataclasses import replace

from agent.core import absorbing, membership, serving
from agent.core import events as e
from agent.core.commands import Tell
from agent.core.state import Link, MirrorState, Move, Peer
from manager.model.control import Settled
from tests.simulation.broken.variant import (
    PEERS,
    ROUGH_STORE,
    Variant,
    Where,
    is_key,
    is_record,
    with_core,
    without_guards,
)


def _releases_before_it_is_settled(state: MirrorState, now_ns: int) -> Move | None:
    """A lost peer's absence is told to the replicator before the record says it."""
    insync = state.insync
    told = state.told_record == state.insync_revision
    if state.is_primary and insync is not None and told:
        record = insync.record
        lost = [n for n, p in state.peers.items() if p.link is Link.LOST and n in record.nodes]
        if lost:
            kept = tuple(n for n in sorted(record.nodes) if n not in lost)
            early = Tell(Settled(record.epoch, record.number, insync.mod_revision, kept))
            return Move(replace(state, told_record=-1), (early,))
    return _write_record(state, now_ns)


def _told_only_once(state: MirrorState, now_ns: int) -> Move | None:
    """Beside the rule above: what it has told early is not taken back."""
    return None if state.told_record == -1 else _tell_record(state, now_ns)


_write_record, _tell_record = membership.write_record, serving.tell_record


def _unknown_is_done(state: MirrorState, tag: e.Tag, now_ns: int) -> MirrorState:
    if tag is e.Tag.RECORD and state.open is not None and state.insync is not None:
        after = absorbing._after(state, state.open, state.revision + 1)
        return replace(absorbing._closed(state, tag), known=after)
    return _unknown(state, tag, now_ns)


def _unknown_is_failed(state: MirrorState, tag: e.Tag, now_ns: int) -> MirrorState:
    return replace(absorbing._closed(state, tag), commit_after_ns=now_ns + 500_000_000)


_unknown = absorbing._unknown


def _always_stable(state: MirrorState, node: str, peer: Peer, now_ns: int) -> bool:
    return True


CUTS = replace(ROUGH_STORE, faults=("machine",), mean_between_faults_s=3.0)

VARIANTS = (
    Variant(
        "s2-drop-unguarded", "A change of the record tests neither the primary's own key nor the record.", Where.CORE,
        with_core(
            PEERS,
            (
                membership.write_record,
                without_guards(membership.write_record, lambda g, s: is_key(g, s) or is_record(g, s)),
            ),
        ),
        "S",
    ),
    Variant(
        "s2-released-before-the-drop", "Completions are released before the drop is settled.", Where.CORE,
        with_core(
            PEERS,
            (membership.write_record, _releases_before_it_is_settled),
            (serving.tell_record, _told_only_once),
        ),
        "S2",
    ),
    Variant(
        "s6-unknown-is-done", "A change of the record without an answer is taken as done.", Where.CORE,
        with_core(CUTS, (absorbing._unknown, _unknown_is_done)), "S2",
    ),
    Variant(
        "s6-unknown-is-failed", "A transaction without an answer is taken as one that failed.", Where.CORE,
        with_core(CUTS, (absorbing._unknown, _unknown_is_failed)), "",
        redundant="What is sent next is guarded by the same revision of the record, and each way to get the primary "
        "key again writes the record anew: of two requests one succeeds. What is remembered keeps the node from taking "
        "a stream, promising, or passing for alone meanwhile.",
    ),
    Variant(
        "s10-listed-at-once", "A peer that was lost a moment ago is listed again as soon as it has everything.",
        Where.CORE, with_core(PEERS, (membership._is_stable, _always_stable)), "S10",
    ),
)  # fmt: skip
