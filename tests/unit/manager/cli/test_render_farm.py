"""What an operator reads of a farm: shares, weights, who directs, what is on its way, and why."""

from dataclasses import replace

from manager.cli.render import state_table, why_text
from manager.model.api import ModuleView, WhyResult
from manager.model.api_farm import FarmTable, Moving
from manager.model.reasons import Reason
from manager.model.states import ModuleState, Readiness, Run
from tests.unit.manager.cli.farm_views import SHARES, VIP, farm, share, table, up
from tests.unit.manager.cli.test_render import shown
from tests.unit.manager.cli.views import PRIM, SECOND, module, node, result

SERVES = "The application runs here, and takes its share of what clients begin."


def why(view: ModuleView, name: str, *, reachable: bool = True) -> str:
    return shown(why_text(WhyResult(view, name, reachable, 3_000, here="a")))


def test_a_row_for_each_node_without_a_word_of_copies() -> None:
    assert shown(state_table(result(farm()))) == (
        "MODULE  NODE      STATE  READINESS  SHARE       WEIGHT  DIRECTS      WHY\n"
        f"web     a (here)  UP     ready      33 % (342)  1       {VIP}  {SERVES}\n"
        f"        b         UP     ready      33 % (341)  1       -            {SERVES}\n"
        f"        c         UP     ready      33 % (341)  1       -            {SERVES}"
    )


def test_a_farm_stands_beside_a_mirror_with_columns_of_its_own() -> None:
    lines = shown(state_table(result(module(PRIM, SECOND), farm()))).splitlines()
    assert [line.split()[4] for line in lines if line.startswith("MODULE")] == ["DATA", "SHARE"]
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["MODULE", "db", "MODULE", "web"]


def test_addresses_that_are_shared_otherwise_have_lines_of_their_own() -> None:
    other = table({"a": 512, "b": 512}, address="fd77::110", director="b")
    text = shown(state_table(result(farm(tables=(table(), other)))))
    assert f"{VIP}: 33 % (342)" in text and "fd77::110: 50 % (512)" in text and "fd77::110: 0 % (0)" in text


def test_of_a_silent_node_nothing_is_known() -> None:
    lost = replace(up("b", None), registered=False)
    row = shown(state_table(result(farm(up("a"), lost, up("c"))))).splitlines()[2]
    assert row.split()[:6] == ["b", "unknown", "unknown", "unknown", "1", "unknown"]


def test_without_etcd_no_share_is_told() -> None:
    cut = tuple(
        replace(n, registered=None, farm=replace(share(n.node, table()), slots=None, directs=None))
        for n in (up("a"), up("b"))
    )
    text = shown(state_table(result(farm(*cut), reachable=False, age_ms=3_000)))
    assert text.startswith("etcd does not answer this node") and "%" not in text and VIP not in text


def test_what_is_on_its_way_is_told_apart_from_what_has_gone() -> None:
    moving = table(SHARES, Moving("a", "b", 12, 0), Moving("c", "b", 0, 340, 17), Moving("a", "c", 0, 1))
    lines = shown(state_table(result(farm(tables=(moving,))))).splitlines()
    assert f"web {VIP}: 12 slots moving to b: a serves them until both are ready for it" in lines
    assert (
        f"web {VIP}: what begins in 340 slots goes to b, not to c any more: c keeps its connections there, in 17 "
        "slots at the most"
    ) in lines
    assert any("1 slot goes" in line or "in 1 slot goes" in line for line in lines)
    assert any(line.endswith("a keeps the connections that it has there") for line in lines)


def test_until_all_nodes_share_so_it_is_not_said_that_nothing_begins_at_the_giver() -> None:
    moving = table(SHARES, Moving("c", "b", 0, 340, switched=False), Moving("a", "b", 0, 12, switched=True))
    lines = shown(state_table(result(farm(tables=(moving,))))).splitlines()
    kept = "keeps the connections that it has there"
    until = "once all nodes have loaded that"
    assert f"web {VIP}: what begins in 340 slots goes to b, not to c any more {until}: c {kept}" in lines
    assert f"web {VIP}: what begins in 12 slots goes to b, not to a any more: a {kept}" in lines


def test_slots_of_the_last_drained_node_go_to_nobody() -> None:
    drained = table({}, Moving("a", "", 0, 1024))
    text = shown(state_table(result(farm(up("a"), tables=(drained,), a=0))))
    assert "what begins in 1,024 slots goes to no node, not to a any more" in text
    assert "1,024 slots without a node: what begins there is dropped" in text
    assert "0 (drained)" in text and "web: a: drained by an operator (module.toml: 1)" in text


def test_an_address_without_a_director_is_told_while_a_node_is_up() -> None:
    nobody = (table(director=""),)
    assert f"{VIP}: nobody receives for it" in shown(state_table(result(farm(tables=nobody))))
    stopped = up("a", ModuleState.STOP, Reason.STOPPED_BY_OPERATOR)
    assert "nobody receives" not in shown(state_table(result(farm(stopped, tables=nobody))))


