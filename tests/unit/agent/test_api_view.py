"""What is shown of a module while etcd answers, and what is not known while it does not."""

from dataclasses import replace

from agent.api_view import Keys, LocalState, module_view
from manager.model.api import ModuleView
from manager.model.codec import encode
from manager.model.keys import ClusterKeys
from manager.model.records import Holder, InsyncRecord, MemberRecord, ModuleConfigRecord, NodeRecord
from manager.model.resources import KeptAside, aside_in
from manager.model.states import ModuleState, Readiness

KEYS = ClusterKeys("c")
DB = KEYS.module("db")
TOML = 'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db"]\n'


def member(node: str, state: ModuleState) -> MemberRecord:
    return MemberRecord(node, state, Readiness.READY, "", f"boot-{node}", "", None, None)


def seen_on_a(state: ModuleState, *, fresh: bool, decided: int = 0, asides_of_b: str = "") -> ModuleView:
    other = ModuleState.PRIM if state is ModuleState.SECOND else ModuleState.SECOND
    holders = tuple(Holder(n, f"boot-{n}", "i", 3) for n in ("a", "b"))
    values = {
        DB.config: encode(ModuleConfigRecord("id", 1, TOML, {}, "", "")),
        DB.insync: encode(InsyncRecord(3, 1, "a", holders, decided=decided)),
        DB.member("b"): encode(replace(member("b", other), resources={"aside": asides_of_b} if asides_of_b else {})),
        KEYS.node("b"): encode(NodeRecord("b", (), "1", "boot-b", "i", 0)),
    }
    local = LocalState(member("a", state))
    view = module_view(Keys(KEYS, values), "db", fresh=fresh, here="a", local=local)
    assert view is not None
    return view


def test_with_etcd_both_nodes_are_known() -> None:
    view = seen_on_a(ModuleState.SECOND, fresh=True)
    assert [(n.state, n.listed) for n in view.nodes] == [(ModuleState.SECOND, True), (ModuleState.PRIM, True)]


def test_without_etcd_a_secondary_may_have_been_taken_out_of_the_record() -> None:
    view = seen_on_a(ModuleState.SECOND, fresh=False)
    assert [(n.state, n.listed) for n in view.nodes] == [(ModuleState.SECOND, None), (None, None)]


def test_a_primary_that_serves_is_known_to_have_every_write() -> None:
    view = seen_on_a(ModuleState.PRIM, fresh=False)
    assert [n.listed for n in view.nodes] == [True, None]


def kept(view: ModuleView) -> list[KeptAside | None]:
    return [aside_in(node.resources) for node in view.nodes]


def test_where_no_copy_was_ever_decided_upon_nothing_is_set_aside() -> None:
    assert kept(seen_on_a(ModuleState.PRIM, fresh=True)) == [KeptAside(0, 0)] * 2


def test_what_a_node_does_not_say_that_it_has_set_aside_is_not_known() -> None:
    assert kept(seen_on_a(ModuleState.PRIM, fresh=True, decided=2)) == [None, None]
    some, none = KeptAside(2, 50), KeptAside(0, 0)
    assert kept(seen_on_a(ModuleState.PRIM, fresh=True, decided=2, asides_of_b="2 50")) == [None, some]
    assert kept(seen_on_a(ModuleState.PRIM, fresh=True, decided=2, asides_of_b="0 0")) == [None, none]


def test_of_a_node_of_which_nothing_is_known_it_is_not_said() -> None:
    assert kept(seen_on_a(ModuleState.PRIM, fresh=False)) == [KeptAside(0, 0), None]
