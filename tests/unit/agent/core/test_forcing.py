"""A forced start: what is looked into, what refuses it, and what comes between (S12)."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.commands import Commit
from agent.core.events import StoreWentBack
from agent.core.limits import FORCED_FOR_NS
from agent.core.settings import SECOND_NS
from agent.core.state import MirrorState, Rep
from manager.model.codec import decode, encode
from manager.model.records import InsyncRecord, LackingRecord, MemberRecord, RequestRecord
from manager.model.states import Readiness
from manager.store.api import KeyAbsent, ModRevisionIs
from tests.unit.agent.core.desk import CLUSTER, KEYS, Desk
from tests.unit.agent.core.test_properties import happen
from tests.unit.agent.core.test_scenarios import START, played

WAITING = f"""
    record 5 b
    disk 3
    {START}
    hello       ->
    known b 10.0.0.2,fd00::2 ->
    is WAIT blocked not_in_sync
"""
ALONE_HERE = f"""
    {WAITING}
    leaves b    ->
"""
ASKED = "probe b 10.0.0.2,fd00::2"


def the_record(desk: Desk) -> InsyncRecord:
    assert desk.state.insync is not None
    return desk.state.insync.record


def forced_words(desk: Desk) -> tuple[str, str]:
    assert desk.commit is not None and desk.commit.history is not None
    return desk.commit.history.reason, desk.commit.history.detail


def is_over(state: MirrorState) -> bool:
    return (state.forcing, state.operation, state.named, state.accepted) == (None, None, False, frozenset())


def stands_again(desk: Desk, hello: str) -> None:
    """A new agent of the node that the record has alone, and a process that says ``hello``: nobody is asked again."""
    desk.leases["a's lease"] = desk.etcd.grant_now(10_000)
    desk.put(CLUSTER.node("a"), '{"node": "a", "addresses": [], "software": "", "boot_id": "", "agent_instance": "", '
             '"renewal": 0}', "a's lease")  # fmt: skip
    desk.play(f"""
        new_agent       ->
        lease           ->
        heard           ->
        see             -> answer failed superseded; Prepare
        prepared        -> StartReplicator
        {hello}         -> commit elect
        settle          -> serve 7; settled a; AddAddresses
    """)
    assert the_record(desk).decided == 6


# The order of things


def test_it_is_refused_as_before_for_as_long_as_nobody_accepts_it() -> None:
    played(ALONE_HERE).play("""
        request prim r1                         -> answer refused not_in_sync
        request prim r2 store_replaced          -> answer refused not_in_sync
        request prim r3 rebooted_since_listed   -> answer refused not_in_sync
    """)


def test_whoever_does_not_say_that_the_other_is_off_is_told_whether_it_answers() -> None:
    desk = played(ALONE_HERE)
    desk.play(f"""
        request prim r1 not_in_sync -> {ASKED}
        probed      -> answer refused not_confirmed_off
        request prim r2 not_in_sync -> {ASKED}
        probed 10.0.0.2_answers_a_ping -> answer refused last_primary_answers
    """)
    assert desk.detail("r1") == "b did not answer at 10.0.0.2, fd00::2."
    assert desk.detail("r2") == "b: 10.0.0.2 answers a ping."
    assert is_over(desk.state)


def test_a_copy_is_forced_when_the_other_is_said_to_be_off_and_does_not_answer() -> None:
    desk = played(ALONE_HERE)
    lacking = LackingRecord("a", "b", 4, "2026-11-26T01:00:00Z", "2026-11-26T02:00:00Z", 3, 5 << 20, 2, False)
    desk.put(KEYS.lacking("a"), encode(lacking))
    desk.play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        probed      -> answer accepted; commit elect
    """)
    assert forced_words(desk) == (
        "forced_by_operator",
        "Off, says root: b. b did not answer at 10.0.0.2, fd00::2. The copy of a was in sync until "
        "2026-11-26T01:00:00Z; it lacked at 2026-11-26T02:00:00Z at the most 5.0 MiB in 3 files, the names in 2 "
        "directories.",
    )
    assert desk.commit is not None
    guards = desk.commit.txn.guards
    assert set(guards) == {
        KeyAbsent(KEYS.primary),
        KeyAbsent(CLUSTER.node("b")),
        ModRevisionIs(KEYS.insync, desk.state.insync_revision),
    }
    desk.play("""
        settle      -> serve 6 decided; settled a; AddAddresses
        added       ->
        serving     -> StartApplication; commit record
        settle      -> settled a
        app_started -> answer done
        is ALONE ready serving_without_peer
    """)
    record = the_record(desk)
    assert (record.epoch, record.decided, record.because) == (6, 6, "forced_by_operator")
    assert [h.node for h in record.holders] == ["a"]
    assert is_over(desk.state)


