"""Cores that are broken on purpose, one safety rule each: the simulation has to notice every one."""

from collections.abc import Callable
from dataclasses import replace

from agent.core import following, membership, serving
from agent.core.commands import Command, Commit, Tell
from agent.core.events import Tag
from agent.core.mirror import RULES, Rule
from agent.core.state import Link, MirrorState, Move
from manager.model.control import Settled
from manager.store.api import CreateRevisionIs, Guard, KeyAbsent, ModRevisionIs
from tests.simulation.cluster import Plan


def _instead(old: Rule, new: Rule) -> tuple[Rule, ...]:
    return tuple(new if rule is old else rule for rule in RULES)


def _without_guards(rule: Rule, dropped: Callable[[Guard, MirrorState], bool]) -> Rule:
    """``rule``, its transactions without the guards that are ``dropped``."""

    def broken(state: MirrorState, now_ns: int) -> Move | None:
        move = rule(state, now_ns)
        if move is None or move.state.open is None:
            return move

        def strip(command: Command) -> Command:
            if not isinstance(command, Commit) or command.tag is Tag.RESIGN:
                return command
            guards = tuple(g for g in command.txn.guards if not dropped(g, state))
            return replace(command, txn=replace(command.txn, guards=guards))

        return Move(move.state, tuple(strip(c) for c in move.commands))

    return broken


def _record_revision(guard: Guard, state: MirrorState) -> bool:
    return isinstance(guard, ModRevisionIs | KeyAbsent) and guard.key == state.settings.keys.insync


def _own_key(guard: Guard, state: MirrorState) -> bool:
    return isinstance(guard, CreateRevisionIs) and guard.key == state.settings.keys.primary


def _stands_with_any_boot(state: MirrorState, now_ns: int) -> Move | None:
    """S8 broken: a node that rebooted stands as if its memory were there."""
    own = None if state.insync is None else state.insync.record.holder(state.node)
    if own is None:
        return following.stand(state, now_ns)
    settings = state.settings
    move = following.stand(replace(state, settings=replace(settings, boot_id=own.boot_id)), now_ns)
    return None if move is None else Move(replace(move.state, settings=settings), move.commands)


def _releases_before_it_is_settled(state: MirrorState, now_ns: int) -> Move | None:
    """S2 broken: a lost peer's absence is told to the replicator before the record says it."""
    insync = state.insync
    told = state.told_record == state.insync_revision
    if state.is_primary and insync is not None and told:
        record = insync.record
        lost = [n for n, p in state.peers.items() if p.link is Link.LOST and n in record.nodes]
        if lost:
            kept = tuple(n for n in sorted(record.nodes) if n not in lost)
            early = Tell(Settled(record.epoch, record.number, insync.mod_revision, kept))
            return Move(replace(state, told_record=-1), (early,))
    return membership.write_record(state, now_ns)


def _told_only_once(state: MirrorState, now_ns: int) -> Move | None:
    """Beside the rule above: what it has told early is not taken back."""
    return None if state.told_record == -1 else serving.tell_record(state, now_ns)


def _early_release() -> tuple[Rule, ...]:
    rules = _instead(membership.write_record, _releases_before_it_is_settled)
    return tuple(_told_only_once if rule is serving.tell_record else rule for rule in rules)


ROUGH_STORE = Plan(seconds=60, store_faults=0.3, power=False)
"""What needs requests that are executed long after they were given up."""

BROKEN: dict[str, Plan] = {
    "S1: the record's revision is not checked by an election": replace(
        ROUGH_STORE, rules=_instead(following.stand, _without_guards(following.stand, _record_revision))
    ),
    "S2: a drop is guarded neither by the primary's own key nor by the record": Plan(
        rules=_instead(
            membership.write_record,
            _without_guards(membership.write_record, lambda g, s: _own_key(g, s) or _record_revision(g, s)),
        )
    ),
    "S2: completions are released before the drop is settled": Plan(rules=_early_release()),
    "S8: a node that rebooted stands at once": Plan(rules=_instead(following.stand, _stands_with_any_boot)),
}
