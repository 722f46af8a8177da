"""ADR 14: who receives for an address, and who takes whom for dead. ADR 19: what who hears nobody keeps."""

from dataclasses import replace

from agent.core.events import Tag
from agent.core.farm import absorbing, directing, electing, living, member, promising, suspecting
from agent.core.farm.commands import ReleaseAddresses
from agent.core.farm.events import Event
from agent.core.farm.state import FarmState, Move
from agent.core.state import Addr
from manager.store.api import Guard, KeyAbsent, ModRevisionIs
from tests.simulation.farm.broken.variant import SHORT, Where, variant, without_guards

_is_dead, _may_until_ns = suspecting._is_dead, promising.may_until_ns
_hold, _release = member.hold, member.release
_listened = absorbing._listened
_promised_until_ns = promising._promised_until_ns


def _is_slots_key(guard: Guard, state: FarmState, address: str) -> bool:
    return isinstance(guard, ModRevisionIs | KeyAbsent) and guard.key == state.settings.keys.slots(address)


def _is_director_key(guard: Guard, state: FarmState, address: str) -> bool:
    return isinstance(guard, ModRevisionIs | KeyAbsent) and guard.key == state.settings.keys.director(address)


def _is_registration(guard: Guard, state: FarmState, address: str) -> bool:
    registrations = {state.settings.cluster.node(node) for node in state.nodes}
    return isinstance(guard, ModRevisionIs | KeyAbsent) and guard.key in registrations


def _never_slept(state: FarmState, event: Event, now_ns: int) -> FarmState:
    return replace(_listened(state, event, now_ns), awake_ns=state.awake_ns)


def _is_dead_by_own_ears(state: FarmState, address: str, now_ns: int) -> bool:
    """Whatever the others have heard."""
    return _is_dead(replace(state, heard={}), address, now_ns)


def _is_dead_though_registered(state: FarmState, address: str, now_ns: int) -> bool:
    return _is_dead(replace(state, renewed_ns={}), address, now_ns)


def _is_dead_with_its_agent(state: FarmState, address: str, now_ns: int) -> bool:
    return _is_dead(replace(state, away={}), address, now_ns)


def _is_never_away(state: FarmState, node: str, now_ns: int) -> bool:
    return False


def _is_known(state: FarmState, node: str, address: str, now_ns: int) -> bool:
    return False


def _is_not_deaf(state: FarmState, now_ns: int) -> bool:
    return False


def _by_its_lease_alone(state: FarmState, address: str, now_ns: int) -> int:
    return 0


def _for_as_long_as_it_likes(state: FarmState, address: str, now_ns: int) -> int:
    until_ns = _may_until_ns(state, address, now_ns)
    return until_ns and until_ns + (1 << 50)


def _is_bound_by_nothing(state: FarmState, address: str) -> int:
    return 0


def _nobody_else_claims(state: FarmState, address: str, now_ns: int) -> bool:
    return False


def _knows_all(state: FarmState, address: str) -> bool:
    return True


def _directs_by_any_table(state: FarmState, now_ns: int) -> Move | None:
    """Its kernel may share by an older table, or by none."""
    for address in state.settings.addresses:
        if address not in state.own_macs or state.phase(address) is not Addr.NONE or address not in state.tables:
            continue
        if electing.may_direct(state, address, now_ns) and electing.is_settled(state, address):
            return electing._direct(state, address, now_ns)
    return None


_stand_down = electing.stand_down


def _first_the_key(state: FarmState, now_ns: int) -> Move | None:
    move = _stand_down(replace(state, hands={}, former=frozenset()), now_ns)
    return None if move is None else Move(replace(move.state, hands=state.hands, former=state.former), move.commands)


_undirect = electing.undirect


def _leaves_the_network_late(state: FarmState, now_ns: int) -> Move | None:
    if any(electing.gives_up(state, a, now_ns) and state.has_key(a) for a in state.hands):
        return None
    return _undirect(state, now_ns)


def _hears_nobody(state: FarmState, now_ns: int) -> bool:
    addresses = state.settings.addresses
    return not state.store_heard and not any(promising.is_led(state, a, now_ns) for a in addresses)


def _drops(state: FarmState, now_ns: int) -> Move | None:
    if state.hold is Addr.HELD and state.view is not None and _hears_nobody(state, now_ns):
        return Move(replace(state, hold=Addr.DROPPING, hold_since_ns=now_ns), (ReleaseAddresses(),))
    return _release(state, now_ns)


def _holds_when_it_hears(state: FarmState, now_ns: int) -> Move | None:
    return None if _hears_nobody(state, now_ns) else _hold(state, now_ns)