def test_within_its_own_promise_it_stands_only_once_that_is_over() -> None:
    """Made by a longer lease than the last primary has, whose registration is gone before."""
    desk = Desk(former_promise_until_ns=1_010 * SECOND_NS)
    desk.play(f"""
        {ALONE_HERE}
        request prim r1 not_in_sync off=b -> {ASKED}
        probed      -> answer accepted
        wait 6      ->
        lease       ->
        wait 3.9    ->
        wait 0.2    -> commit elect
    """)


def test_the_hook_turns_it_off_and_then_it_is_asked() -> None:
    desk = played(ALONE_HERE)
    desk.play(f"""
        request prim r1 not_in_sync fence=b -> fence b
        fenced      -> {ASKED}
        probed      -> answer accepted; commit elect
    """)
    assert forced_words(desk)[1].startswith("Off, says the script fence: b. b did not answer at")


def test_a_hook_that_fails_is_told_and_nobody_is_asked() -> None:
    desk = played(ALONE_HERE)
    desk.play("""
        request prim r1 not_in_sync fence=b -> fence b
        fenced it_ended_with_exit_code_7    -> answer refused fencing_failed
    """)
    assert desk.detail("r1") == "it ended with exit code 7"
    assert is_over(desk.state)


def test_what_the_hook_says_is_off_and_answers_is_not_off() -> None:
    played(ALONE_HERE).play(f"""
        request prim r1 not_in_sync fence=b -> fence b
        fenced      -> {ASKED}
        probed ping -> answer refused last_primary_answers
    """)


def test_where_its_addresses_are_not_known_the_operators_word_alone_counts() -> None:
    desk = Desk()
    desk.play(f"""
        record 5 b
        disk 3
        {START}
        hello       ->
        leaves b    ->
        request prim r1 not_in_sync         -> answer refused not_confirmed_off
        request prim r2 not_in_sync off=b   -> answer accepted; commit elect
    """)
    told = "Where b was to be found is not known, so it could not be tried whether it is off."
    assert desk.detail("r1") == told
    assert forced_words(desk)[1] == f"Off, says root: b. {told} What the copy of a lacks was never told."


def test_an_address_that_could_not_be_asked_is_named() -> None:
    desk = played(ALONE_HERE)
    desk.play(f"""
        request prim r1 not_in_sync     -> {ASKED}
        probed no fd00::2               -> answer refused not_confirmed_off
    """)
    assert desk.detail("r1") == "b did not answer at 10.0.0.2. Not asked: fd00::2 (no route)."


# What refuses it at once


@pytest.mark.parametrize("said", ["off=b", "fence=b", ""])
def test_while_the_last_primary_is_registered_nobody_is_asked_nor_turned_off(said: str) -> None:
    played(WAITING).play(f"request prim r1 not_in_sync {said} -> answer refused last_primary_registered")


def test_a_registration_that_this_release_cannot_read_is_one() -> None:
    desk = played(ALONE_HERE)
    desk.put(CLUSTER.node("b"), "of a newer release")
    desk.play("request prim r1 not_in_sync off=b -> answer refused last_primary_registered")


def test_while_there_is_a_primary() -> None:
    desk = played(ALONE_HERE)
    desk.play("""
        b_leads 5   -> follow b 5
        request prim r1 not_in_sync off=b -> answer refused primary_alive
    """)


def test_while_another_node_that_has_everything_is_there() -> None:
    desk = Desk(nodes=("a", "b", "c"))
    desk.play(f"""
        record 5 b,c
        disk 3
        {START}
        hello       ->
        leaves b    ->
        request prim r1 not_in_sync off=b -> answer refused newer_copy_there
        leaves c    ->
        request prim r2 not_in_sync off=b -> answer accepted; commit elect
    """)
    assert desk.commit is not None
    absent = {g.key for g in desk.commit.txn.guards if isinstance(g, KeyAbsent)}
    assert absent == {KEYS.primary, CLUSTER.node("b"), CLUSTER.node("c")}


