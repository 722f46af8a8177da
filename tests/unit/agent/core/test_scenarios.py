"""What one node does, scene by scene; the words are explained in ``desk``."""

from dataclasses import replace

import pytest

from agent.core import events as e
from agent.core.limits import APPLICATION_LIVED_NS, ENDED_LATELY_NS
from manager.model import control as c
from manager.model.codec import encode
from manager.model.reasons import Reason
from manager.model.resources import has_failed_application
from manager.store.api import CreateRevisionIs, ModRevisionIs
from tests.unit.agent.core.desk import KEYS, Desk

START = """
    lease     ->
    heard     ->
    see       -> Prepare
    prepared  -> StartReplicator
"""

ALONE = f"""
    {START}
    hello           ->
    is WAIT blocked no_data_named
    request prim    -> answer accepted; commit elect
    settle          -> serve 1; settled a; AddAddresses
    is ALONE transient becoming_primary
    added           ->
    serving         -> StartApplication; commit record
    settle          -> settled a
    app_started     -> answer done
    is ALONE ready serving_without_peer
"""

PRIM = f"""
    {ALONE}
    b_is WAIT 1     -> Peer
    connected       ->
    complete        -> commit record
    settle          -> settled a,b
    b_is SECOND 1   ->
    is PRIM ready serving
"""

SECOND = f"""
    record 3 b
    disk 3
    {START}
    b_leads 3       ->
    hello           -> follow b 3
    is WAIT transient catching_up
    following       ->
    record 3 a,b
    see             ->
    is SECOND ready in_sync
"""


def played(script: str) -> Desk:
    desk = Desk()
    desk.play(script)
    return desk


def test_the_first_start_waits_for_an_operator_and_serves_alone() -> None:
    played(ALONE)


def unserved() -> Desk:
    """A first start was refused by the replicator: somebody works in the directory, or it cannot be written."""
    desk = Desk(initial_primary="a")
    desk.play(f"""
        {START}
        hello           ->
        b_is WAIT 0     -> commit elect
        settle          -> serve 1; settled a; AddAddresses
        refused Serve   -> kill replicator_failed
        killed          -> commit resign
        settle          ->
        wait 60         -> StartReplicator
        lease           ->
    """)
    return desk


@pytest.mark.parametrize("hello", ["hello", "hello_partial 1"])
def test_a_first_start_that_came_to_nothing_is_begun_again_by_an_operator_alone(hello: str) -> None:
    """No disk has noted it, or one of several."""
    unserved().play(f"""
        {hello}         ->
        is WAIT blocked disk_identity_missing
        request prim r1 -> answer accepted; commit elect
        settle          -> serve 2; settled a; AddAddresses
    """)


def test_it_is_not_where_another_node_has_a_copy() -> None:
    """This etcd may be a restored one, of the day of the first start: that copy is the one that has been served."""
    unserved().play("""
        hello           ->
        member b WAIT boot-b 0 1 ->
        request prim r1 -> answer refused disk_identity_missing
    """)


def test_what_was_listed_once_it_served_is_no_first_start_that_came_to_nothing() -> None:
    """Its disk is another one since, or is not mounted."""
    desk = played(ALONE)
    desk.play("""
        disk none       ->
        gone            -> kill replicator_failed
        killed          -> commit resign
        settle          ->
        wait 60         -> StartReplicator
        lease           ->
        hello           ->
        is WAIT blocked disk_identity_missing
        request prim r2 -> answer refused disk_identity_missing
    """)


def test_initial_primary_counts_once_all_are_there_without_identity() -> None:
    desk = Desk(initial_primary="a")
    desk.play(START)
    desk.play("""
        hello           ->
        is WAIT blocked no_data_named
        b_is WAIT 0     -> commit elect
    """)


def test_a_peer_that_has_everything_is_listed_then_told() -> None:
    played(PRIM)


