"""Who hands which address over to whom, and when; and that the key goes over whole, or stays."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core import commands as k
from agent.core import events as e
from agent.core.farm import commands as fk
from agent.core.farm import events as fe
from agent.core.farm.spreading import HandOver, next_hand_over
from manager.model.codec import decode, encode
from manager.model.config.module_config import AddressConfig
from manager.model.farm import SlotTable
from manager.model.reasons import Reason
from manager.model.records import MemberRecord
from manager.model.states import Readiness, Run
from manager.store.api import Put
from tests.unit.agent.core.farm.desk import KEYS, TWO, VIP, VIP6, Desk, names
from tests.unit.agent.core.farm.test_directing import settle_all

NODES = tuple("abcdefgh")
AFTER_S = 30


@st.composite
def _farms(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Directors of each address, and the nodes to which any of them may go."""
    nodes = NODES[: draw(st.integers(2, len(NODES)))]
    count = draw(st.integers(1, 12))
    directors = {f"10.0.0.{place}": draw(st.sampled_from(nodes)) for place in range(count)}
    able = draw(st.lists(st.sampled_from(nodes), unique=True))
    return directors, {address: draw(st.permutations(able)) for address in directors}


def _spread(directors: Mapping[str, str], takers: Mapping[str, list[str]]) -> tuple[dict[str, str], list[HandOver]]:
    """All hand-overs, one after the other."""
    now, done = dict(directors), list[HandOver]()
    while (due := next_hand_over(now, takers)) is not None:
        assert now[due.address] == due.giver and due.taker in takers[due.address]
        now[due.address] = due.taker
        done.append(due)
        assert len(done) <= len(now), "it does not end"
    return now, done


@given(_farms())
def test_they_end_spread_and_no_address_moves_twice(farm: tuple[dict[str, str], dict[str, list[str]]]) -> None:
    directors, takers = farm
    after, done = _spread(directors, takers)
    numbers = Counter(after.values())
    able = next(iter(takers.values()))
    assert all(numbers[giver] <= numbers[taker] + 1 for giver in numbers for taker in able)
    assert len({due.address for due in done}) == len(done)


@given(_farms())
def test_of_all_ways_to_spread_them_it_is_one_with_the_fewest_moves(
    farm: tuple[dict[str, str], dict[str, list[str]]],
) -> None:
    directors, takers = farm
    _, done = _spread(directors, takers)
    able = set(next(iter(takers.values())))
    numbers = Counter(directors.values())
    # Dumb: at each height that nobody may exceed, what is above it has to go, if it fits below it.
    for height in range(len(directors) + 1):
        above = sum(max(0, n - height) for n in numbers.values())
        room = sum(max(0, height - numbers[node]) for node in able)
        low = sum(max(0, height - 1 - numbers[node]) for node in able)
        spare = sum(max(0, n - (height - 1)) for n in numbers.values())
        if above <= room and low <= spare:
            assert len(done) == max(above, low)
            return


@given(_farms(), st.data())
def test_it_is_the_same_for_all_and_only_what_is_kept_stays(
    farm: tuple[dict[str, str], dict[str, list[str]]], data: st.DataObject
) -> None:
    directors, takers = farm
    due = next_hand_over(directors, takers)
    if due is None:
        return
    again = next_hand_over(directors, takers, {(due.address, due.taker)})
    assert again is None or (again.address, again.taker) != (due.address, due.taker)
    assert next_hand_over(directors, {}) is None


def test_one_address_has_nothing_to_be_spread() -> None:
    assert next_hand_over({VIP: "a"}, {VIP: ["a", "b"]}) is None


def test_the_address_whose_order_names_the_taker_first_goes() -> None:
    takers = {VIP: ["a", "b", "c"], VIP6: ["b", "c", "a"]}
    assert next_hand_over({VIP: "a", VIP6: "a"}, takers) == HandOver(VIP6, "a", "b")


# A node


