"""S2, S6, S10: who is listed, who is taken out, and what is written anew."""

from dataclasses import replace

from agent.core import absorbing_replicator, membership
from agent.core.copying import replace as changed
from agent.core.limits import STABLE_NS
from agent.core.state import Link, MirrorState, Peer
from manager.model.records import Holder
from tests.simulation.broken.recording import CUTS
from tests.simulation.broken.taking import ADDED_IN_VAIN
from tests.simulation.broken.variant import PEERS, Variant, Where, is_key, is_record, with_core, without_guards
from tests.simulation.plan import Plan


def _joining_is_complete(state: MirrorState, now_ns: int) -> tuple[Holder, ...]:
    """A node counts as having everything as soon as its stream begins."""

    def as_complete(node: str, peer: Peer) -> Peer:
        member = None if state.view is None else state.view.member(node)
        if peer.link is not Link.JOINING or member is None:
            return peer
        return replace(peer, link=Link.COMPLETE, boot_id=member.boot_id)

    return _wanted(changed(state, peers={n: as_complete(n, p) for n, p in state.peers.items()}), now_ns)


_wanted = membership.wanted_holders


def _never_lost(state: MirrorState, holder: Holder, now_ns: int) -> bool:
    return False


def _not_written(state: MirrorState, node: str, now_ns: int) -> MirrorState:
    """A node that is lost past its join point, and not listed, is no matter of the record."""
    return changed(_lost(state, node, now_ns), fence_record=state.fence_record)


_lost = absorbing_replicator.lost


def _at_any_time(state: MirrorState, node: str, now_ns: int) -> bool:
    return state.insync is not None


def _never_doubtful(state: MirrorState) -> bool:
    return False


def _only_what_was_lost(state: MirrorState) -> bool:
    return state.fence_record


def _always_as_long(state: MirrorState, node: str) -> int:
    return STABLE_NS


FLAPS = Plan(faults=("flaps",), mean_between_faults_s=20.0, seconds=40)

VARIANTS = (
    Variant(
        "s2-change-without-the-key", "A change of the record does not test the primary's own key.", Where.CORE,
        with_core(CUTS, (membership.write_record, without_guards(membership.write_record, is_key))), "S1",
    ),
    Variant(
        "s2-change-without-the-record", "A change of the record does not test its revision.", Where.CORE,
        with_core(CUTS, (membership.write_record, without_guards(membership.write_record, is_record))), "S1",
    ),
    Variant(
        "s2-listed-while-joining", "A node is listed as soon as its stream begins.", Where.CORE,
        with_core(PEERS, (membership.wanted_holders, _joining_is_complete)), "S2",
    ),
    Variant(
        "s2-never-dropped", "A node that is lost stays listed.", Where.CORE,
        with_core(PEERS, (membership.is_lost, _never_lost)), "convergence",
    ),
    Variant(
        "s2-lost-past-its-join-point", "Who is lost past its join point, and not listed, is no matter of the record.",
        Where.CORE, with_core(CUTS, (absorbing_replicator.lost, _not_written)), "",
        redundant="It holds completions all the same, until the replicator is told the record again, which a stream "
        "that does not come about brings with it.",
    ),
    Variant(
        "s2-streams-at-any-time", "A stream is asked for before the record is settled without the node.", Where.CORE,
        with_core(CUTS, (membership._is_settled_without, _at_any_time)), "",
        redundant="The replicator begins no stream to a node that it waits for, and waits for who is past its join "
        "point, whatever record it is told.",
    ),
    Variant(
        "s6-not-written-anew", "A record that is in doubt is not written anew.", Where.CORE,
        with_core(ADDED_IN_VAIN, (membership._is_doubtful, _never_doubtful)), "convergence",
    ),
    Variant(
        "s6-only-what-was-lost", "A record is written anew only where a node was lost past its join point.", Where.CORE,
        with_core(ADDED_IN_VAIN, (membership._is_doubtful, _only_what_was_lost)), "",
        redundant="Who was to be dropped is lost still, who was to be listed has everything, or was lost past its join "
        "point: in each case the record is written.",
    ),
    Variant(
        "s10-no-longer-after-each", "A node that is lost again and again has to be stable for as long as after once.",
        Where.CORE, with_core(FLAPS, (membership.stable_after_ns, _always_as_long)), "S10",
    ),
)  # fmt: skip
