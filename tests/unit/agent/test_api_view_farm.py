"""What is shown of a farm: shares while etcd answers and a node is heard of, the weights, and what is on its way."""

from dataclasses import replace

from agent.api_view import Keys, LocalState, module_view
from agent.api_view_farm import moving_slots
from manager.model.api import ModuleView
from manager.model.api_farm import FarmTable, Moving
from manager.model.codec import encode
from manager.model.farm import SLOTS, DirectorRecord, SlotsRecord, SlotTable
from manager.model.keys import ClusterKeys
from manager.model.records import WEIGHT, DesiredRecord, MemberRecord, ModuleConfigRecord, NodeRecord
from manager.model.states import ModuleKind, ModuleState, Readiness, Run

KEYS = ClusterKeys("c")
WEB = KEYS.module("web")
VIP, VIP6 = "10.77.0.110", "fd77::110"
TOML = f"""name = "web"
kind = "farm"
nodes = ["a", "b", "c"]
chain = [["a", "b"], ["c"]]
weights = {{ b = 3 }}

[[address]]
ip = "{VIP}/24"

[[address]]
ip = "{VIP6}/64"

[[rule]]
protocol = "tcp"
ports = "80"
"""


def slots(owners: str, coming: str = "-", leaving: str = "-", number: int = 7) -> SlotTable:
    """A table of rows that are repeated until they are full."""
    owned, to_come, left = ((row * SLOTS)[:SLOTS] for row in (owners, coming, leaving))
    return SlotTable(number, ("a", "b", "c"), owned, to_come, left)


TABLE = slots("0111")
VALUES = {
    WEB.config: encode(ModuleConfigRecord("id", 1, TOML, {}, "", "")),
    WEB.director(VIP): encode(DirectorRecord("a", VIP)),
    WEB.slots(VIP): encode(SlotsRecord(VIP, "a", TABLE)),
    WEB.slots(VIP6): encode(SlotsRecord(VIP6, "b", slots("1"))),
    WEB.desired("a"): encode(DesiredRecord(Run.STARTED, {WEIGHT: "0"})),
    WEB.member("b"): encode(MemberRecord("b", ModuleState.UP, Readiness.READY, "serving", "", "", None, None)),
    KEYS.node("b"): encode(NodeRecord("b", (), "1", "boot-b", "i", 0)),
}
OWN = LocalState(MemberRecord("a", ModuleState.UP, Readiness.READY, "serving", "", "", None, None))


def seen_on_a(*, fresh: bool = True, local: LocalState = OWN, **changed: str) -> ModuleView:
    values = VALUES | {getattr(WEB, name)(VIP): text for name, text in changed.items()}
    view = module_view(Keys(KEYS, values), "web", fresh=fresh, here="a", local=local)
    assert view is not None and view.kind is ModuleKind.FARM
    return view


def test_each_node_has_its_share_of_each_address_its_weight_and_its_group() -> None:
    told = [n.farm for n in seen_on_a().nodes]
    assert [t.slots for t in told if t is not None] == [{VIP: 256, VIP6: 0}, {VIP: 768, VIP6: 1024}, None]
    assert [(t.weight, t.configured, t.switched, t.group) for t in told if t is not None] == [
        (0, 1, True, 0), (3, 3, False, 0), (1, 1, False, 1),
    ]  # fmt: skip
    assert [t.directs for t in told if t is not None] == [(VIP,), (), None]


def test_the_tables_say_who_directs_and_an_address_may_have_nobody() -> None:
    assert seen_on_a().tables == (
        FarmTable(VIP, "a", 7, "a", {"a": 256, "b": 768}),
        FarmTable(VIP6, "", 7, "b", {"b": 1024}),
    )


def test_without_etcd_no_share_is_known_not_even_the_own_one() -> None:
    view = seen_on_a(fresh=False)
    assert [n.farm.slots for n in view.nodes if n.farm is not None] == [None] * 3
    assert [n.farm.directs for n in view.nodes if n.farm is not None] == [None] * 3
    assert [n.farm.weight for n in view.nodes if n.farm is not None] == [0, 3, 1], "as etcd was last heard"
    assert view.tables[0].number == 7, "as etcd was last heard"


def test_before_the_first_table_nothing_is_shared() -> None:
    values = {WEB.config: VALUES[WEB.config]}
    view = module_view(Keys(KEYS, values), "web", fresh=True, here="a", local=OWN)
    assert view is not None and view.tables[0] == FarmTable(VIP, "", 0, "", {}, SLOTS)


def test_a_record_of_another_release_is_not_known() -> None:
    view = seen_on_a(slots='{"address": 1}', director="{}")
    assert view.tables[0] == FarmTable(VIP, None, None)
    on_b = view.nodes[1].farm
    assert on_b is not None and on_b.slots == {VIP: None, VIP6: 1024} and on_b.directs is None


def test_a_table_with_another_number_of_slots_or_nodes_is_not_known() -> None:
    for wrong in (
        replace(TABLE, owners="01"),
        replace(TABLE, coming="3" * SLOTS),
        replace(TABLE, leaving="x" * SLOTS),
        replace(TABLE, nodes=tuple("abcdefghijklmnopq")),
    ):
        assert seen_on_a(slots=encode(SlotsRecord(VIP, "a", wrong))).tables[0] == FarmTable(VIP, "a", None)


def test_what_is_on_its_way_is_counted_by_giver_and_taker_and_phase() -> None:
    table = slots("0012", coming="1---", leaving="--2-")
    assert moving_slots(table, None) == (Moving("a", "b", 256, 0), Moving("c", "b", 0, 256, switched=False))
    assert moving_slots(slots("0"), None) == ()


def test_slots_may_leave_for_nobody() -> None:
    assert moving_slots(slots("-", leaving="0"), None) == (Moving("a", "", 0, 1024, switched=False),)


def test_a_table_that_all_have_loaded_says_that_nothing_begins_at_the_giver_any_more() -> None:
    leaving = slots("1", coming="----", leaving="0")
    assert [m.switched for m in moving_slots(leaving, None)] == [False]
    assert [m.switched for m in moving_slots(replace(leaving, switched=True), None)] == [True]
    coming = replace(slots("0", coming="1"), switched=True)
    assert [m.switched for m in moving_slots(coming, None)] == [None]


def test_the_director_knows_how_many_slots_have_connections_still() -> None:
    leaving = encode(SlotsRecord(VIP, "a", slots("12", leaving="00")))
    one = encode(SlotsRecord(VIP, "a", slots("11", leaving="0-")))
    local = replace(OWN, busy={VIP: {"a": 17}})
    assert seen_on_a(local=local, slots=one).tables[0].moving == (Moving("a", "b", 0, 512, 17, switched=False),)
    assert seen_on_a(slots=one).tables[0].moving == (Moving("a", "b", 0, 512, switched=False),)
    assert [m.held for m in seen_on_a(local=local, slots=leaving).tables[0].moving] == [None, None]


def test_the_director_knows_whose_rules_are_waited_for() -> None:
    local = replace(OWN, awaited={VIP: {"b": 6}})
    coming = encode(SlotsRecord(VIP, "a", slots("0", coming="1")))
    assert seen_on_a(local=local, slots=coming).tables[0].awaited == {"b": 6}
    assert seen_on_a(slots=coming).tables[0].awaited is None