def test_a_record_of_another_release_is_not_guessed_at() -> None:
    strange = FarmTable(VIP, None, None)
    view = farm(replace(up("a"), farm=replace(share("a", strange), directs=None)), tables=(strange,))
    text = shown(state_table(result(view)))
    assert "is of another release, and not understood" in text and "%" not in text and SERVES in text
    assert text.splitlines()[1].split()[5:8] == ["unknown", "1", "unknown"]
    other = table({"a": 512, "b": 512}, address="fd77::110")
    mixed = shown(state_table(result(farm(up("c"), tables=(strange, other)))))
    assert f"{VIP}: unknown" in mixed and "fd77::110: 0 % (0)" in mixed and SERVES in mixed
    assert "who directs is not known" in why(view, "a")


def test_a_narrow_terminal_gets_lines() -> None:
    text = shown(state_table(result(farm(b=0))), columns=80)
    assert "web\n  a (here): UP, ready; share: 33 % (342); weight: 1; directs: 10.77.0.110\n" in text
    assert "  b: UP, ready; share: 33 % (341); weight: 0 (drained)\n" in text


def test_why_says_the_share_what_it_comes_from_and_who_directs() -> None:
    assert why(farm(b=2), "b") == (
        "web on b: UP, ready\n"
        f"  {SERVES}\n"
        "  Wanted here: started.\n"
        "  Weight 2, set by an operator (module.toml: 1).\n"
        f"  {VIP}: 33 % (341) of what begins goes here, by table 41.\n"
        "  By the weights of the nodes that are UP: a 25 %, b 50 %, c 25 %.\n"
        f"  {VIP}: directed by a."
    )


def test_why_of_a_drained_node_names_the_way_back() -> None:
    text = why(farm(b=0), "b")
    assert "With a weight of 0 it gives its share to the others" in text
    text = why(farm(tables=(table({"a": 512, "c": 512}),), b=0), "b")
    assert "The application runs here; by its tables nothing that clients begin goes to it." in text
    assert "With a weight of 0 nothing that begins goes here" in text
    leaving = table({"a": 512, "c": 512}, Moving("b", "a", 0, 30, switched=False))
    text = why(farm(tables=(leaving,), b=0), "b")
    assert "With a weight of 0 it gives its share to the others" in text and "once all nodes have loaded that" in text
    assert "What to do: To have it take a share again: mirrorfarm farm undrain web b" in text


def test_a_weight_of_zero_that_the_configuration_gives_is_no_drain() -> None:
    own = replace(share("b", table(), weight=0), configured=0)
    text = why(farm(up("a"), replace(up("b"), farm=own)), "b")
    assert "Weight 0, by module.toml." in text and "mirrorfarm farm weight web b 1" in text and "undrain" not in text


def test_why_of_another_group_names_the_one_that_serves() -> None:
    spare = replace(up("c"), farm=share("c", table({"a": 512, "b": 512}), group=1))
    text = why(farm(up("a"), up("b"), spare, tables=(table({"a": 512, "b": 512}),)), "c")
    assert "Another group of the chain serves: a and b." in text
    gone = replace(spare, node="c")
    alone = farm(up("a", ModuleState.WAIT, Reason.STARTING_APPLICATION), gone, a=1)
    assert "c 100 %" in why(alone, "c")


def test_why_of_one_that_is_not_up_yet() -> None:
    starting = node("b", ModuleState.WAIT, Readiness.TRANSIENT, Reason.STARTING_APPLICATION)
    text = why(farm(up("a"), starting, tables=(table({"a": 1024}),)), "b")
    assert "The application is being started." in text and "It takes a share once it is UP." in text


def test_why_tells_only_the_moves_of_the_node() -> None:
    moving = (table(SHARES, Moving("a", "b", 12, 0), Moving("a", "c", 7, 0)),)
    assert "12 slots moving to b" in why(farm(tables=moving), "b") and "7 slots" not in why(farm(tables=moving), "b")


def test_why_without_etcd_says_what_is_not_known() -> None:
    own = replace(share("a", table()), slots=None, directs=None)
    text = why(farm(replace(up("a"), registered=None, farm=own)), "a", reachable=False)
    assert "What its share is now is not known: only etcd could tell." in text
    assert f"{VIP}: directed by this node when etcd was last heard." in text
    assert "no other share, no other director" in text


def test_why_before_the_first_start() -> None:
    never = replace(node("a", ModuleState.STOP, reason=Reason.NEVER_STARTED), wanted=None)
    text = why(farm(never, tables=(FarmTable(VIP, "", 0, shares={}, nobody=1024),)), "a")
    assert "mirrorfarm start web" in text and "there is no table yet, so nothing is shared" in text
    assert "dropped" not in text


def test_what_the_kernel_refused_is_known_on_the_node_itself() -> None:
    blocked = replace(up("b"), readiness=Readiness.BLOCKED, reason=Reason.RULES_FAILED, detail="")
    assert "mirrorfarm --node b why web says more." in why(farm(up("a"), blocked), "b")


def test_a_failed_application_is_looked_for_in_the_farms_own_script() -> None:
    failed = replace(
        node("b", ModuleState.WAIT, Readiness.BLOCKED, Reason.APPLICATION_FAILED, wanted=Run.STARTED), detail=""
    )
    text = why(farm(up("a"), failed), "b")
    assert "mirrorfarm --node b why web says more. Run mirrorfarm logs web --script start_both on b" in text