def test_what_a_transaction_told_is_forgotten_with_its_etcd() -> None:
    """The watch was mute as etcd was restored, and was behind what this node itself had done in the former one."""
    desk = played(ALONE)
    desk.play("b_is WAIT 1 -> Peer\nconnected ->\ncomplete -> commit record")
    seen, commit = desk.state.view, desk.commit
    assert seen is not None and commit is not None
    done = desk.etcd.commit_now(commit.txn)
    desk.give(e.TxnSettled(commit.tag, done.succeeded, done.revision, done.found, "store"))
    assert desk.state.known is not None
    desk.give(e.Observed(replace(seen, store_id="another", primary=None)))
    assert desk.state.primary is None


def test_a_lost_peer_is_taken_out_before_completions_go_on() -> None:
    desk = played(PRIM)
    desk.play("""
        lost        -> commit record
        is PRIM transient dropping_peer
        settle      -> settled a; Peer
        is ALONE ready serving_without_peer
    """)


def test_a_flapping_peer_is_listed_again_only_when_stable() -> None:
    desk = played(PRIM)
    desk.play("""
        lost        -> commit record
        settle      -> settled a; Peer
        wait 1      ->
        connected   ->
        complete    ->
        wait 2      ->
        wait 1.1    -> commit record
        settle      -> settled a,b
    """)


def test_a_peer_that_was_given_up_as_it_came_past_its_join_point_holds_nothing_for_ever() -> None:
    desk = played(ALONE)
    desk.play("""
        b_is WAIT 1     -> Peer
        connected       ->
        b_is WAIT 0     -> Forget; settled a; Forget
        complete        ->
        lost            -> settled a; Forget
        b_is WAIT 1     -> Peer
    """)


def test_what_may_list_a_lost_peer_is_waited_for_however_often_it_is_told_of() -> None:
    desk = played(ALONE)
    desk.play("""
        b_is WAIT 1     -> Peer
        connected       ->
        complete        -> commit record
        lost            ->
        lost            ->
        unknown lost    ->
        lost            ->
        wait 1          -> commit record
        lost            ->
        settle          -> settled a; Peer
    """)


@pytest.mark.parametrize("outcome", ["done", "lost"])
def test_a_drop_without_an_answer_is_written_anew_and_told_only_when_settled(outcome: str) -> None:
    desk = played(PRIM)
    desk.play("lost -> commit record")
    desk.play(f"unknown {outcome} ->")
    desk.play("""
        is PRIM transient outcome_unknown
        wait 0.6    -> commit record
    """)
    assert desk.do_settle()[0].startswith("settled a")
    assert "b" not in (desk.state.insync.record.nodes if desk.state.insync else "")


def test_a_peer_lost_past_its_join_point_before_it_was_listed_has_the_record_written() -> None:
    desk = played(ALONE)
    desk.play("""
        b_is WAIT 1     -> Peer
        connected       ->
        complete        -> commit record
        lost            ->
        settle          -> settled a,b; commit record
        settle          -> settled a; Peer
    """)


def test_a_peer_lost_past_its_join_point_before_it_was_stable_has_the_record_written() -> None:
    """No request was under way that might have listed it; but its replicator holds what completes until it is told."""
    desk = played(PRIM)
    desk.play("""
        lost        -> commit record
        settle      -> settled a; Peer
        connected   ->
        complete    ->
        lost        -> commit record
        settle      -> settled a; Peer
    """)


def test_a_peer_lost_while_it_joins_is_only_told_of_again() -> None:
    desk = played(ALONE)
    desk.play("""
        b_is WAIT 1     -> Peer
        connected       ->
        lost            -> settled a
        wait 0.9        ->
        wait 0.2        -> Forget; settled a; Peer
    """)


def test_the_primary_lost_the_secondary_closes_the_stream_elects_and_serves() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is_gone   -> CloseStream
        closed      -> commit elect
        settle      -> serve 4; settled a; AddAddresses
        serving     -> commit record
        added       -> StartApplication
    """)


def test_an_election_without_an_answer_takes_no_stream_and_stands_anew() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is_gone       -> CloseStream
        closed          -> commit elect
        unknown lost    ->
        is WAIT transient outcome_unknown
        wait 0.6        -> commit elect
        settle          -> serve 4; settled a; AddAddresses
    """)