def _calm(*up: str, weight: Mapping[str, str] | None = None) -> Desk:
    """``a`` directs both addresses, ``up`` are UP as well and have their shares; nothing has changed since."""
    desk = Desk(TWO)
    for node, value in (weight or {}).items():
        desk.want(node, Run.STARTED, weight=value)
    desk.start()
    desk.settle()
    desk.pass_time(2)
    for address in (VIP, VIP6):
        desk.give(fe.Directing(address))
    _publish(desk)
    desk.is_up(*up)
    desk.look()
    settle_all(desk, *up)
    assert desk.director(VIP) == desk.director(VIP6) == "a"
    assert all(desk.table(address).is_settled for address in (VIP, VIP6))
    desk.commands.clear()
    return desk


def _publish(desk: Desk) -> None:
    """What it says of itself."""
    desk.put(KEYS.member("a"), encode(desk.record), "a")
    desk.look()


def _wait(desk: Desk, seconds: int, *answering: str) -> None:
    """With its lease renewed."""
    for _ in range(0, seconds, 10):
        desk.renew()
        desk.pass_time(10, *answering)


def _hands_over(desk: Desk) -> bool:
    return bool(desk.told(fk.Undirect))


def test_at_calm_it_hands_one_over_off_the_network_first() -> None:
    desk = _calm("b")
    desk.pass_time(AFTER_S - 1, "b")
    assert not _hands_over(desk)
    desk.pass_time(1, "b")
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP6)] and desk.director(VIP6) == "a"
    assert names(desk.give(fe.Undirected(VIP6)))[0] == "Commit"
    desk.settle()
    assert desk.director(VIP6) == "b" and desk.director(VIP) == "a"
    kv = desk.etcd.get_now(KEYS.director(VIP6))
    assert kv is not None and kv.lease == desk.leases["b"], "it goes with its director's lease"
    assert kv.create_revision != kv.mod_revision, "the network need not be asked who has it"
    _wait(desk, 2 * AFTER_S, "b")
    assert desk.director(VIP) == "a" and not _hands_over(desk)


def test_what_is_handed_to_it_a_node_directs_without_asking_the_network() -> None:
    desk = Desk(TWO)
    for address in (VIP, VIP6):
        desk.directs("b", address)
        desk.set_table(_settled_table(), address)
    desk.is_up("b")
    desk.start()
    assert desk.state.open is None
    desk.commands.clear()
    desk.directs("a", VIP6)
    desk.look()
    assert desk.told(fk.Direct) == [fk.Direct(VIP6, probed=True)]


def _settled_table() -> SlotTable:
    desk = Desk()
    desk.direct()
    return desk.table()


@pytest.mark.parametrize(
    "what",
    ["nobody else", "drained", "closed", "blocked", "starting", "not wanted", "no link", "silent", "old table",
     "request", "no etcd", "changes"],
)  # fmt: skip
def test_it_keeps_what_it_has(what: str) -> None:
    desk = _calm(*(() if what == "nobody else" else ("b",)), weight={"b": "0"} if what == "drained" else None)
    answering = {"nobody else": (), "silent": ()}.get(what, ("b",))
    match what:
        case "closed":
            _says(desk, Reason.TRAFFIC_CLOSED)
        case "blocked":
            desk.is_up_with("b", (VIP, VIP6), Reason.ADDRESS_IN_USE)
        case "starting":
            _says(desk, Reason.STARTING_APPLICATION)
        case "not wanted":
            desk.want("b", Run.STOPPED)
        case "no link":
            desk.is_up_with("b", ())
        case "old table":
            desk.hear("b", number=1)
        case "request":
            desk.request("r1", "restart", "b")
        case "no etcd":
            desk.give(e.StoreSilent())
    if what != "no etcd":
        desk.look()
    for _ in range(3):
        if what == "changes":
            desk.delete(KEYS.member("b"))
            desk.look()
            desk.is_up("b")
            desk.look()
        desk.pass_time(AFTER_S / 2, *answering)
    assert desk.director(VIP) == desk.director(VIP6) == "a"
    assert not _hands_over(desk)


def _says(desk: Desk, reason: Reason) -> None:
    """``b`` is on its way."""
    kv = desk.etcd.get_now(KEYS.member("b"))
    assert kv is not None
    record = replace(decode(MemberRecord, kv.value), readiness=Readiness.TRANSIENT, reason=str(reason))
    desk.put(KEYS.member("b"), encode(record), "b")


