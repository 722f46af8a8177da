"""Who may stand after a loss of memory, without failover, beside a preferred primary; and what an operator decides."""

from dataclasses import replace

import pytest

from agent.core.boots import has_lost_memory
from agent.core.limits import ENDED_LATELY_NS
from agent.core.state import MirrorState
from agent.core.view import ModuleView, Seen
from manager.model.boots import after_loss
from manager.model.config.module_config import AfterPowerLoss, Failover
from manager.model.records import Holder, InsyncRecord, MemberRecord, NodeRecord
from manager.model.states import ModuleState, Readiness
from tests.unit.agent.core.desk import Desk
from tests.unit.agent.core.test_scenarios import ALONE, PRIM, SECOND, START, played

REBOOTED = f"""
    record 3 a/old,b a
    disk 3
    {START}
    hello       ->
    is WAIT blocked rebooted_since_listed
"""
FIFTEEN_SECONDS = """
    wait 8      ->
    lease       ->
    wait 6      ->
    lease       ->
"""
"""Of peer_timeout and TTL, but for one."""


def the_record(desk: Desk) -> InsyncRecord:
    assert desk.state.insync is not None
    return desk.state.insync.record


def why_it_stands(desk: Desk) -> tuple[str, str]:
    assert desk.commit is not None and desk.commit.history is not None
    return desk.commit.history.reason, desk.commit.history.detail


# Loss of memory


def test_one_that_rebooted_stands_when_nobody_else_was_there_for_long_enough() -> None:
    desk = played(REBOOTED)
    desk.play(f"""
        leaves b    ->
        is WAIT transient rebooted_since_listed
        {FIFTEEN_SECONDS}
        wait 1.1    -> commit elect
    """)
    reason, detail = why_it_stands(desk)
    assert (reason, detail) == ("power_loss_others_away", "Not there: b.")


def test_a_node_that_comes_at_the_last_moment_is_seen_by_the_transaction() -> None:
    desk = played(REBOOTED)
    desk.play(f"""
        leaves b    ->
        {FIFTEEN_SECONDS}
        wait 1.1    -> commit elect
    """)
    desk.leases["b's lease"] = desk.etcd.grant_now(10_000)
    desk.put("/mirrorfarm/test/nodes/b", '{"node": "b"}', "b's lease")
    desk.do_settle()
    assert desk.state.primary is None and desk.commit is None


@pytest.mark.parametrize(
    "gap", ["registers b boot-b ->\nleaves b ->", "silent ->\nheard ->", "lease_lost ->\nwait 0.1 ->\nlease2 ->"]
)
def test_the_absence_is_counted_without_a_gap(gap: str) -> None:
    desk = played(REBOOTED)
    desk.play(f"leaves b ->\n{FIFTEEN_SECONDS}")
    desk.leases["a's lease"] = desk.etcd.grant_now(10_000)
    desk.play(gap.replace("lease2", "lease"))
    desk.play("""
        wait 1.1    ->
        wait 5      ->
        lease       ->
        wait 8      ->
        lease       ->
        wait 1      -> commit elect
    """)


def test_a_new_agent_counts_from_when_it_first_sees_it() -> None:
    desk = Desk()
    desk.play("record 3 a/old,b a\ndisk 3")
    desk.etcd.expire(desk.leases["b's lease"])
    desk.play(f"""
        {START}
        hello       ->
        {FIFTEEN_SECONDS}
        is WAIT transient rebooted_since_listed
        wait 1.1    -> commit elect
    """)


def test_after_power_loss_wait_is_for_an_operator_to_end() -> None:
    desk = Desk(after_power_loss=AfterPowerLoss.WAIT)
    desk.play(REBOOTED)
    desk.play(f"""
        request prim r1 -> answer refused rebooted_since_listed
        request prim r2 rebooted_since_listed -> answer refused rebooted_since_listed
        leaves b        ->
        {FIFTEEN_SECONDS}
        wait 5          ->
        lease           ->
        is WAIT blocked rebooted_since_listed
        request prim r3 -> answer refused rebooted_since_listed
        request prim r4 rebooted_since_listed -> answer accepted; commit elect
    """)
    detail = "Not there: b. Writes that were not fsynced may be missing."
    assert why_it_stands(desk) == ("promoted_by_operator", detail)