def test_while_its_own_election_may_still_be_executed_it_follows_nobody() -> None:
    """Until the record has moved on from what that is guarded by (S3)."""
    desk = played(SECOND)
    desk.play("""
        b_is_gone       -> CloseStream
        closed          -> commit elect
        unknown lost    ->
        b_leads 3       ->
        record 3 a,b    ->
        see             -> follow b 3
    """)


def test_an_election_that_was_executed_unheard_is_seen() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is_gone       -> CloseStream
        closed          -> commit elect
        unknown done    ->
        see             -> serve 4; settled a; AddAddresses
    """)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("record 3 b \n disk 3", "blocked not_in_sync"),
        ("record 3 a/old,b \n disk 3", "transient rebooted_since_listed"),
        ("record 3 a,b \n disk none", "blocked disk_identity_missing"),
        ("record 3 a,b \n disk 2", "blocked disk_identity_missing"),
        ("record 3 a,b \n disk 4", "blocked store_went_back"),
        ("record 3 a,b \n disk 3 other", "blocked disk_of_other_cluster"),
        ("record 3 a,b", "blocked disk_identity_missing"),
    ],
)
def test_who_may_not_stand(before: str, reason: str) -> None:
    desk = played(before)
    desk.etcd.expire(desk.leases["b's lease"])
    desk.play(START)
    desk.play(f"""
        hello       ->
        wait 60     ->
        lease       ->
        is WAIT {reason}
    """)


@pytest.mark.parametrize("before", ["record 3 a/old \n disk 3", "record 3 a,b a \n disk 3"])
def test_who_may_stand(before: str) -> None:
    desk = played(before)
    desk.play(START)
    desk.play("hello -> commit elect")


@pytest.mark.parametrize("disk", ["none", "2"])
def test_a_disk_that_lacks_what_it_is_listed_for_does_not_get_it_vouched_for_by_following(disk: str) -> None:
    scene = f"record 3 a,b\ndisk {disk}\n{START}\nb_leads 3 ->\nhello ->"
    played(f"{scene}\nrecord 3 b ->\nsee -> follow b 3")
    played(f"{scene}\nb_is_gone ->\nis WAIT blocked disk_identity_missing")


def test_after_all_lost_power_one_stands_once_the_other_is_registered_anew() -> None:
    desk = played("record 3 a/old,b a \n disk 3")
    desk.play(START)
    desk.play("""
        hello       ->
        is WAIT blocked rebooted_since_listed
        b_reboots   -> commit elect
    """)
    assert desk.commit is not None and desk.commit.history is not None
    assert desk.commit.history.reason == "power_loss_of_all"


def test_after_a_full_stop_the_last_primary_goes_first_for_a_moment() -> None:
    desk = played("record 3 a,b b \n disk 3")
    desk.play(START)
    desk.play("""
        hello       ->
        is WAIT transient waiting_for_last_primary
        wait 5      ->
        lease       ->
        wait 5.1    -> commit elect
    """)


def test_a_swap_hands_over_without_waiting_for_a_timeout() -> None:
    desk = played(PRIM)
    desk.play("""
        request swap r2 -> answer accepted; StopApplication
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        is PRIM transient handing_over
    """)
    assert desk.state.published is not None and desk.state.published.hand_over is not None
    desk.play("""
        lost            ->
        b_takes 2       -> follow b 2
        b_is PRIM 2     -> answer done
    """)


NOT_TAKEN = """
    request swap r2 -> answer accepted; StopApplication
    app_stopped     -> DropAddresses
    dropped         -> Freeze
    frozen          ->
    wait 5          ->
    lease           ->
    wait 5.1        -> commit record
    settle          -> Thaw; answer failed superseded; settled a,b; AddAddresses
    added           -> StartApplication
"""
"""A swap of a primary's."""


