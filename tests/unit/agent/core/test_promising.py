"""A pair without etcd, scene by scene: promises, what they allow, and the resume. The words are ``desk``'s."""

import pytest

from agent.core import commands as k
from agent.core import events as e
from agent.core import promising
from agent.core.mirror import step
from agent.core.settings import SECOND_NS
from manager.model import control as c
from manager.model.codec import encode
from manager.model.records import Holder, InsyncRecord
from manager.store.api import Delete, Txn
from tests.unit.agent.core.desk import KEYS, Desk
from tests.unit.agent.core.test_scenarios import ALONE, PRIM, SECOND, START, played


def left_s(desk: Desk) -> float:
    """For how long this node may still serve."""
    return (promising.right_ns(desk.state, desk.now_ns) - desk.now_ns) / SECOND_NS


def test_a_promise_counts_from_before_it_was_asked_for_less_what_stopping_takes() -> None:
    desk = played(PRIM)
    desk.play("wait 8 ->")  # It asks.
    desk.play("wait 0.5 ->")
    desk.play("b_promises 8 ->")
    assert left_s(desk) == pytest.approx(8 - 0.5 - 3)


def test_with_promises_a_primary_outlives_its_lease() -> None:
    desk = played(PRIM)
    desk.play("silent ->")
    for _ in range(60):
        desk.play("wait 1 ->\nb_promises 8 ->")
    desk.play("is PRIM ready serving_without_store")
    desk.play("""
        wait 4.9    ->
        wait 0.2    -> kill lease_lost
    """)


def test_the_promise_of_another_process_than_the_listed_one_counts_for_nothing() -> None:
    desk = played(PRIM)
    desk.play("wait 8 ->\nb_promises 8 b2 ->")
    assert left_s(desk) == pytest.approx(1.0)


def test_once_its_place_is_offered_no_promise_counts() -> None:
    """The other one may take it, whatever it has promised."""
    desk = played(PRIM)
    desk.play("""
        wait 8          ->
        b_promises 8    ->
        request swap r2 -> answer accepted; StopApplication
        app_stopped     -> DropAddresses
        dropped         -> Freeze
    """)
    assert promising.proof_ns(desk.state, desk.now_ns) > desk.now_ns
    desk.play("frozen ->")
    assert promising.proof_ns(desk.state, desk.now_ns) == 0


def test_alone_by_a_settled_record_it_goes_on_without_end() -> None:
    desk = played(ALONE)
    desk.play("silent ->")
    for _ in range(60):
        desk.play("wait 1 ->")
    desk.play("is ALONE ready serving_without_store")


def test_alone_without_a_lease_it_lists_nobody_until_it_has_one() -> None:
    desk = played(ALONE)
    desk.play("b_is WAIT 1 -> Peer\nconnected ->\nsilent ->")
    for _ in range(20):
        desk.play("wait 1 ->")
    desk.play("""
        complete    ->
        is ALONE ready serving_without_store
        heard       ->
        lease       -> commit record
    """)


def test_alone_it_lists_nobody_while_it_has_told_that_it_may_serve_past_its_lease() -> None:
    desk = played(ALONE)
    desk.play("b_is WAIT 1 -> Peer\nconnected ->")
    for _ in range(6):
        desk.play("wait 1 ->")
    assert desk.state.lease is not None
    assert desk.state.told_until_ns > desk.state.lease.deadline_ns > desk.now_ns + 2 * SECOND_NS
    desk.play("""
        complete    ->
        lease       -> commit record
    """)


@pytest.mark.parametrize("outcome", ["done", "lost"])
def test_alone_by_a_record_that_may_list_another_it_is_not_alone(outcome: str) -> None:
    desk = played(ALONE)
    desk.play("""
        b_is WAIT 1     -> Peer
        connected       ->
        complete        -> commit record
    """)
    desk.play(f"unknown {outcome} ->\nsilent ->")
    desk.play("""
        lost        ->
        wait 8.9    -> commit record
    """)
    assert left_s(desk) <= 0.2


def test_a_key_that_expired_is_written_anew_in_the_same_epoch() -> None:
    desk = played(PRIM)
    desk.play("silent ->")
    for _ in range(12):
        desk.play("wait 1 ->\nb_promises 8 ->")
    number = desk.state.insync.record.number if desk.state.insync is not None else 0
    desk.play("lease_lost ->")
    desk.leases["a's lease"] = desk.etcd.grant_now(10_000)
    desk.play("""
        see     ->
        heard   ->
        lease   -> commit resume
        is PRIM transient resuming
        settle  -> settled a,b
        is PRIM ready serving
    """)
    assert desk.state.insync is not None and desk.state.insync.record.number == number + 1
    assert desk.state.primary is not None and desk.state.primary.record.epoch == 1