@pytest.mark.parametrize("waits", ["failover_off", "rebooted_since_listed", "application_failed"])
def test_while_another_node_that_has_everything_is_there_and_does_not_serve_by_itself(waits: str) -> None:
    """An operator can name it, or start it again; forced past it, what only it has would be lost."""
    desk = Desk(nodes=("a", "b", "c"))
    desk.play(f"""
        record 5 b,c
        disk 3
        {START}
        hello       ->
        leaves b    ->
        desired c started ->
        member c WAIT boot-c 5 5 ->
    """)
    kv = desk.etcd.get_now(KEYS.member("c"))
    assert kv is not None
    member = replace(decode(MemberRecord, kv.value), readiness=Readiness.BLOCKED, reason=waits)
    desk.put(KEYS.member("c"), encode(member))
    desk.play("""
        see         ->
        request prim r1 not_in_sync off=b -> answer refused newer_copy_there
    """)


def test_a_newer_copy_whose_registration_is_not_understood_is_there() -> None:
    desk = Desk(nodes=("a", "b", "c"))
    desk.play("""
        record 5 b,c
        disk 3
    """)
    desk.play(START)
    desk.put(CLUSTER.node("c"), "startd", "c's lease")
    desk.play("""
        hello       ->
        known b 10.0.0.2 ->
        leaves b    ->
        request prim r1 not_in_sync off=b -> answer refused newer_copy_there
    """)


def test_nobody_is_taken_for_silent_whose_addresses_are_not_understood() -> None:
    """It would be forced without having been asked."""
    desk = played(ALONE_HERE)
    desk.put(CLUSTER.known("b"), "startd")
    desk.play("""
        see         ->
        request prim r1 not_in_sync off=b -> answer refused record_unreadable
    """)
    assert "/known/b" in desk.detail("r1")


@pytest.mark.parametrize("said", ["off=c", "fence=a"])
def test_where_another_node_is_named_than_the_last_primary(said: str) -> None:
    desk = played(ALONE_HERE)
    desk.play(f"request prim r1 not_in_sync {said} -> answer refused not_confirmed_off")
    assert desk.detail("r1") == f"b was primary last, not {said[-1]}."


@pytest.mark.parametrize(("disk", "why"), [("none", "disk_identity_missing"), ("3 elsewhere", "disk_of_other_cluster")])
def test_with_a_disk_that_is_no_copy(disk: str, why: str) -> None:
    desk = Desk()
    desk.play(f"""
        record 5 b
        disk {disk}
        {START}
        hello       ->
        leaves b    ->
        request prim r1 not_in_sync off=b -> answer refused {why}
    """)


def test_with_a_copy_that_diverged_and_of_which_nothing_was_changed_yet() -> None:
    """The one that was forced then is lost for good, before this one has set aside what is its own."""
    desk = Desk()
    desk.play(f"""
        record 5 b
        {START}
        hello_diverged ->
        known b 10.0.0.2,fd00::2 ->
        leaves b    ->
        request prim r1 not_in_sync off=b -> {ASKED}
        probed      -> answer accepted; commit elect
    """)
    assert the_record(desk).decided == 0
    desk.play("""
        unknown done    ->
        lease_lost      ->
    """)
    stands_again(desk, "hello_diverged")


def test_both_that_etcd_is_another_one_and_the_record_are_accepted_one_after_the_other() -> None:
    desk = Desk()
    desk.play(f"""
        record 5 b
        disk 7 cluster old
        {START}
        hello       ->
        leaves b    ->
        store_stays ->
        request prim r1                                     -> answer refused store_replaced
        request prim r2 store_replaced                      -> answer refused not_in_sync
        request prim r3 not_in_sync off=b                   -> answer refused store_replaced
        request prim r4 store_replaced,not_in_sync          -> answer refused not_confirmed_off
        request prim r5 store_replaced,not_in_sync off=b    -> answer accepted; commit elect
        settle      -> serve 8 decided; settled a; AddAddresses
    """)
    assert the_record(desk).decided == 8


# The disk is looked at anew

FOLLOWED = f"""
    record 5 b
    disk 3
    {START}
    hello       ->
    known b 10.0.0.2 ->
    b_leads 5   -> follow b 5
    following   ->
    b_is_gone   ->
    leaves b    ->
"""