def test_an_offer_that_is_not_taken_is_withdrawn_by_writing_the_record() -> None:
    played(PRIM + NOT_TAKEN)


def test_a_swap_is_given_up_when_etcd_does_not_answer_as_the_place_is_to_be_offered() -> None:
    desk = played(PRIM)
    desk.play("""
        request swap r2 -> answer accepted; StopApplication
        silent          ->
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        wait 1.9        ->
        wait 0.2        -> Thaw; answer failed store_unreachable; AddAddresses
        added           -> StartApplication
        app_started     ->
        is PRIM ready serving_without_store
    """)


def test_a_swap_that_broke_off_does_not_keep_an_operator_from_deciding() -> None:
    """He has no other way, where etcd is restored after it was lost in the middle of a swap."""
    desk = played(PRIM)
    desk.play("""
        request swap r2 -> answer accepted; StopApplication
        silent          ->
        lease_lost      -> kill lease_lost
        killed          -> answer failed superseded; StartReplicator
        hello           ->
        leaves b        ->
        remove primary  ->
        store another   ->
        store_stays     ->
        lease           ->
        heard           ->
        is WAIT blocked store_replaced
        wait 1          ->
        request prim r3 store_replaced -> answer accepted; commit elect
    """)


def test_a_swap_goes_on_when_etcd_was_silent_for_a_moment() -> None:
    desk = played(PRIM)
    desk.play("""
        request swap r2 -> answer accepted; StopApplication
        silent          ->
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        wait 1.9        ->
    """)
    assert desk.state.published is not None and desk.state.published.hand_over is None
    desk.play("heard ->")
    assert desk.state.published.hand_over is not None


def test_a_last_change_that_is_shown_while_etcd_is_silent_does_not_have_the_place_offered() -> None:
    """The watch may live for a moment longer than the renewals are answered. Once offered, it would not serve again."""
    desk = played(PRIM)
    desk.play("""
        request swap r2 -> answer accepted; StopApplication
        silent          ->
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        see             ->
        wait 1.9        ->
        see             ->
    """)
    assert desk.state.published is not None and desk.state.published.hand_over is None
    desk.play("wait 0.2 -> Thaw; answer failed store_unreachable; AddAddresses")


def test_an_offer_that_is_made_is_withdrawn_only_through_etcd() -> None:
    desk = played(PRIM)
    desk.play("""
        request swap r2 -> answer accepted; StopApplication
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        silent          ->
        wait 5          ->
        lease           ->
        wait 5.1        -> commit record
        unknown lost    ->
        is PRIM transient handing_over
        heard           ->
        wait 0.6        -> commit record
        settle          -> Thaw; answer failed superseded; settled a,b; AddAddresses
    """)


def test_where_the_application_fails_after_an_offer_that_was_not_taken_the_next_one_comes_soon() -> None:
    """Nothing serves meanwhile. What runs again is not stopped for the next one before half a minute is over."""
    desk = played(PRIM + NOT_TAKEN)
    desk.play("""
        app_failed      -> StopApplication
        app_stopped     ->
        lease           ->
        wait 4.9        ->
        wait 0.1        -> DropAddresses
    """)


def test_an_application_that_fails_is_not_offered_to_a_peer_while_etcd_does_not_answer() -> None:
    desk = played(PRIM)
    desk.play("""
        request restart r2  -> answer accepted; StopApplication
        app_stopped         -> StartApplication
        silent              ->
        app_failed          -> answer failed application_failed; StopApplication
        app_stopped         -> DropAddresses
        dropped             -> Freeze
        frozen              ->
    """)
    assert desk.state.published is not None and desk.state.published.hand_over is None
    desk.play("heard ->")
    assert desk.state.published.hand_over is not None


