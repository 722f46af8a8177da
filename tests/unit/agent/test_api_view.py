"""What is shown of a module while etcd answers, and what is not known while it does not."""

from agent.api_view import Keys, LocalState, module_view
from manager.model.api import ModuleView
from manager.model.codec import encode
from manager.model.keys import ClusterKeys
from manager.model.records import Holder, InsyncRecord, MemberRecord, ModuleConfigRecord, NodeRecord
from manager.model.states import ModuleState, Readiness

KEYS = ClusterKeys("c")
DB = KEYS.module("db")
TOML = 'name = "db"\nkind = "mirror"\nnodes = ["a", "b"]\ndirectories = ["/srv/db"]\n'


def member(node: str, state: ModuleState) -> MemberRecord:
    return MemberRecord(node, state, Readiness.READY, "", f"boot-{node}", "", None, None)


def seen_on_a(state: ModuleState, *, fresh: bool) -> ModuleView:
    other = ModuleState.PRIM if state is ModuleState.SECOND else ModuleState.SECOND
    holders = tuple(Holder(n, f"boot-{n}", "i", 3) for n in ("a", "b"))
    values = {
        DB.config: encode(ModuleConfigRecord("id", 1, TOML, {}, "", "")),
        DB.insync: encode(InsyncRecord(3, 1, "a", holders)),
        DB.member("b"): encode(member("b", other)),
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
