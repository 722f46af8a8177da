"""ADR 12: how a slot goes from one node to another, and which do."""

from collections.abc import Collection, Mapping, Set
from dataclasses import replace

from agent.core.farm import directing, member, parting, slots
from agent.core.farm.slots import Candidate
from agent.core.farm.state import FarmState, Move
from manager.model.farm import NOBODY, SLOTS, SlotTable, empty_table
from tests.simulation.farm.broken.variant import SHORT, Where, variant

_Members = Mapping[str, Candidate]
_Groups = tuple[tuple[str, ...], ...]
_Nodes = tuple[str, ...]
_Present = tuple[tuple[str, Candidate], ...]
_next_table, _advance, _start = slots.next_table, slots.advance, member.start


def _leaves_at_once(last: SlotTable, members: _Members, groups: _Groups, nodes: _Nodes) -> SlotTable:
    table = _next_table(last, members, groups, nodes)
    if table is last:
        return last
    rows = list(zip(table.owners, table.coming, table.leaving, strict=True))
    owners = "".join(owner if comer == NOBODY else comer for owner, comer, _ in rows)
    leaving = "".join(leaver if comer == NOBODY else owner for owner, comer, leaver in rows)
    return replace(table, owners=owners, coming=NOBODY * SLOTS, leaving=leaving)


def _goes_over_at_once(last: SlotTable, members: _Members, groups: _Groups, nodes: _Nodes) -> SlotTable:
    table = _next_table(last, members, groups, nodes)
    if table is last:
        return last
    owners = "".join(o if c == NOBODY else c for o, c in zip(table.owners, table.coming, strict=True))
    return replace(table, owners=owners, coming=NOBODY * SLOTS, leaving=NOBODY * SLOTS)


def _waits_for_nobody(
    table: SlotTable, director: str, members: Collection[str], loaded: Mapping[str, int],
    busy: Mapping[str, Set[int]], *, is_patient: bool = False,
) -> SlotTable:  # fmt: skip
    everybody = dict.fromkeys((director, *members), table.number)
    return _advance(table, director, members, everybody, busy, is_patient=is_patient)


def _waits_for_parties(
    table: SlotTable, director: str, members: Collection[str], loaded: Mapping[str, int],
    busy: Mapping[str, Set[int]], *, is_patient: bool = False,
) -> SlotTable:  # fmt: skip
    parties = slots._parties(table) & set(members)
    others = dict.fromkeys((director, *members), table.number)
    shown = {**others, **{node: loaded.get(node, 0) for node in parties}}
    return _advance(table, director, members, shown, busy, is_patient=is_patient)


def _ends_when_loaded(
    table: SlotTable, director: str, members: Collection[str], loaded: Mapping[str, int],
    busy: Mapping[str, Set[int]], *, is_patient: bool = False,
) -> SlotTable:  # fmt: skip
    idle: dict[str, Set[int]] = {node: frozenset() for node in members}
    return _advance(table, director, members, loaded, idle, is_patient=is_patient)


def _believes_any_count(
    table: SlotTable, director: str, members: Collection[str], loaded: Mapping[str, int],
    busy: Mapping[str, Set[int]], *, is_patient: bool = False,
) -> SlotTable:  # fmt: skip
    switched = replace(table, switched=True)
    following = _advance(switched, director, members, loaded, busy, is_patient=is_patient)
    return table if following is switched else following


def _says_at_once_that_all_have_it(
    table: SlotTable, director: str, members: Collection[str], loaded: Mapping[str, int],
    busy: Mapping[str, Set[int]], *, is_patient: bool = False,
) -> SlotTable:  # fmt: skip
    following = _advance(table, director, members, loaded, busy, is_patient=is_patient)
    return table if following is table else replace(following, switched=True)


def _from_nothing(last: SlotTable, members: _Members, groups: _Groups, nodes: _Nodes) -> SlotTable:
    """By the weights alone, as if there had been no table."""
    table = _next_table(last, members, groups, nodes)
    if table is last or not last.is_settled or not table.shares():
        return table
    wanted = _next_table(empty_table(nodes), members, groups, nodes).owners
    living = {f"{place:x}" for place, node in enumerate(nodes) if node in members}
    rows = list(zip(table.owners, wanted, strict=True))
    coming = "".join(will if will != was and was in living else NOBODY for was, will in rows)
    owners = "".join(was if was in living else will for was, will in rows)
    return replace(table, owners=owners, coming=coming)


def _all_weigh_one(state: FarmState, node: str) -> int:
    return 1


def _ends_at_once(state: FarmState, now_ns: int) -> bool:
    return state.out_ns is not None


def _goes_by_the_table(state: FarmState, address: str, now_ns: int) -> bool:
    return state.relieved.get(address) is None


def _is_never_gentle(state: FarmState, out_ns: int, now_ns: int) -> bool:
    return False


def _whatever_scripts_say(state: FarmState) -> bool:
    return state.out_ns is None