def test_the_one_that_is_offered_the_place_closes_its_stream_and_takes_it() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is PRIM 3 frozen offers   -> CloseStream
        closed                      -> commit take_over
        settle                      -> serve 4; settled a,b; AddAddresses
        lost                        ->
        serving                     -> commit record
        settle                      -> settled a; Forget
        b_is WAIT 4                 -> Peer
        # No stream of this epoch was lost, so it need not be stable first.
        connected                   ->
        complete                    -> commit record
        settle                      -> settled a,b
    """)


def test_a_hand_over_tests_the_key_of_the_one_that_offers_and_the_record() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is PRIM 3 frozen offers   -> CloseStream
        closed                      -> commit take_over
    """)
    assert desk.commit is not None and desk.state.primary is not None
    assert set(desk.commit.txn.guards) == {
        CreateRevisionIs(KEYS.primary, desk.state.primary.create_revision),
        ModRevisionIs(KEYS.insync, desk.state.insync_revision),
    }


def test_an_offer_of_an_older_record_is_void() -> None:
    desk = played(SECOND)
    desk.play("""
        record 3 b,a
        b_is PRIM 3 frozen          ->
    """)


def test_a_full_stop_lets_the_secondary_go_first_and_keeps_both_listed() -> None:
    desk = played(PRIM)
    desk.play("""
        stop_all        -> StopApplication
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        is PRIM transient waiting_to_stop_last
        lost            ->
        b_withdraws     -> commit resign
        settle          -> StopReplicator
    """)
    record = desk.state.insync
    assert record is not None and record.record.nodes == {"a", "b"}


def test_a_place_whose_resignation_may_still_be_executed_is_not_served_again() -> None:
    desk = played(PRIM)
    desk.play("""
        stop_all            -> StopApplication
        app_stopped         -> DropAddresses
        dropped             -> Freeze
        frozen              ->
        b_withdraws         -> commit resign
        unknown lost        ->
        desired a started   ->
        wait 0.6            -> commit resign
        settle              -> StopReplicator
        stopped             -> StartReplicator
        hello               -> commit elect
    """)