LATE = replace(SHORT, faults=("crashes", "weights"), store_faults=0.15, seconds=20)
APART = replace(SHORT, faults=("apart",), mean_between_faults_s=3.0)
HALF_HEARD = replace(SHORT, faults=("half heard",), mean_between_faults_s=5.0)
FROZEN = replace(SHORT, faults=("frozen",), seconds=20)
LATE_TAKE_OVER = replace(SHORT, faults=("late take-over",), mean_between_faults_s=12.0, seconds=24)
LATE_STANDS = replace(SHORT, faults=("late take-over", "stops", "crashes"), store_faults=0.1, seconds=24)
AGENTS = replace(SHORT, faults=("agents",), mean_between_faults_s=4.0)
LONG_GONE = replace(SHORT, faults=("long gone",), mean_between_faults_s=4.0, seconds=18)
OUTAGES = replace(SHORT, faults=("outages",), mean_between_faults_s=4.0, seconds=18)
FROZEN_CUT_OFF = replace(SHORT, faults=("frozen cut off",), mean_between_faults_s=3.0)
CRASH_OUTAGE = replace(SHORT, faults=("crash without etcd",), mean_between_faults_s=3.0)
LOST = replace(SHORT, faults=("losses without etcd",), mean_between_faults_s=4.0, seconds=24)
DEAF = replace(SHORT, faults=("deaf",), mean_between_faults_s=4.0, seconds=16)
HANDED_OVER = replace(SHORT, faults=("stops",), addresses=2, spread_after_s=2, mean_between_faults_s=6.0, seconds=24)
LEAVING = replace(SHORT, faults=("stops",), mean_between_faults_s=4.0)

VARIANTS = (
    variant(
        "a14-others-not-heard", "A director that one node does not hear is dead, whoever else does.",
        Where.SUSPECTING, HALF_HEARD, "two directors", (_is_dead, _is_dead_by_own_ears),
    ),
    variant(
        "a14-registration-not-seen", "A director that no node hears is dead, though it renews its registration.",
        Where.SUSPECTING, APART, "taken from the living", (_is_dead, _is_dead_though_registered),
    ),
    variant(
        "a14-registration-not-tested", "Who takes a director's key does not test that the registration stands.",
        Where.TRANSACTIONS, LATE_TAKE_OVER, "taken from the living", without_guards(_is_registration, Tag.DIRECT),
    ),
    variant(
        "a14-key-not-tested", "Who makes itself the director does not test that the key is as it was seen.",
        Where.TRANSACTIONS, LATE_STANDS, "taken from the living", without_guards(_is_director_key, Tag.DIRECT),
    ),
    variant(
        "a14-frozen-judges", "Who was frozen judges others by what it has not heard meanwhile.", Where.LIVING, FROZEN,
        "", (_listened, _never_slept),
    ),
    variant(
        "a14-without-its-agent", "A director whose agent alone is gone is dead at once.", Where.SUSPECTING, LONG_GONE,
        "two directors", (_is_dead, _is_dead_with_its_agent),
    ),
    variant(
        "a14-unknown-is-dead", "A new director takes for dead whom it has not heard yet.", Where.LIVING,
        LEAVING, "", (living.is_unknown, _is_known),
    ),
    variant(
        "a14-away-is-dead", "A node whose agent is away for a moment loses its slots.", Where.LIVING, AGENTS, "",
        (living.is_away, _is_never_away),
    ),
    variant(
        "a14-deaf-claims", "A director that hears nobody says that it directs.", Where.DIRECTING, DEAF,
        "no director", (directing._is_deaf, _is_not_deaf),
    ),
    variant(
        "a14-lease-alone", "Without etcd a director receives until its lease ends.", Where.PROMISING, OUTAGES,
        "not kept", (_promised_until_ns, _by_its_lease_alone),
    ),
    variant(
        "a14-promise-does-not-bind", "Who has promised directs as soon as the key is gone.", Where.PROMISING,
        FROZEN_CUT_OFF, "two directors", (promising.bound_until_ns, _is_bound_by_nothing),
    ),
    variant(
        "a14-others-claims", "A director without etcd goes on though another one asks as such.", Where.PROMISING,
        replace(LOST, seconds=20), "two directors", (promising._claims, _nobody_else_claims),
        redundant="Who directs promises nobody that it does not, and that its first answer says, too.",
    ),
    variant(
        "a14-without-an-end", "What the kernel answers for has no end.", Where.PROMISING, LONG_GONE, "two directors",
        (_may_until_ns, _for_as_long_as_it_likes),
    ),
    variant(
        "a14-network-last", "Who gives an address up deletes its key before it is off the network.", Where.ELECTING,
        HANDED_OVER, "taken from the living", (_stand_down, _first_the_key), (_undirect, _leaves_the_network_late),
    ),
    variant(
        "a12-table-not-tested", "That the table is the one that the next one follows is not tested.",
        Where.TRANSACTIONS, LATE, "tables", without_guards(_is_slots_key),
    ),
    variant(
        "a12-any-table", "A director answers for an address by whatever rules its kernel has.", Where.ELECTING,
        replace(LEAVING, faults=("slow director", "stops")), "", (electing.direct, _directs_by_any_table),
        redundant="Whoever could direct is one of those that are waited for: no slot goes on before its kernel has "
        "the table.",
    ),
    variant(
        "a12-older-than-its-key", "A new director goes by a table that may be older than its key.", Where.ELECTING,
        replace(LEAVING, faults=("stops", "weights")), "", (electing.is_settled, _knows_all),
        redundant="A table is written over the very one that it follows, and no slot goes on before this node has it, "
        "too: what it lacks at the most is who is to come.",
    ),
    variant(
        "a19-drops-the-address", "A node that hears neither etcd nor a director drops the addresses.", Where.MEMBER,
        CRASH_OUTAGE, "address dropped", (_release, _drops), (_hold, _holds_when_it_hears),
    ),
)  # fmt: skip