def _begun(desk: Desk) -> None:
    """It has given the address up on the network, and has the transaction under way that hands it over."""
    desk.pass_time(AFTER_S, "b")
    desk.give(fe.Undirected(VIP6))
    assert desk.state.open is not None and desk.state.open.commit.tag is e.Tag.HAND_OVER
    desk.commands.clear()


def test_where_the_other_one_has_changed_meanwhile_it_goes_on_itself() -> None:
    desk = _calm("b")
    _begun(desk)
    desk.is_up_with("b", (VIP,), Reason.ADDRESS_FAILED)
    desk.answer()
    assert desk.director(VIP6) == "a" and desk.told(fk.Direct) == [fk.Direct(VIP6, probed=False)]
    desk.give(fe.Directing(VIP6))
    desk.is_up("b")
    desk.look()
    _wait(desk, AFTER_S - 10, "b")
    assert not _hands_over(desk)
    _wait(desk, 10, "b")
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP)], "not the same one to this one again so soon"


@pytest.mark.parametrize("kept", [False, True])
def test_it_takes_no_turn_of_another_node_because_of_what_it_keeps_itself(kept: bool) -> None:
    """Both would hand one to ``b`` at the same moment, where one of them is enough."""
    addresses = (VIP, VIP6, "10.0.0.11", "fd00::11")
    desk = Desk(replace(TWO, addresses=tuple(AddressConfig(a, 24) for a in addresses)))
    desk.is_up("b", "c")
    for address, node in zip(addresses, "acac", strict=True):
        desk.directs(node, address)
        desk.set_table(replace(_settled_table(), number=1), address)
    desk.start()
    for address in addresses[::2]:
        desk.give(fe.Directing(address))
    _publish(desk)
    settle_all(desk, "b", "c")
    desk.state = replace(desk.state, handed_ns={(VIP6, "b"): desk.now_ns} if kept else {})
    _wait(desk, 2 * AFTER_S, "b", "c")
    assert not _hands_over(desk), "it is c's turn, to hand over the second one"


def test_where_the_others_lease_has_ended_it_goes_on_itself() -> None:
    desk = _calm("b")
    _begun(desk)
    desk.etcd.expire(desk.leases["b"])
    desk.answer()
    assert desk.told(fk.Direct) == [fk.Direct(VIP6, probed=False)]


def test_one_that_was_not_answered_may_be_executed_late_and_is_settled_before_it_answers_again() -> None:
    desk = _calm("b")
    _begun(desk)
    assert desk.state.open is not None
    late = desk.state.open.commit.txn
    desk.give(e.TxnUnknown(e.Tag.HAND_OVER), e.StoreSilent())
    desk.pass_time(5, "b")
    assert not desk.told(fk.Direct)
    desk.etcd.commit_now(late)
    desk.look()
    desk.pass_time(5, "b")
    assert desk.director(VIP6) == "b" and not desk.told(fk.Direct)


def test_one_that_was_not_answered_is_given_up_for_good_where_the_other_one_is_lost() -> None:
    desk = _calm("b")
    _begun(desk)
    desk.give(e.TxnUnknown(e.Tag.HAND_OVER))
    desk.delete(KEYS.member("b"))
    desk.look()
    desk.pass_time(1)
    assert not [c for c in desk.told(k.Commit) if c.tag is e.Tag.HAND_OVER]
    assert desk.director(VIP6) == "a", "it has stood anew, by a key of its own"
    kv = desk.etcd.get_now(KEYS.director(VIP6))
    assert kv is not None and kv.create_revision == kv.mod_revision


def test_what_was_not_sent_yet_stays_where_etcd_falls_silent() -> None:
    desk = _calm("b")
    desk.pass_time(AFTER_S, "b")
    assert desk.told(fk.Undirect) == [fk.Undirect(VIP6)]
    desk.give(e.StoreSilent())
    desk.give(fe.Undirected(VIP6))
    assert desk.told(fk.Direct) == [fk.Direct(VIP6, probed=False)]


def test_what_is_handed_over_is_so_at_its_own_end_too() -> None:
    desk = _calm("b")
    desk.pass_time(AFTER_S, "b")
    desk.want("a", Run.STOPPED)
    desk.look()
    desk.give(fe.Undirected(VIP6))
    assert desk.state.open is not None and isinstance(desk.state.open.commit.txn.then[0], Put)