def test_a_place_that_was_never_served_is_not_served_once_its_resignation_was_sent() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is PRIM 3 frozen offers   -> CloseStream
        closed                      -> commit take_over
        wait 9.1                    ->
        settle                      ->
        desired a stopped           -> commit resign
        unknown lost                ->
        desired a started           ->
        lease                       ->
        wait 0.6                    -> commit resign
        settle                      -> commit elect
    """)


def test_the_secondary_of_a_full_stop_waits_until_the_primary_has_frozen() -> None:
    desk = played(SECOND)
    desk.play("""
        b_is PRIM 3         ->
        stop_all            ->
        is SECOND transient waiting_to_stop
        b_is PRIM 3 frozen  -> StopReplicator
        stopped             -> Finish
        finished            ->
    """)
    assert desk.state.is_at_rest and desk.state.published is None


def test_a_secondary_stopped_alone_stops_at_once() -> None:
    played(SECOND).play("desired a stopped -> StopReplicator")


def test_a_primary_stopped_alone_hands_over_first() -> None:
    desk = played(PRIM)
    desk.play("""
        desired a stopped   -> StopApplication
        app_stopped         -> DropAddresses
        dropped             -> Freeze
        frozen              ->
        b_takes 2           -> StopReplicator
        stopped             -> Finish
        finished            ->
    """)


def test_an_agents_clean_stop_of_a_lone_primary_deletes_its_key() -> None:
    desk = played(ALONE)
    desk.play("""
        agent_stopping  -> StopApplication
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          -> commit resign
        settle          -> StopReplicator
        stopped         -> Finish
        finished        ->
    """)
    assert desk.state.is_at_rest


def test_at_the_deadline_a_primary_without_promises_stops_serving() -> None:
    desk = played(PRIM)
    desk.play("""
        wait 8.9    ->
        wait 0.2    -> kill lease_lost
        is WAIT transient lease_lost
    """)


def test_an_agent_that_stood_still_past_what_it_told_stops_serving() -> None:
    desk = played(ALONE)
    desk.play("""
        wait 30     -> kill lease_lost
        killed      -> commit resign; StartReplicator
    """)


def test_a_dead_replicator_of_a_primary_lets_the_peer_take_over_at_once() -> None:
    desk = played(PRIM)
    desk.play("""
        gone        -> kill replicator_failed
        killed      -> commit resign
        settle      ->
        wait 1      -> StartReplicator
        hello       ->
        is WAIT transient replicator_failed
    """)


def test_two_whose_replicators_have_failed_do_not_wait_for_one_another() -> None:
    desk = played(PRIM)
    desk.play("""
        gone            -> kill replicator_failed
        killed          -> commit resign
        settle          ->
        wait 1          -> StartReplicator
        hello           ->
        is WAIT transient replicator_failed
        b_is WAIT 1 broken -> commit elect
    """)


def test_a_dead_replicator_of_a_secondary_is_started_again_and_follows() -> None:
    desk = played(SECOND)
    desk.play("""
        gone        ->
        wait 1      -> StartReplicator
        hello       -> follow b 3
    """)


def test_a_replicator_that_fails_in_a_row_is_shown_as_blocked() -> None:
    desk = played(SECOND)
    desk.play("""
        gone        ->
        wait 1      -> StartReplicator
        gone        ->
        wait 2      -> StartReplicator
        gone        ->
        is WAIT blocked replicator_failed
    """)


def test_an_application_that_fails_goes_to_the_peer() -> None:
    desk = played(PRIM)
    desk.play("""
        request restart r2  -> answer accepted; StopApplication
        app_stopped         -> StartApplication
        app_failed          -> answer failed application_failed; StopApplication
        app_stopped         -> DropAddresses
        dropped             -> Freeze
        frozen              ->
        b_takes 2           -> follow b 2
    """)


def lived(script: str) -> Desk:
    """As ``script`` leaves it, with an application that has run for long; promises are not looked at."""
    desk = played(script)
    desk.state = replace(desk.state, app_since_ns=desk.now_ns - APPLICATION_LIVED_NS)
    return desk


def test_an_application_that_ran_long_and_ends_goes_to_the_peer_and_has_not_failed_here() -> None:
    desk = lived(PRIM)
    desk.play("""
        app_gone            -> StopApplication
        is PRIM transient application_failed
        app_stopped         -> DropAddresses
        dropped             -> Freeze
        frozen              ->
        b_takes 2           -> follow b 2
    """)
    assert desk.state.published is not None and not has_failed_application(desk.state.published.resources)


@pytest.mark.parametrize("scene", [ALONE, f"{PRIM}\n b_is SECOND 1 failed ->"])
def test_one_that_ran_long_and_ends_is_started_again_where_nobody_can_go_on(scene: str) -> None:
    desk = lived(scene)
    desk.play("""
        app_gone            -> StopApplication
        app_stopped         -> StartApplication
        app_started         ->
    """)
    assert desk.word in ("ALONE ready serving_without_peer", "PRIM ready serving")


def came_here_for_it(desk: Desk) -> None:
    """This epoch began because the application had ended, or failed, on the other node."""
    assert desk.state.insync is not None
    record = replace(desk.state.insync.record, because=str(Reason.APPLICATION_FAILED))
    desk.put(KEYS.insync, encode(record))
    desk.play("see -> settled a,b")


def test_one_that_has_ended_on_the_other_node_a_while_ago_does_not_go_back_to_it() -> None:
    """What ends everywhere would go to and fro for ever, with all that a hand-over costs each time."""
    desk = lived(PRIM)
    came_here_for_it(desk)
    desk.play("""
        app_gone            -> StopApplication
        app_stopped         -> StartApplication
        app_started         ->
        is PRIM ready serving
    """)


def test_one_that_has_ended_on_the_other_node_long_ago_goes_back_to_it() -> None:
    desk = lived(PRIM)
    came_here_for_it(desk)
    desk.state = replace(desk.state, rep_since_ns=desk.now_ns - ENDED_LATELY_NS)
    desk.play("""
        app_gone            -> StopApplication
        is PRIM transient application_failed
    """)


def test_one_whose_place_nobody_takes_is_started_again() -> None:
    desk = lived(PRIM)
    desk.play("""
        app_gone            -> StopApplication
        app_stopped         -> DropAddresses
        dropped             -> Freeze
        frozen              ->
        lease               ->
        wait 8              ->
        lease               ->
        wait 2.1            -> commit record
        settle              -> Thaw; settled a,b; AddAddresses
        added               -> StartApplication
    """)


def test_an_application_that_failed_at_the_peer_too_stays() -> None:
    desk = played(PRIM)
    desk.play("""
        b_is SECOND 1 failed    ->
        request restart r2      -> answer accepted; StopApplication
        app_stopped             -> StartApplication
        app_failed              -> answer failed application_failed; StopApplication
        app_stopped             ->
        is PRIM blocked application_failed
    """)


def test_an_address_in_use_blocks_and_is_tried_again() -> None:
    desk = Desk()
    desk.play(START)
    desk.play("""
        hello           ->
        request prim    -> answer accepted; commit elect
        settle          -> serve 1; settled a; AddAddresses
        serving         -> commit record
        settle          -> settled a
        in_use          -> answer failed address_in_use
        is ALONE blocked address_in_use
        lease           ->
        wait 8          ->
        lease           ->
        wait 2.1        -> AddAddresses
        added           -> StartApplication
    """)


@pytest.mark.parametrize(
    ("scene", "request_", "reason"),
    [
        (ALONE, "prim", "already_primary"),
        (ALONE, "swap", "no_secondary"),
        (SECOND, "swap", "not_primary"),
        (SECOND, "prim", "primary_alive"),
        (SECOND, "dance", "unknown_action"),
    ],
)
def test_requests_are_refused_with_the_reason(scene: str, request_: str, reason: str) -> None:
    played(scene).play(f"request {request_} r9 -> answer refused {reason}")


def test_a_restart_of_a_secondary_is_done_at_once() -> None:
    played(SECOND).play("request restart r9 -> answer accepted; answer done")


def test_what_went_with_the_connection_to_the_replicator_is_told_and_asked_for_again() -> None:
    """A stream that was lost meanwhile would be taken for one that joins, and completions would wait for the record."""
    desk = played(ALONE)
    desk.play("""
        b_is WAIT 1     -> Peer
        connected       ->
        hello primary 1 -> Thaw; AddAddresses; AdoptApplication; settled a
        added           ->
        app_started     ->
        wait 8          ->
        lease           ->
        wait 7.1        -> Forget; settled a; Peer
    """)


def test_the_streams_that_stand_are_not_lost_with_the_connection_to_the_replicator() -> None:
    desk = played(PRIM)
    desk.play("""
        hello primary 1 -> Thaw; AddAddresses; AdoptApplication; settled a,b
        connected       ->
        complete        ->
        added           ->
        app_started     ->
        is PRIM ready serving
        wait 6          ->
        is PRIM ready serving
    """)


def _with_a_new_agent() -> Desk:
    """Of a primary, which still serves."""
    old = played(PRIM)
    desk = Desk()
    desk.etcd, desk.leases, desk.instances, desk.disk = old.etcd, dict(old.leases), old.instances, old.disk
    desk.leases["a's lease"] = desk.etcd.grant_now(10_000)
    desk.now_ns = old.now_ns
    desk.play(START)
    return desk


def test_a_new_agent_adopts_the_replicator_that_still_serves() -> None:
    desk = _with_a_new_agent()
    desk.play("""
        hello primary 1 -> commit adopt
        connected       ->
        complete        ->
        settle          -> Thaw; AddAddresses; AdoptApplication; settled a,b
        added           ->
        app_started     ->
        is PRIM ready serving
    """)


def test_a_replicator_that_is_connected_anew_goes_on_only_once_its_offer_cannot_be_taken() -> None:
    desk = played(PRIM)
    desk.play("""
        request swap    -> answer accepted; StopApplication
        app_stopped     -> DropAddresses
        dropped         -> Freeze
        frozen          ->
        hello primary 1 -> commit adopt; answer failed superseded
        frozen          ->
        settle          -> Thaw; AddAddresses; AdoptApplication; settled a,b
        added           ->
        app_started     ->
        is PRIM ready serving
    """)


def test_a_new_agent_does_not_serve_with_a_replicator_that_was_fenced_before_it_came() -> None:
    desk = _with_a_new_agent()
    desk.play("""
        hello primary 1 -> commit adopt
        settle          -> Thaw; AddAddresses; AdoptApplication; settled a,b
        idled           -> kill lease_lost
    """)


def test_a_new_agent_does_not_serve_with_a_replicator_that_failed_before_it_came() -> None:
    desk = _with_a_new_agent()
    desk.play("""
        hello primary 1 -> commit adopt
        failed          -> kill replicator_failed
    """)


def test_what_a_former_agent_left_is_killed_when_the_module_is_not_wanted() -> None:
    old = played(PRIM)
    desk = Desk()
    desk.etcd, desk.now_ns = old.etcd, old.now_ns
    desk.leases["a's lease"] = desk.etcd.grant_now(10_000)
    desk.play("""
        lease               ->
        heard               ->
        desired a stopped   -> kill stopped_by_operator
        killed              -> commit resign
        settle              ->
    """)


def test_a_new_agent_of_a_secondary_goes_on_with_the_stream_that_stands() -> None:
    desk = played(SECOND)
    other = Desk()
    other.etcd, other.leases, other.instances, other.disk = desk.etcd, desk.leases, desk.instances, desk.disk
    other.play(START)
    other.play("""
        hello secondary 3   -> follow b 3
        is SECOND ready in_sync
        b_is_gone           -> CloseStream
    """)


def test_a_stream_that_comes_back_before_a_new_agent_has_told_anything_is_known_to_stand() -> None:
    played(f"""
        record 3 b
        disk 3
        {START}
        hello secondary 3   ->
        stream_lost         ->
        following           ->
        b_leads 3           -> follow b 3
        record 3 a,b        ->
        see                 ->
        is SECOND ready in_sync
    """)


def test_what_the_copy_is_of_is_known_once_its_join_is_through() -> None:
    desk = played(f"record 3 b\ndisk 2\n{START}\nb_leads 3 ->\nhello -> follow b 3\nfollowing ->")
    assert desk.state.disk is not None and (desk.state.disk.epoch, desk.state.disk.copy_epoch) == (3, 2)
    desk.play("joined ->")
    assert desk.state.disk.copy_epoch == 3


def test_a_peers_new_agent_is_no_reason_to_drop_its_stream() -> None:
    desk = played(PRIM)
    desk.play("""
        b_starts            ->
        b_is SECOND 1       ->
        is PRIM ready serving
    """)


def test_a_refused_comparison_is_no_failure_of_the_replicator() -> None:
    desk = played(PRIM)
    desk.play("""
        refused Verify  ->
        refused StopVerify ->
        is PRIM ready serving
        refused Freeze  -> kill replicator_failed
    """)


def test_a_secondary_that_has_lost_both_its_primary_and_etcd_says_that_etcd_is_waited_for() -> None:
    desk = played(SECOND)
    desk.give(e.ReplicatorSaid(c.StreamLost("b", "closed")))
    assert desk.word == "SECOND transient waiting_for_primary_lease"
    desk.do_wait("10")
    assert desk.word == "WAIT transient store_unreachable"


def test_a_record_of_a_newer_release_that_a_refused_transaction_finds_is_said_and_not_decided_against() -> None:
    desk = Desk()
    desk.play(f"""
        {START}
        hello           ->
        request prim    -> answer accepted; commit elect
    """)
    desk.put(KEYS.insync, '{"of": "a newer release"}')
    desk.play("""
        settle          ->
        is WAIT blocked record_unreadable
        wait 5          ->
    """)