def test_one_that_followed_may_be_in_the_middle_of_a_join_which_its_next_process_tells() -> None:
    desk = played(FOLLOWED)
    desk.play("""
        request prim r1 not_in_sync off=b -> StopReplicator
        disk none   ->
        stopped     -> StartReplicator
        hello       -> answer refused disk_identity_missing
    """)


def test_a_copy_that_a_lost_stream_left_in_the_middle_of_a_join_is_said_to_be_none() -> None:
    """No force is offered which would be refused, and nobody is asked to turn a machine off for it."""
    desk = played(FOLLOWED)
    desk.play("""
        stream_lost joining ->
        is WAIT blocked disk_identity_missing
        request prim r1                   -> answer refused disk_identity_missing
        request prim r2 not_in_sync off=b -> answer refused disk_identity_missing
    """)
    assert is_over(desk.state)


def test_what_a_lost_stream_said_of_the_copy_is_over_with_the_next_one() -> None:
    played(FOLLOWED).play("""
        stream_lost joining ->
        registers b boot-b  ->
        b_leads 5   ->
        following   ->
        b_is_gone   ->
        leaves b    ->
        stream_lost ->
        is WAIT blocked not_in_sync
    """)


@pytest.mark.parametrize("hello", ["hello", "hello_partial 3"])
def test_a_disk_that_is_no_copy_is_said_to_be_none_before_it_is_forced(hello: str) -> None:
    desk = Desk()
    desk.play(f"""
        record 5 b
        disk none
        {START}
        {hello}     ->
        leaves b    ->
        is WAIT blocked disk_identity_missing
        request prim r1 -> answer refused disk_identity_missing
    """)


def test_one_that_followed_and_had_begun_nothing_is_a_copy() -> None:
    played(FOLLOWED).play("""
        request prim r1 not_in_sync off=b -> StopReplicator
        disk 5      ->
        stopped     -> StartReplicator
        hello       -> probe b 10.0.0.2
        probed      -> answer accepted; commit elect
        settle      -> serve 6 decided; settled a; AddAddresses
    """)


def test_a_replicator_that_does_not_start_again_ends_it() -> None:
    played(FOLLOWED).play("""
        request prim r1 not_in_sync off=b -> StopReplicator
        stopped     -> StartReplicator
        gone        -> answer refused replicator_failed
    """)


# What comes between


def test_the_other_one_registers_while_it_is_asked() -> None:
    played(ALONE_HERE).play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        registers b boot-b -> answer refused last_primary_registered
        probed      ->
    """)


def test_the_other_one_registers_between_the_asking_and_the_election() -> None:
    """The transaction tests that it has not."""
    desk = played(ALONE_HERE)
    desk.play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        probed      -> answer accepted; commit elect
    """)
    desk.leases["b's lease"] = desk.etcd.grant_now(10_000)
    desk.put(CLUSTER.node("b"), '{"node": "b", "addresses": [], "software": "", "boot_id": "", "agent_instance": "", '
             '"renewal": 0}', "b's lease")  # fmt: skip
    desk.play("""
        settle      -> answer failed last_primary_registered
        is WAIT blocked not_in_sync
    """)
    assert desk.state.primary is None and is_over(desk.state)


def test_etcd_is_gone_between_the_asking_and_the_election_and_comes_back_in_time() -> None:
    played(ALONE_HERE).play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        silent      ->
        probed      -> answer accepted
        wait 5      ->
        heard       -> commit elect
    """)


def test_what_was_asked_long_ago_does_not_count() -> None:
    desk = played(ALONE_HERE)
    desk.play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        probed      -> answer accepted; commit elect
        unknown lost    ->
        silent      ->
        wait 8      ->
        lease       ->
        wait 8      ->
        lease       ->
        wait 8      ->
        lease       ->
        wait 5.9    ->
        lease       ->
        wait 0.2    -> answer failed outcome_unknown
        heard       ->
    """)
    assert desk.commit is None and is_over(desk.state)


def test_an_election_of_unknown_outcome_is_tried_again_while_the_asking_counts() -> None:
    played(ALONE_HERE).play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        probed          -> answer accepted; commit elect
        unknown done    ->
        see             -> serve 6 decided; settled a; AddAddresses
    """)
    played(ALONE_HERE).play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        probed          -> answer accepted; commit elect
        unknown lost    ->
        wait 0.6        -> commit elect
        settle          -> serve 6 decided; settled a; AddAddresses
    """)