def _cut_off_with_an_expired_key() -> Desk:
    desk = played(PRIM)
    desk.play("wait 8 ->\nb_promises 8 ->\nlease_lost ->\nsee ->")
    desk.leases["a's lease"] = desk.etcd.grant_now(10_000)
    return desk


def test_it_does_not_resume_once_the_proof_has_broken() -> None:
    desk = _cut_off_with_an_expired_key()
    desk.play("""
        wait 5.1    -> kill lease_lost
        lease       ->
        killed      -> StartReplicator
    """)


def test_it_does_not_resume_with_another_process_at_the_other_end() -> None:
    desk = _cut_off_with_an_expired_key()
    desk.play("""
        lost        ->
        lease       ->
    """)
    assert desk.commit is None


@pytest.mark.parametrize("before", [ALONE, PRIM])
def test_in_an_etcd_that_the_disk_objects_to_an_expired_key_leaves_nothing_that_serves(before: str) -> None:
    desk = played(before)
    desk.play("wait 8 ->\nb_promises 8 ->" if before is PRIM else "wait 8 ->")
    desk.play("lease_lost ->")
    desk.leases["a's lease"] = desk.etcd.grant_now(10_000)
    desk.play("store other -> kill lease_lost")


def test_a_resume_that_comes_too_late_gives_way() -> None:
    desk = _cut_off_with_an_expired_key()
    desk.play("lease -> commit resume")
    desk.do_record("2", "b")
    desk.play("b_leads 2 -> kill lease_lost\nsettle ->")


def test_a_resume_without_an_answer_is_tried_again_and_seen() -> None:
    desk = _cut_off_with_an_expired_key()
    desk.play("""
        lease           -> commit resume
        unknown done    ->
        see             -> settled a,b
    """)


# As secondary


def test_a_secondary_promises_and_does_not_stand_before_that_has_run_out() -> None:
    desk = played(SECOND)
    desk.play("""
        asked 3     -> Promise
        b_is_gone   ->
        is SECOND transient promised_not_to_stand
        lease       ->
        wait 7.9    ->
        lease       ->
        wait 0.2    -> CloseStream
        closed      -> commit elect
        settle      -> serve 4; settled a; AddAddresses
    """)


def test_without_the_key_it_promises_for_one_ttl_more() -> None:
    desk = played(SECOND)
    desk.play("asked 3 -> Promise")
    desk.etcd.expire(desk.leases["b's lease"])
    desk.play("see ->")
    for _ in range(9):
        desk.play("wait 1 ->\nlease ->\nasked 3 -> Promise")
    desk.play("wait 1.1 ->\nasked 3 ->")
    for _ in range(6):
        desk.play("wait 1 ->\nlease ->\nasked 3 ->")
    desk.play("wait 1 -> CloseStream")


def test_without_etcd_it_promises_for_as_long_as_it_is_asked() -> None:
    desk = played(SECOND)
    desk.play("silent ->")
    for _ in range(60):
        desk.play("wait 1 ->\nasked 3 -> Promise")


def test_it_promises_nothing_to_another_epoch() -> None:
    played(SECOND).play("asked 2 ->")


def test_it_promises_nothing_while_its_own_election_is_not_settled() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is_gone       -> CloseStream
        closed          -> commit elect
        asked 3         ->
        unknown lost    ->
        asked 3         ->
    """)


@pytest.mark.parametrize("restored", ["of an earlier epoch", "without a record"])
def test_a_promise_binds_in_a_restored_etcd_as_well(restored: str) -> None:
    """That one does not know who was promised to; who serves by the promise may not have heard of it yet."""
    desk = played(SECOND)
    desk.play("asked 3 -> Promise")
    if restored == "of an earlier epoch":
        desk.do_record("2", "a,b")
    else:
        desk.etcd.commit_now(Txn((), (Delete(KEYS.insync),)))
    desk.etcd.expire(desk.leases["b's lease"])
    desk.play("""
        store other     ->
        store_stays     ->
        request prim r1 store_replaced -> answer accepted
        is WAIT transient promised_not_to_stand
        wait 7.9        ->
        lease           ->
        wait 0.2        -> CloseStream
        closed          -> commit elect
    """)


def test_a_place_that_was_given_up_binds_nobody() -> None:
    desk = played(SECOND)
    desk.play("asked 3 -> Promise")
    kv = desk.etcd.get_now(KEYS.insync)
    assert kv is not None
    desk.put(KEYS.insync, kv.value.replace('"released": 0', '"released": 3'))
    desk.play("""
        b_is_gone   -> CloseStream
        closed      -> commit elect
    """)
    assert desk.commit is not None and desk.commit.history is not None
    assert desk.commit.history.reason == "primary_gave_up"
    desk.play("settle -> serve 4; settled a; AddAddresses")


@pytest.mark.parametrize("dead", [True, False])
def test_a_place_counts_as_given_up_once_all_that_served_is_dead(dead: bool) -> None:
    """What does not die serves for as long as its warden was told, and the other one's promise has to hold so long."""
    desk = played(PRIM)
    desk.play("failed -> kill replicator_failed")
    desk.play("killed -> commit resign" if dead else "wait 9.9 ->\nwait 0.2 -> commit resign")
    desk.play("settle ->")
    assert desk.state.insync is not None
    assert desk.state.insync.record.released == (desk.state.epoch if dead else 0)