def test_of_three_one_back_without_its_memory_and_one_away_is_enough_in_the_end() -> None:
    desk = Desk(nodes=("a", "b", "c"))
    desk.play(f"""
        record 3 a/old,b,c a
        disk 3
        {START}
        hello               ->
        leaves c            ->
        is WAIT blocked rebooted_since_listed
        {FIFTEEN_SECONDS}
        wait 2              ->
        registers b boot-b2 -> commit elect
    """)
    assert why_it_stands(desk)[0] == "power_loss_others_away"


def test_of_three_all_back_without_their_memory_need_not_wait() -> None:
    desk = Desk(nodes=("a", "b", "c"))
    desk.play(f"""
        record 3 a/old,b,c a
        disk 3
        {START}
        hello               ->
        registers b boot-b2 ->
        registers c boot-c2 -> commit elect
    """)
    assert why_it_stands(desk)[0] == "power_loss_of_all"


def test_a_secondary_whose_disk_failed_counts_as_rebooted() -> None:
    desk = played(SECOND)
    desk.play("""
        memory_lost -> kill replicator_failed
        killed      ->
        wait 1      -> StartReplicator
        hello       -> follow b 3
        is WAIT transient catching_up
        b_is_gone   ->
        is WAIT transient rebooted_since_listed
    """)
    assert desk.state.boot_id == "boot-a+1"
    assert desk.state.published is not None and desk.state.published.boot_id == "boot-a+1"


def test_a_primary_whose_disk_failed_never_writes_that_it_holds_everything() -> None:
    desk = played(PRIM)
    desk.play("""
        memory_lost -> kill replicator_failed
        killed      -> commit resign
        settle      ->
        wait 1      -> StartReplicator
        hello       ->
        wait 11     ->
        lease       ->
        is WAIT blocked rebooted_since_listed
    """)
    holder = the_record(desk).holder("a")
    assert holder is not None and holder.boot_id == "boot-a"


def test_the_only_one_that_is_listed_stands_again_and_is_listed_as_it_is_now() -> None:
    desk = played(ALONE)
    desk.play("""
        memory_lost -> kill replicator_failed
        killed      -> commit resign
        settle      ->
        wait 1      -> StartReplicator
        hello       -> commit elect
        settle      -> serve 2; settled a; AddAddresses
    """)
    assert the_record(desk).holders[0].boot_id == "boot-a+1"


def test_a_peer_that_lost_its_memory_is_taken_out() -> None:
    desk = played(PRIM)
    desk.play("member b WAIT boot-b+1 1 -> commit record")
    assert desk.commit is not None
    desk.do_settle()
    assert the_record(desk).nodes == {"a"}


def _view(registered: str, member: str = "") -> ModuleView:
    nodes = {"b": Seen(NodeRecord("b", (), "", registered, "", 0), 1, 1)}
    record = MemberRecord("b", ModuleState.WAIT, Readiness.READY, "", member, "", None, None)
    return ModuleView(1, nodes=nodes, members={"b": Seen(record, 1, 1)} if member else {})


@pytest.mark.parametrize(
    ("listed", "registered", "member", "lost"),
    [
        ("k", "k", "", False),
        ("k", "k", "k", False),
        ("k", "k", "k+1", True),
        ("k+1", "k", "", False),
        ("k+1", "k", "k", False),
        ("k+1", "k", "k+1", False),
        ("k+9", "k", "k+10", True),
        ("k+1", "j", "", True),
        ("k", "j", "k", True),
        ("k", "j", "j+1", True),
        ("k", "k", "j", False),
    ],
)
def test_a_registration_tells_the_kernels_boot_only(listed: str, registered: str, member: str, lost: bool) -> None:
    assert has_lost_memory(_view(registered, member), Holder("b", listed, "")) is lost


def test_a_node_that_is_not_there_says_nothing_of_its_memory() -> None:
    assert has_lost_memory(ModuleView(1), Holder("b", "k", "")) is None
    assert [after_loss("k"), after_loss("k+1"), after_loss("k+9")] == ["k+1", "k+2", "k+10"]


# Failover off

OFF = f"""
    record 3 a,b b
    disk 3
    {START}
    leaves b    ->
    hello       ->
    is WAIT blocked failover_off
    wait 8      ->
    lease       ->
"""


def test_without_failover_an_operator_promotes() -> None:
    desk = Desk(failover=Failover.OFF)
    desk.play(OFF)
    desk.play("request prim r1 -> answer accepted; commit elect")
    assert why_it_stands(desk) == ("promoted_by_operator", "")