def test_a_new_agent_does_not_go_on_with_what_was_asked_of_the_former_one() -> None:
    desk = played(ALONE_HERE)
    desk.play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        new_agent   ->
        lease       ->
        heard       ->
        see         -> answer refused starting_replicator; Prepare
    """)
    accepted = played(ALONE_HERE)
    accepted.play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        probed      -> answer accepted; commit elect
    """)
    accepted.commit = None
    accepted.play("""
        new_agent   ->
        lease       ->
        heard       ->
        see         -> answer failed superseded; Prepare
    """)


def test_what_a_backup_brings_back_was_asked_of_another_day() -> None:
    desk = played(ALONE_HERE)
    desk.play("silent ->")
    arguments = {"accept": "store_went_back,not_in_sync", "off": "b"}
    desk.put(KEYS.request("r1"), encode(RequestRecord("r1", "prim", "a", "", "root", arguments)))
    restored = desk.give(StoreWentBack(desk.view()))
    assert restored == ["answer refused store_settling"]


def test_what_was_asked_before_this_etcd_was_looked_at_is_not_taken_up() -> None:
    """Also where nothing else would refuse it."""
    desk = played(ALONE_HERE)
    desk.state = replace(desk.state, first_revision=desk.state.revision + 1)
    desk.play("request prim r1 not_in_sync off=b -> answer refused superseded")


def test_one_that_died_between_its_election_and_serving_stands_for_the_copy_that_was_forced() -> None:
    """The record has it alone, in the epoch that was decided: nobody needs to be asked again."""
    desk = played(ALONE_HERE)
    desk.play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        probed          -> answer accepted; commit elect
        unknown done    ->
        lease_lost      ->
    """)
    stands_again(desk, "hello")


def test_a_request_that_is_withdrawn_is_not_carried_out() -> None:
    desk = played(ALONE_HERE)
    desk.play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        withdraws r1    ->
        probed          ->
    """)
    assert is_over(desk.state)


def test_an_answer_to_an_earlier_question_is_none_to_this_one() -> None:
    played(ALONE_HERE).play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        withdraws r1    ->
        request prim r2 not_in_sync off=b -> {ASKED}
        probed no none r1   ->
        probed ping     -> answer refused last_primary_answers
    """)


def test_what_does_not_answer_in_time_ends_it() -> None:
    played(ALONE_HERE).play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        request restart r2  -> answer refused busy
        wait 8      ->
        lease       ->
        wait 82.1   -> answer refused timed_out
    """)


def test_a_stop_ends_it() -> None:
    played(ALONE_HERE).play(f"""
        request prim r1 not_in_sync off=b -> {ASKED}
        desired a stopped   -> answer refused node_not_started; StopReplicator
    """)


# Who follows then


def test_the_one_that_was_off_sets_aside_what_is_its_own() -> None:
    desk = Desk()
    desk.play(f"""
        disk 5
        {START}
        hello       ->
    """)
    decided = encode(InsyncRecord(6, 60, "b", (), because="forced_by_operator", decided=6))
    desk.put(KEYS.insync, decided)
    desk.play("""
        b_leads 6   -> follow b 6 diverged
        is WAIT transient setting_aside
        following   ->
        aside keeping   ->
        is WAIT transient setting_aside
        aside full  ->
        is WAIT blocked set_aside_full
        aside keeping   ->
        is WAIT transient setting_aside
        aside failed    ->
        is WAIT blocked set_aside_failed
        aside kept  ->
        is WAIT transient catching_up
    """)


def test_one_that_has_seen_the_forced_epoch_has_nothing_of_its_own() -> None:
    desk = Desk()
    desk.play(f"""
        disk 6
        {START}
        hello       ->
    """)
    desk.put(KEYS.insync, encode(InsyncRecord(7, 60, "b", (), decided=6)))
    desk.play("""
        b_leads 7   -> follow b 7
        is WAIT transient catching_up
    """)