@pytest.mark.parametrize("how", ["failed", "gone"])
def test_what_does_not_die_gives_its_place_up_only_when_its_warden_has_ended_it(how: str) -> None:
    """With a long lease that is told for longer than a kill is waited for: the other one's promise is over before."""
    desk = played(PRIM)
    desk.give(e.LeaseRenewed(desk.leases["a's lease"], desk.now_ns + 19 * SECOND_NS))
    desk.play(f"{how} -> kill replicator_failed")
    desk.play("wait 10.1 ->\nwait 8.8 ->\nwait 0.2 -> commit resign")


@pytest.mark.parametrize("seen_first", [False, True])
def test_a_hand_over_of_unknown_outcome_that_was_executed_releases_the_promise(seen_first: bool) -> None:
    desk = played(SECOND)
    desk.play("""
        asked 3                     -> Promise
        b_is PRIM 3 frozen offers   -> CloseStream
        closed                      -> commit take_over
    """)
    serves = "serve 4; settled a,b; AddAddresses"
    if seen_first:
        assert desk.commit is not None
        desk.etcd.commit_now(desk.commit.txn)
        desk.play(f"""
            see             ->
            unknown lost    -> {serves}
        """)
    else:
        desk.play(f"""
            unknown done    ->
            see             -> {serves}
        """)


def test_a_new_agent_waits_for_what_its_former_one_may_have_promised() -> None:
    desk = Desk()
    desk.play(f"""
        record 3 a,b b
        disk 3
        new_agent   ->
        {START}
    """)
    desk.etcd.expire(desk.leases["b's lease"])
    desk.play("""
        hello       ->
        see         ->
        is WAIT transient promised_not_to_stand
        wait 7.9    ->
        lease       ->
        wait 0.2    -> commit elect
    """)


def test_the_last_primary_has_promised_nothing() -> None:
    desk = Desk()
    desk.play(f"""
        record 3 a,b a
        disk 3
        new_agent   ->
        {START}
        hello       -> commit elect
    """)


def test_what_a_former_agent_has_promised_by_a_longer_lease_binds() -> None:
    desk = Desk(former_promise_until_ns=1_060 * SECOND_NS)
    desk.play(f"record 3 a,b\ndisk 3\n{START}\nhello ->\nis WAIT transient promised_not_to_stand")
    desk.play("""
        wait 59     ->
        lease       ->
        is WAIT transient promised_not_to_stand
        wait 2      -> commit elect
    """)


def test_it_does_not_where_all_that_served_is_dead() -> None:
    desk = Desk(former_promise_until_ns=1_060 * SECOND_NS)
    record = InsyncRecord(3, 30, "b", (Holder("a", "boot-a", "", 3),), released=3)
    desk.put(KEYS.insync, encode(record))
    desk.play(f"disk 3\n{START}\nhello -> commit elect")


def test_in_another_etcd_no_operator_is_heard_before_it_is_over() -> None:
    desk = Desk(former_promise_until_ns=1_060 * SECOND_NS)
    desk.play(f"""
        record 3 a,b
        disk 3 cluster old
        {START}
        hello           ->
        leaves b        ->
        store_stays     ->
        request prim r1 store_replaced -> answer refused store_settling
        wait 61         ->
        lease           ->
        request prim r2 store_replaced -> answer accepted; commit elect
    """)


def test_what_the_next_agent_would_not_know_of_is_not_promised() -> None:
    assert _promise_of(played(SECOND))
    desk = Desk(promises=False)
    desk.play(SECOND)
    assert not _promise_of(desk)


def _promise_of(desk: Desk) -> bool:
    """Whether it answers its primary's question."""
    _, commands = step(desk.state, e.ReplicatorSaid(c.PromiseAsked("b", desk.state.follow_epoch, 7)), desk.now_ns)
    return any(isinstance(command, k.Tell) and isinstance(command.command, c.Promise) for command in commands)
