"""Becomes a serving primary once its key is settled: replicator, addresses, application. Pure."""

from agent.core import transactions
from agent.core.commands import (
    AddAddresses,
    AdoptApplication,
    Command,
    RunContext,
    ServeUntil,
    StartApplication,
    StopApplication,
    Tell,
)
from agent.core.copying import replace
from agent.core.fencing import may_be_adopted
from agent.core.limits import ENDED_LATELY_NS, NEXT_OFFER_NS, NEXT_OFFER_UNFIT_NS, NO_ADDRESS_LATELY_NS
from agent.core.opening import commit, may_commit
from agent.core.state import Addr, App, Leave, Leaving, Link, MirrorState, Move, Rep
from agent.core.switches import failover_is_off
from agent.core.vouching import acknowledged
from manager.model.control import Serve, Settled, Thaw
from manager.model.reasons import Reason
from manager.model.resources import has_failed_application
from manager.model.states import ModuleState, Readiness, Run


def context(state: MirrorState, before: str, after: str, action: str) -> RunContext:
    """What a script is told."""
    return RunContext(before, after, action, state.epoch)


def serving_word(state: MirrorState) -> ModuleState:
    """ALONE or PRIM, by the record; where that is not understood, by the streams that stand past their join points."""
    if state.insync is None:
        alone = all(peer.link is not Link.COMPLETE for peer in state.peers.values())
    else:
        alone = state.insync.record.nodes <= {state.node}
    return ModuleState.ALONE if alone else ModuleState.PRIM


def promote(state: MirrorState, now_ns: int) -> Move | None:
    """The key is settled: serve. The addresses are added beside it."""
    # A resignation of unknown outcome may be executed at any moment, and would release the others from their promises.
    ready = state.rep in (Rep.IDLE, Rep.CLOSED) and state.open is None and state.resigning is None
    if not state.is_primary or not ready or not state.wants_run or not state.lease_holds(now_ns):
        return None
    if state.lease is None or state.primary is None or now_ns < state.promised_until_ns:
        return None
    until_ns, revision, epoch = state.lease.deadline_ns, state.primary.mod_revision, state.primary.record.epoch
    decided = state.insync is not None and state.insync.record.decided == epoch
    commands: tuple[Command, ...] = (
        ServeUntil(until_ns),
        Tell(Serve(epoch, revision, state.store_id, decided)),
    )
    after = replace(
        acknowledged(state, revision), rep=Rep.PROMOTING, rep_since_ns=now_ns, peers={}, told_record=0,
        stream_up=False, named=False, accepted=frozenset(), forcing=None, app_failed="", app_ended=False,
        addr_in_use="", addr_failed="", addr_retry_ns=0, follow_epoch=0, follow_primary="", hold_stand_until_ns=0,
        told_until_ns=until_ns, given={}, asked_ns=0,
    )  # fmt: skip
    return Move(after, commands)


def tell_record(state: MirrorState, now_ns: int) -> Move | None:
    """What stands in etcd, to the replicator that serves: completions need exactly these nodes (S2)."""
    insync = state.insync
    if (
        not state.is_primary
        or insync is None
        or state.rep not in (Rep.PROMOTING, Rep.SERVING, Rep.FREEZING, Rep.FROZEN)
    ):
        return None
    if state.told_record == insync.mod_revision:
        return None
    record = insync.record
    holders = tuple(h.node for h in record.holders)
    told = Settled(record.epoch, record.number, insync.mod_revision, holders)
    return Move(replace(state, told_record=insync.mod_revision), (Tell(told),))


def adopt(state: MirrorState, now_ns: int) -> Move | None:
    """A replicator that still serves: its key goes onto this agent's lease, then it is ours.

    It is a former agent's; or this one's, when the connection to it was lost. Its place may be offered then, or given
    up: before it goes on, the record is written anew, so that it cannot be taken any more (S6).
    """
    if state.rep is not Rep.FOUND_SERVING or state.view is None or not may_be_adopted(state):
        return None
    settled = not state.is_offering and state.open is None and state.late_record is None and state.resigning is None
    if state.is_primary and state.lease is not None and settled:
        until_ns = state.lease.deadline_ns
        after = replace(state, rep=Rep.SERVING, rep_since_ns=now_ns, app=App.ADOPTING, app_since_ns=now_ns,
                        addr=Addr.ADDING, addr_since_ns=now_ns, told_until_ns=until_ns)  # fmt: skip
        return Move(after, (ServeUntil(until_ns), Tell(Thaw()), AddAddresses(), AdoptApplication()))
    if not may_commit(state, now_ns) or not state.lease_holds(now_ns) or state.resigning is not None:
        return None
    return commit(replace(state, leaving=None), transactions.adopt(state))