def test_the_switch_of_any_node_is_enough_and_ends_with_it() -> None:
    desk = Desk()
    desk.play(f"""
        record 3 a,b b
        disk 3
        {START}
        switch b failover off ->
        leaves b        ->
        hello           ->
        is WAIT blocked failover_off
        switch b boot on -> commit elect
    """)


def test_without_failover_the_last_primary_stands_by_itself() -> None:
    desk = Desk(failover=Failover.OFF)
    desk.play(f"record 3 a,b a\ndisk 3\n{START}\nhello -> commit elect")


def test_what_an_operator_named_is_no_word_for_ever() -> None:
    desk = Desk(failover=Failover.OFF, start_limit_ns=0, stop_limit_ns=0)
    desk.play(OFF)
    desk.play("""
        request prim r1 -> answer accepted; commit elect
        registers b boot-b  ->
        b_leads 3           -> answer failed superseded
    """)
    assert not desk.state.named


def test_without_failover_a_primary_stopped_alone_hands_over_to_nobody() -> None:
    desk = Desk(failover=Failover.OFF)
    desk.play(PRIM)
    desk.play("""
        desired a stopped   -> StopApplication
        app_stopped         -> DropAddresses
        dropped             -> Freeze
        frozen              -> commit resign
    """)


def test_in_maintenance_a_failed_application_stays_and_a_swap_is_done() -> None:
    desk = played(PRIM)
    desk.play("""
        switch a failover off   ->
        request restart r2      -> answer accepted; StopApplication
        app_stopped             -> StartApplication
        app_failed              -> answer failed application_failed; StopApplication
        app_stopped             ->
        is PRIM blocked application_failed
        request swap r3         -> answer accepted; DropAddresses
    """)


# The preferred primary


def test_the_preferred_primary_gets_the_module_back() -> None:
    desk = Desk(preferred_primary="b")
    desk.play(PRIM)
    desk.play("""
        wait 6          ->
        lease           ->
        wait 4.1        -> StopApplication
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        is PRIM transient handing_over
    """)
    published = desk.state.published
    assert published is not None and published.hand_over is not None
    assert published.hand_over.reason == "preferred_primary"


def test_a_hand_back_that_fails_is_not_tried_again_at_once() -> None:
    desk = Desk(preferred_primary="b")
    desk.play(PRIM)
    desk.play("""
        wait 6          ->
        lease           ->
        wait 4.1        -> StopApplication
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        lease           ->
        wait 7          ->
        lease           ->
        wait 3.1        -> commit record
        settle          -> Thaw; settled a,b; AddAddresses
        added           -> StartApplication
        app_started     ->
    """)
    for _ in range(60):
        desk.play("lease ->\nwait 8 ->")
    desk.play("is PRIM ready serving")


@pytest.mark.parametrize(
    "held", ["switch b failover off ->", "b_is SECOND 1 failed ->", "b_is WAIT 1 ->", "silent ->", "request swap r9 x"]
)
def test_the_module_stays_where_the_preference_does_not_count(held: str) -> None:
    desk = Desk(preferred_primary="b")
    desk.play(PRIM)
    if held.endswith("x"):
        desk.state = _begun_by_an_operator(desk)
    else:
        desk.play(held)
    desk.play("lease ->\nwait 6 ->\nlease ->\nwait 6 ->")


def test_the_module_stays_where_the_application_had_to_go_a_while_ago() -> None:
    """It may end there again: it would go to and fro, twice as often as it ends."""
    desk = Desk(preferred_primary="b")
    desk.play(PRIM)
    desk.state = _begun_by_an_operator(desk, because="application_failed")
    desk.play("lease ->\nwait 6 ->\nlease ->\nwait 6 ->")
    desk.state = replace(desk.state, rep_since_ns=desk.now_ns - ENDED_LATELY_NS)
    desk.play("lease -> StopApplication")


def _begun_by_an_operator(desk: Desk, because: str = "swap") -> MirrorState:
    state = desk.state
    assert state.view is not None and state.insync is not None
    record = replace(state.insync.record, because=because)
    return replace(state, known=None, view=replace(state.view, insync=replace(state.insync, record=record)))


def test_at_a_cold_start_the_preferred_one_goes_first() -> None:
    desk = Desk(preferred_primary="b")
    desk.play(f"""
        record 3 a,b a
        disk 3
        {START}
        hello       ->
        is WAIT transient waiting_for_preferred
        lease       ->
        wait 8      ->
        lease       ->
        wait 2.1    -> commit elect
    """)
    other = Desk(preferred_primary="a")
    other.play(f"record 3 a,b b\ndisk 3\n{START}\nhello -> commit elect")