def _starts_as_it_was(state: FarmState, now_ns: int) -> Move | None:
    move = _start(state, now_ns)
    return None if move is None else Move(replace(move.state, traffic_open=state.traffic_open), move.commands)


def _all_in_one_group(last: SlotTable, members: _Present, groups: _Groups, nodes: _Nodes) -> SlotTable | None:
    following = _next_table(last, dict(members), (nodes,), nodes)
    return None if following is last else following


def _takes_new_as_before(state: FarmState) -> bool:
    return state.is_open


def _lets_nothing_end(state: FarmState) -> bool:
    return False


def _is_greeted_at_once(state: FarmState, now_ns: int) -> bool:
    return state.passed_ns is not None


WEIGHTS = replace(SHORT, faults=("weights",))
DRAINED = replace(SHORT, faults=("drained",), mean_between_faults_s=12.0, seconds=26)
SLOW_OTHER = replace(SHORT, faults=("slow other",), mean_between_faults_s=2.0, seconds=16)
SLOW_DIRECTOR = replace(SHORT, faults=("slow director",), mean_between_faults_s=2.0, seconds=16)
CLOSED = replace(DRAINED, faults=("closed",))
RESTARTED = replace(SHORT, faults=("restarted",))
LEAVING = replace(SHORT, faults=("leaving",), mean_between_faults_s=6.0, seconds=18)
CRASHES = replace(SHORT, faults=("crashes",))

VARIANTS = (
    variant(
        "a12-no-coming", "The new owner begins before the former one has been told that it leaves.", Where.SLOTS,
        SLOW_OTHER, "reset", (_next_table, _leaves_at_once),
    ),
    variant(
        "a12-over-at-once", "A slot goes over at once, whatever is open there.", Where.SLOTS, WEIGHTS, "",
        (_next_table, _goes_over_at_once),
    ),
    variant(
        "a12-not-loaded", "The next table comes though not all have loaded the last one.", Where.SLOTS, WEIGHTS,
        "reset", (_advance, _waits_for_nobody),
    ),
    variant(
        "a12-parties-alone", "Only the nodes that a slot goes from and to have to have loaded a table.", Where.SLOTS,
        SLOW_DIRECTOR, "", (_advance, _waits_for_parties),
    ),
    variant(
        "a12-not-counted", "A former owner is out when all have loaded that it leaves, whatever is open there.",
        Where.SLOTS, WEIGHTS, "", (_advance, _ends_when_loaded),
    ),
    variant(
        "a12-any-count", "A count is believed that was taken before all had loaded by what it leaves.", Where.SLOTS,
        SLOW_DIRECTOR, "", (_advance, _believes_any_count),
    ),
    variant(
        "a12-said-at-once", "A table says that all share by what leaves before they have loaded it.", Where.SLOTS,
        SLOW_DIRECTOR, "begins where it ends", (_advance, _says_at_once_that_all_have_it),
    ),
    variant(
        "a12-from-nothing", "A table is made of the weights alone, not with the fewest moves.", Where.SLOTS,
        CRASHES, "more moves", (_next_table, _from_nothing),
    ),
    variant(
        "a12-weights-ignored", "A node that is drained is one like any other.", Where.DIRECTING, DRAINED,
        "drained", (directing._weight, _all_weigh_one),
    ),
    variant(
        "a12-no-chain", "All nodes serve, whatever groups the chain has.", Where.DIRECTING,
        replace(WEIGHTS, settles=True), "not settled", (directing._follow, _all_in_one_group),
    ),
    variant(
        "a12-scripts-ignored", "A node whose scripts have closed its traffic is one like any other.", Where.PARTING,
        CLOSED, "drained", (parting.takes_new, _whatever_scripts_say),
    ),
    variant(
        "a12-starts-open", "An application that is started again has its traffic as it was.", Where.MEMBER, RESTARTED,
        "traffic", (_start, _starts_as_it_was),
    ),
    variant(
        "a12-ends-at-once", "Who stops ends its application at once.", Where.PARTING, LEAVING, "",
        (parting.has_handed_on, _ends_at_once),
    ),
    variant(
        "a12-by-the-table", "Who stops waits for the table alone, not for the director's kernel.", Where.PARTING,
        LEAVING, "", (parting.comes_here, _goes_by_the_table),
    ),
    variant(
        "a23-takes-no-share", "Who stops says at once that it takes no share any more.", Where.PARTING, LEAVING,
        "reset", (parting._is_gentle, _is_never_gentle),
    ),
    variant(
        "a23-takes-new", "Who stops says that it takes its share as before.", Where.PARTING, LEAVING,
        "reset", (parting.takes_new, _takes_new_as_before),
    ),
    variant(
        "a23-not-greeted", "Who stops ends its application as soon as nothing comes to it any more.", Where.PARTING,
        LEAVING, "reset in its handshake", (parting._is_greeted, _is_greeted_at_once),
    ),
    variant(
        "a23-ended-is-gone", "Who stops takes no part in what it leaves while its application ends.", Where.PARTING,
        LEAVING, "reset", (parting._lets_end, _lets_nothing_end),
    ),
)  # fmt: skip