def add_addresses(state: MirrorState, now_ns: int) -> Move | None:
    """The addresses of a primary; one in use elsewhere is tried again later."""
    wanted = state.is_primary and state.leaving is None and state.wants_run and not _failed_here(state)
    if not wanted or state.rep not in (Rep.PROMOTING, Rep.SERVING):
        return None
    if state.addr is not Addr.NONE or now_ns < state.addr_retry_ns:
        return None
    return Move(replace(state, addr=Addr.ADDING, addr_since_ns=now_ns), (AddAddresses(),))


def _failed_here(state: MirrorState) -> bool:
    return bool(state.app_failed)


def start_application(state: MirrorState, now_ns: int) -> Move | None:
    """On mounted file systems and with its addresses, and once what it depends on serves."""
    ready = state.rep is Rep.SERVING and state.addr is Addr.HELD and state.app is App.STOPPED
    if not state.holds_office or not ready or state.leaving is not None or not state.wants_run or _failed_here(state):
        return None
    if state.missing:
        return None
    after = replace(state, app=App.STARTING, app_since_ns=now_ns, app_ended=False, restarting=False)
    return Move(after, (StartApplication(context(state, ModuleState.WAIT, serving_word(state), "start")),))


def stop_application(state: MirrorState, now_ns: int) -> Move | None:
    """What failed is cleaned away; what is to be restarted is stopped. Its place is given away by its key alone."""
    if not state.holds_office or state.leaving is not None:
        return None
    wanted = state.app is App.FAILED or (state.restarting and state.app is App.RUNNING)
    if not wanted or (state.is_primary and hand_over_target(state, now_ns)):
        return None
    after = replace(state, app=App.STOPPING, app_since_ns=now_ns)
    word = serving_word(state)
    return Move(after, (StopApplication(context(state, word, word, "restart" if state.restarting else "stop")),))


def hand_over_target(state: MirrorState, now_ns: int) -> str:
    """The node that goes on for an application, or addresses, that fail or end here; empty: there is none.

    One on which the application has failed as well is none: it would come back at once. Nor is any one for an
    application that has run for long, or for addresses, if it had to come here lately: what ends everywhere, or cannot
    be had anywhere, would go to and fro for ever.
    """
    # One that ended while what it depends on is away would not be started on the other node either.
    ended = state.app_ended and not state.missing and now_ns >= stays_until_ns(state)
    without_address = state.addr_failed and now_ns >= stays_until_ns(state, NO_ADDRESS_LATELY_NS)
    unfit = state.app_failed or without_address or ended
    if not unfit or state.leaving is not None or now_ns < next_offer_ns(state):
        return ""
    if failover_is_off(state):
        return ""
    return next((n for n in in_sync_peers(state) if not application_failed_at(state, n)), "")


def next_offer_ns(state: MirrorState) -> int:
    """Its place was offered, or was about to be, and it kept it: not again before."""
    if state.stayed_ns is None:
        return 0
    cannot_serve = state.app_failed or state.addr_failed
    return state.stayed_ns + (NEXT_OFFER_UNFIT_NS if cannot_serve else NEXT_OFFER_NS)


def stays_until_ns(state: MirrorState, stays_ns: int = ENDED_LATELY_NS) -> int:
    """Until when it stays here that came since the application, or the addresses, failed on the other node.

    ``stays_ns`` after it came; 0: it came otherwise.
    """
    came_for_it = state.insync is not None and state.insync.record.because == Reason.APPLICATION_FAILED
    return state.rep_since_ns + stays_ns if came_for_it else 0


def application_failed_at(state: MirrorState, node: str) -> bool:
    """The application could not run on ``node``, or that is not known."""
    member = None if state.view is None else state.view.member(node)
    return member is None or has_failed_application(member.resources)


def in_sync_peers(state: MirrorState) -> tuple[str, ...]:
    """The other nodes that the record lists, that are connected and ready, and that are to run."""
    if state.insync is None or state.view is None:
        return ()
    found = []
    for node in sorted(state.insync.record.nodes - {state.node}):
        member, peer = state.view.member(node), state.peers.get(node)
        connected = peer is not None and peer.link in (Link.COMPLETE, Link.JOINING)
        ready = member is not None and member.state is ModuleState.SECOND and member.readiness is Readiness.READY
        if connected and ready and state.view.wants(node) is Run.STARTED:
            found.append(node)
    return tuple(found)


def give_to_another(state: MirrorState, now_ns: int) -> Move | None:
    """The application cannot run here: hand over to a node that has everything."""
    if not state.is_primary or state.rep is not Rep.SERVING:
        return None
    target = hand_over_target(state, now_ns)
    if not target:
        return None
    return Move(replace(state, leaving=Leaving(Leave.APPLICATION_FAILED, now_ns, to=target)))


def instants(state: MirrorState) -> tuple[int, ...]:
    """When time alone may change something of all this."""
    stays = (stays_until_ns(state), stays_until_ns(state, NO_ADDRESS_LATELY_NS))
    return (state.addr_retry_ns, next_offer_ns(state), *stays)