def test_a_disk_that_vouches_for_nothing_has_nothing_of_its_own() -> None:
    """It is in the middle of a join, or empty; what was its own is set aside by then."""
    desk = Desk()
    desk.play(f"""
        disk none
        {START}
        hello       ->
    """)
    desk.put(KEYS.insync, encode(InsyncRecord(6, 60, "b", (), decided=6)))
    desk.play("b_leads 6 -> follow b 6")


@pytest.mark.parametrize(("seen", "told"), [(5, "follow b 6 diverged"), (6, "follow b 6")])
def test_one_disk_of_several_that_is_left_has_what_is_its_own(seen: int, told: str) -> None:
    desk = Desk()
    desk.play(START)
    desk.put(KEYS.insync, encode(InsyncRecord(6, 60, "b", (), decided=6)))
    desk.play(f"""
        hello_partial {seen} ->
        b_leads 6   -> {told}
    """)


def test_a_process_that_was_to_set_aside_and_has_not_says_so() -> None:
    desk = Desk()
    desk.play(START)
    desk.put(KEYS.insync, encode(InsyncRecord(6, 60, "b", (), decided=6)))
    desk.play("""
        hello_diverged  ->
        b_leads 6       -> follow b 6
        is WAIT transient setting_aside
    """)


def test_a_former_primary_that_went_on_elsewhere_kills_what_serves_and_sets_aside() -> None:
    """The operator was wrong: it was only cut off. Its own writes since are in no other copy."""
    desk = played(f"""
        record 5 a a
        disk 5
        {START}
        hello       -> commit elect
        settle      -> serve 6; settled a; AddAddresses
        added       ->
        serving     -> StartApplication; commit record
        settle      -> settled a
        app_started ->
        silent      ->
        lease_lost  ->
    """)
    desk.put(KEYS.insync, encode(InsyncRecord(7, 80, "b", (), because="forced_by_operator", decided=7)))
    desk.leases["a's lease"] = desk.etcd.grant_now(10_000)
    desk.play("""
        b_leads 7   -> kill lease_lost
        lease       ->
        disk 6      ->
        killed      -> StartReplicator
        hello       -> follow b 7 diverged
    """)


# Whatever comes between

REQUESTS = tuple(f"request prim r6 not_in_sync {said}".strip() for said in ("off=b", "fence=b", "off=a", ""))
ANSWERS = ("probed", "probed", "probed ping", "fenced", "fenced exit_1", "unknown lost", "settle")
BETWEEN = (
    *ANSWERS, "silent", "heard", "see", "hello", "stopped", "gone", "disk none", "disk 3", "wait 0.6", "wait 8|lease",
    "silent|wait 8|lease|wait 8|lease|wait 8|lease|wait 8|lease|heard", "leaves b", "registers b boot-b", "b_leads 5",
    "b_is_gone", "following", "record 6 b", "new_agent|lease|heard|see|prepared|hello", "known b 10.0.0.9",
    "lease_lost", "withdraws r6",
)  # fmt: skip
SOME = st.lists(st.sampled_from(BETWEEN), max_size=3)


@settings(max_examples=500)
@given(SOME, st.sampled_from(REQUESTS), SOME, st.lists(st.sampled_from(ANSWERS), max_size=3), SOME)
def test_a_copy_is_forced_only_when_all_was_asked_and_nothing_answered(
    before: list[str], request: str, meanwhile: list[str], answers: list[str], after: list[str]
) -> None:
    desk = played(ALONE_HERE)
    for word in "|".join([*before, request, *meanwhile, *answers, *after, "see", "wait 0.6"]).split("|"):
        former = desk.commit
        happen(desk, word)
        if desk.commit is not None and desk.commit is not former:
            require_asked(desk, desk.commit)


def require_asked(desk: Desk, commit: Commit) -> None:
    if commit.history is None or commit.history.reason != "forced_by_operator":
        return
    forcing, insync, disk = desk.state.forcing, desk.state.insync, desk.state.disk
    assert forcing is not None and insync is not None and disk is not None
    assert forcing.node == insync.record.last_primary == "b" and forcing.confirmed
    assert forcing.answering == "" and (forcing.fenced == "" or not forcing.fence)
    assert desk.now_ns < forcing.probed_ns + FORCED_FOR_NS
    assert {KeyAbsent(CLUSTER.node("b")), KeyAbsent(KEYS.primary)} <= set(commit.txn.guards)
    assert desk.state.rep is Rep.IDLE and not desk.state.is_listed
