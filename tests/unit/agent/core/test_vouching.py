"""What an operator decides where etcd was restored or rebuilt, and who follows then."""

from dataclasses import replace

import pytest

from agent.core import events as e
from manager.model import control as c
from manager.model.codec import encode
from manager.model.records import DiskIdentity, Holder, InsyncRecord, NodeRecord
from tests.unit.agent.core.desk import CLUSTER, KEYS, Desk
from tests.unit.agent.core.test_scenarios import PRIM, SECOND, START, played

REPLACED = f"""
    record 3 a,b
    disk 3 cluster old
    {START}
    hello       ->
    is WAIT blocked store_replaced
"""


def the_record(desk: Desk) -> InsyncRecord:
    assert desk.state.insync is not None
    return desk.state.insync.record


def test_an_operator_decides_when_etcd_is_another_one() -> None:
    desk = played(REPLACED)
    desk.play("""
        member b WAIT boot-b 0 7    ->
        request prim r0 store_replaced -> answer refused store_settling
        store_stays     ->
        request prim r1 -> answer refused store_replaced
        request prim r2 rebooted_since_listed -> answer refused store_replaced
        request prim r3 store_replaced -> answer refused primary_alive
        leaves b        ->
        request prim r4 store_replaced -> answer accepted; commit elect
        settle          -> serve 4 decided; settled a; AddAddresses
    """)
    assert the_record(desk).decided == 4 and the_record(desk).because == "promoted_by_operator"
    assert desk.state.disk is not None and desk.state.disk.store_id == "store"


def test_he_is_heard_once_the_longest_lease_that_is_shown_has_ended_though_it_was_renewed_there_once() -> None:
    desk = played(REPLACED)
    desk.put(CLUSTER.node("b"), encode(NodeRecord("b", (), "1", "boot-b", "", 1, ttl_ms=15_000)), "b's lease")
    desk.play("""
        see                             ->
        wait 30                         ->
        lease                           ->
        request prim r1 store_replaced  -> answer refused store_settling
        wait 1                          ->
        lease                           ->
        request prim r2 store_replaced  -> answer refused primary_alive
    """)


def test_the_new_epoch_is_above_all_that_the_disks_have_seen() -> None:
    desk = played(REPLACED)
    desk.play("""
        desired b stopped               ->
        member b STOP boot-b 0 7        ->
        store_stays                     ->
        request prim r1 store_replaced  -> answer accepted; commit elect
        settle                          -> serve 8 decided; settled a; AddAddresses
    """)


def test_an_epoch_that_was_followed_in_vain_is_one_that_the_disk_has_seen() -> None:
    """The replicator has noted it before its stream came: one that is not above it, it would refuse to serve."""
    desk = played(f"record 2 a,b\ndisk 2\n{START}\nb_leads 2 ->\nhello -> follow b 2\nfollowing ->\nstream_lost ->")
    desk.play("""
        record 3 b              ->
        b_leads 3               -> follow b 3
        b_is_gone               ->
        record 2 a,b            ->
        store another           ->
        is WAIT blocked store_replaced
        leaves b                ->
        store_stays             ->
        request prim r1 store_replaced  -> answer accepted; CloseStream
        closed                  -> commit elect
        settle                  -> serve 4 decided; settled a; AddAddresses
    """)


def test_a_node_that_is_not_listed_is_refused_whatever_is_accepted() -> None:
    desk = played(REPLACED.replace("3 a,b", "3 b"))
    desk.play("store_stays ->")
    desk.play("request prim r1 store_replaced -> answer refused not_in_sync")


def test_a_node_follows_once_an_operator_has_decided() -> None:
    desk = played(REPLACED)
    desk.play("""
        b_leads 3   ->
        is WAIT blocked store_replaced
    """)
    desk.put("/mirrorfarm/test/modules/db/insync", _decided(4))
    desk.play("b_leads 4 -> follow b 4 diverged")


def _decided(epoch: int) -> str:
    return f'{{"epoch": {epoch}, "number": 50, "last_primary": "b", "holders": [], "decided": {epoch}}}'


def test_a_disk_that_has_seen_later_epochs_than_the_decision_does_not_follow() -> None:
    desk = played(REPLACED.replace("disk 3", "disk 5"))
    desk.put("/mirrorfarm/test/modules/db/insync", _decided(4))
    desk.play("""
        b_leads 4   ->
        is WAIT blocked store_replaced
    """)


def test_a_store_that_went_back_under_a_running_agent_is_decided_the_same_way() -> None:
    desk = played(f"record 3 a,b a\ndisk 3\n{START}")
    desk.play("""
        store_back      ->
        hello           ->
        see             ->
        is WAIT blocked store_went_back
        leaves b        ->
        request prim r0 store_went_back -> answer refused store_settling
        store_stays     ->
        request prim r1 store_went_back -> answer accepted; commit elect
        settle          -> serve 4 decided; settled a; AddAddresses
    """)
    assert not desk.state.went_back


def test_one_that_was_about_to_stand_says_so_no_more_once_it_may_not() -> None:
    """Or nobody would see that it waits for an operator, and a prim elsewhere would be refused for its sake."""
    desk = played(SECOND)
    desk.play("""
        b_is_gone   -> CloseStream
        store_back  ->
        closed      ->
        is WAIT blocked store_went_back
    """)


def test_a_stream_that_comes_back_does_not_say_that_the_etcd_of_now_may_be_gone_by() -> None:
    """Its disk notes the etcd that its replicator was told of; of the one that was restored since it knows nothing."""
    desk = played(SECOND)
    desk.play("""
        store another   ->
        is WAIT blocked store_replaced
        stream_lost     ->
        following       ->
        is WAIT blocked store_replaced
        b_is_gone       ->
        is WAIT blocked store_replaced
    """)
    assert desk.state.disk is not None and desk.state.disk.store_id == "store"


def test_nor_does_a_join_that_comes_to_its_end_as_another_etcd_is_seen() -> None:
    """It is told that etcd before it may say so; until then its disk stands for the one that its replicator knows."""
    desk = played(f"record 3 b\ndisk none\n{START}\nb_leads 3 ->\nhello -> follow b 3\nfollowing ->")
    desk.play("joined ->\nstore another ->\nis WAIT blocked store_replaced")
    assert desk.state.disk is not None and desk.state.disk.store_id == "store"


def test_a_rebuilt_etcd_starts_with_what_an_operator_names() -> None:
    desk = Desk()
    desk.play(f"""
        disk 6 cluster old
        {START}
        hello                       ->
        is WAIT blocked store_replaced
        member b WAIT boot-b 0 7    ->
        store_stays                 ->
        request prim r1 store_replaced -> answer accepted; commit elect
        settle                      -> serve 8 decided; settled a; AddAddresses
    """)


def test_a_disk_without_identity_is_not_named_lightly_where_another_one_has_the_data() -> None:
    desk = Desk()
    desk.play(f"""
        {START}
        hello                       ->
        member b WAIT boot-b 0 7    ->
        request prim r1             -> answer refused store_went_back
    """)


# A backup that holds a primary key


def restored_key(desk: Desk, epoch: int) -> None:
    """The key and record that this very process once had, as a backup brings them back."""
    instance = desk.state.instance
    key = f'{{"node": "a", "epoch": {epoch}, "instance": "{instance}"}}'
    desk.put("/mirrorfarm/test/modules/db/primary", key, "a's lease")
    record = f'{{"epoch": {epoch}, "number": 3, "last_primary": "a", "holders": []}}'
    desk.put("/mirrorfarm/test/modules/db/insync", record)


def test_a_key_that_a_backup_has_brought_back_to_a_secondary_is_given_up() -> None:
    desk = played(SECOND)
    restored_key(desk, 2)
    desk.play("""
        store restored  -> commit resign
        settle          ->
        is WAIT blocked store_replaced
    """)


def test_a_primary_whose_key_came_through_into_another_etcd_stops() -> None:
    """Nobody would follow it there, and no ``prim`` be taken, for as long as it served (docs/operations.md)."""
    desk = played(PRIM)
    desk.play("""
        store another   -> kill store_replaced
        killed          -> commit resign; StartReplicator
        settle          ->
        hello           ->
        is WAIT blocked store_replaced
    """)


def test_what_joins_when_etcd_is_replaced_is_told_anew_whom_it_follows() -> None:
    """Its disk has noted the former etcd, and would not vouch for this one at its next start."""
    desk = Desk()
    desk.play(f"""
        record 3 b
        {START}
        b_leads 3       ->
        hello           -> follow b 3
        store another   -> follow b 3
        is WAIT transient catching_up
        see             ->
    """)


def test_a_primary_does_not_serve_on_for_a_key_of_an_older_epoch() -> None:
    desk = Desk()
    desk.play(f"""
        record 3 a a
        disk 3
        {START}
        hello           -> commit elect
        settle          -> serve 4; settled a; AddAddresses
        serving         -> commit record
        settle          -> settled a
    """)
    restored_key(desk, 3)
    desk.play("store restored -> kill store_went_back")


def test_one_disk_of_several_that_is_left_is_not_taken_for_a_first_start() -> None:
    """A replicator refuses to serve by an epoch that is not above what one of its disks has seen."""
    played(START).play("""
        hello_partial 5                 ->
        request prim r1                 -> answer refused store_went_back
        store_stays                     ->
        request prim r2 store_went_back -> answer accepted; commit elect
        settle                          -> serve 6 decided; settled a; AddAddresses
    """)


def test_a_first_start_that_an_operator_names_in_an_etcd_that_went_back_is_not_given_up_again_and_again() -> None:
    """There is nothing that it could have lost; nothing in the record says so but why it was begun."""
    desk = Desk()
    desk.play(f"""
        {START}
        hello                           ->
        store_back                      ->
        is WAIT blocked store_went_back
        wait 25                         ->
        lease                           ->
        request prim r1 store_went_back -> answer accepted; commit elect
        settle                          -> serve 1; settled a; AddAddresses
    """)


# A disk in the middle of a join, and a blank one


@pytest.mark.parametrize("accept", ["", "store_went_back", "store_replaced"])
def test_a_copy_in_the_middle_of_a_join_is_named_in_vain(accept: str) -> None:
    """Its replicator would refuse to serve, and a whole copy that is there would have noted the epoch by then."""
    desk = played(START)
    desk.play(f"""
        hello_joining 5             ->
        is WAIT blocked disk_identity_missing
        store_stays                 ->
        request prim r1 {accept}    -> answer refused disk_identity_missing
    """)


def test_nor_does_it_begin_by_the_configuration() -> None:
    desk = Desk(initial_primary="a")
    desk.play(f"{START}\nmember b WAIT boot-b ->\nhello_joining 5 ->\nis WAIT blocked disk_identity_missing")
    desk.play("hello -> commit elect")


def test_what_one_of_several_disks_has_seen_keeps_it_from_beginning_by_the_configuration() -> None:
    """Its replicator refuses an epoch that is not above that one: it would stand, and fail, again and again."""
    desk = Desk(initial_primary="a")
    desk.play(f"{START}\nmember b WAIT boot-b ->\nhello_partial 5 ->\nis WAIT blocked no_data_named")


def test_a_copy_in_the_middle_of_a_join_does_not_follow_an_epoch_below_the_one_that_its_disk_has_noted() -> None:
    """Its replicator refuses that, again and again."""
    desk = played(f"record 3 b\n{START}\nhello_joining 5 ->")
    desk.play("b_leads 3 ->\nis WAIT blocked store_went_back")
    desk.put(KEYS.insync, _decided(5))
    desk.play("b_leads 5 -> follow b 5")


def test_one_that_was_told_to_follow_does_not_follow_a_lower_epoch_either() -> None:
    desk = played(f"record 5 b\n{START}\nhello ->\nb_leads 5 -> follow b 5\nb_is_gone ->")
    desk.play("record 3 b ->\nb_leads 3 ->\nis WAIT blocked store_went_back")


@pytest.mark.parametrize("hello", ["hello", "hello_joining 1"])
def test_what_has_nothing_of_its_own_follows_whatever_it_saw_of_etcd(hello: str) -> None:
    """There is nothing on its disk that would be overwritten; else it waited for its agent's restart."""
    desk = played(f"record 1 b\n{START}\nstore_back ->\n{hello} ->")
    desk.play("b_leads 1 -> follow b 1")


def test_what_one_of_several_disks_has_is_not_overwritten_by_an_etcd_that_went_back() -> None:
    desk = played(f"record 9 b\n{START}\nstore_back ->\nhello_partial 5 ->")
    desk.play("b_leads 9 ->\nis WAIT blocked store_went_back")


@pytest.mark.parametrize(("hello", "wanted"), [("hello_diverged", " -> follow b 5"), ("hello_partial", " ->")])
def test_what_is_set_aside_first_follows_also_an_epoch_that_it_has_noted_elsewhere(hello: str, wanted: str) -> None:
    """As where another etcd, which is gone, had one of that number. What is not marked would be overwritten."""
    desk = played(f"record 5 b\n{START}\nstore_back ->\n{hello} 5 ->")
    desk.put(KEYS.insync, _decided(5))
    desk.play(f"b_leads 5{wanted}")


def test_it_follows_none_below_that() -> None:
    desk = played(f"record 4 b\n{START}\nstore_back ->\nhello_diverged 5 ->")
    desk.put(KEYS.insync, _decided(4))
    desk.play("b_leads 4 ->\nis WAIT blocked store_went_back")


def test_a_disk_of_another_cluster_is_not_overwritten_though_it_vouches_for_nothing() -> None:
    desk = played(f"record 3 b\n{START}\nhello_foreign ->")
    desk.play("b_leads 3 ->\nis WAIT blocked disk_of_other_cluster")


def test_a_new_disk_vouches_for_nothing_before_its_join_is_through_though_it_follows() -> None:
    desk = played("record 3 b\n" + START)
    desk.play("""
        hello       ->
        b_leads 3   -> follow b 3
        following   ->
    """)
    assert desk.state.stream_up and desk.state.disk is None
    assert desk.state.published is not None and desk.state.published.disk is None
    desk.play("joined ->")
    vouched = DiskIdentity("cluster", "module", 3, desk.state.told_revision, "store", 3)
    assert desk.state.published.disk == desk.state.disk == vouched


# An operator's word, and the etcd in which he has said it


NAMED = """
    member b WAIT boot-b 0 7        ->
    leaves b                        ->
    store_stays                     ->
    request prim r1 store_replaced  -> answer accepted; commit elect
"""


def test_what_an_operator_has_said_does_not_count_in_the_next_etcd() -> None:
    """That one may be restored from before the other copy went on, and shows for a lease's time who is not there."""
    desk = played(REPLACED)
    desk.play(NAMED)
    desk.play("""
        unknown lost    ->
        store restored  -> answer failed superseded
        is WAIT blocked store_replaced
        wait 1          ->
    """)


def test_nor_does_what_he_had_decided_that_is_executed_there() -> None:
    desk = played(REPLACED)
    desk.play(NAMED)
    desk.play("""
        unknown done    ->
        store restored  ->
        wait 1          -> commit resign
        settle          -> answer failed superseded
        is WAIT blocked store_replaced
    """)


def test_nor_in_one_that_went_back_under_the_same_id() -> None:
    desk = played(REPLACED)
    desk.play(NAMED)
    desk.play("""
        unknown lost    ->
        store_back      -> answer failed superseded
        wait 1          ->
    """)


def test_a_word_about_another_etcd_is_not_taken_before_it_is_known_what_the_disk_has_seen() -> None:
    """Else it would be in a rebuilt etcd before a lease's time is over: while one may serve by this node's promise."""
    desk = Desk()
    desk.play(f"""
        disk 6 cluster old
        {START}
        member b WAIT boot-b 0 7        ->
        request prim r1 store_replaced  -> answer refused starting_replicator
        hello                           ->
        request prim r2 store_replaced  -> answer refused store_settling
    """)


def test_a_blank_disk_is_not_named_before_a_leases_time_is_over_either() -> None:
    desk = Desk()
    desk.play(f"""
        {START}
        hello                           ->
        member b WAIT boot-b 0 7        ->
        request prim r1 store_went_back -> answer refused store_settling
        store_stays                     ->
        request prim r2 store_went_back -> answer accepted; commit elect
    """)


# A disk that was made equal by a process which an agent finds, or did not see listed


def _lists(epoch: int) -> str:
    return encode(InsyncRecord(epoch, 31, "b", tuple(Holder(node, f"boot-{node}", f"{node}1", epoch) for node in "ab")))


FOUND = {"joining": c.Hello(1, "a1", 5, "secondary", 3, None, joining_epoch=3),
         "to be set aside": c.Hello(1, "a1", 5, "secondary", 3, None, diverged=True, seen_epoch=3)}  # fmt: skip


@pytest.mark.parametrize("found", FOUND)
@pytest.mark.parametrize("epoch", [2, 3])
def test_what_is_found_half_made_equal_is_not_whole_because_a_restored_etcd_lists_its_process(
    found: str, epoch: int
) -> None:
    """Which etcd stands on that disk a new agent does not know: nothing else would speak against its standing."""
    desk = Desk()
    desk.put(KEYS.insync, _lists(epoch))
    desk.play(START)
    desk.give(e.ReplicatorSaid(FOUND[found]))
    desk.play("leaves b ->\nwait 15 ->\nlease ->\nwait 1 ->")
    assert desk.state.disk is None and desk.commit is None


def test_nor_is_what_a_restored_etcd_lists_anew_as_somebody_resigns_there() -> None:
    desk = Desk()
    desk.play(f"record 3 b\n{START}\nb_leads 3 ->")
    desk.give(e.ReplicatorSaid(FOUND["joining"]))
    desk.put(KEYS.insync, _lists(3))
    desk.do_see()
    assert desk.state.disk is None


def test_it_is_once_its_replicator_says_so() -> None:
    """In the etcd that it was told of last, which it may not have noted yet as it read its disk."""
    desk = Desk()
    desk.play(f"record 3 b\n{START}\nb_leads 3 ->")
    desk.give(e.ReplicatorSaid(FOUND["joining"]))
    found = DiskIdentity("cluster", "module", 3, 2, "old", 3)
    desk.give(e.ReplicatorSaid(c.Joined(3, found)))
    assert desk.state.told_store == "store"
    assert desk.state.disk == replace(found, revision=desk.state.told_revision, store_id="store")


def test_what_was_told_is_not_counted_on_when_the_connection_was_lost() -> None:
    """Follow in another etcd may have gone with it: its disk stands for the etcd that it says."""
    desk = played(f"record 3 b\n{START}\nb_leads 3 ->\nhello -> follow b 3\nfollowing ->")
    desk.play("store another -> follow b 3\nb_is_gone ->")
    desk.give(e.ReplicatorSaid(replace(FOUND["joining"], instance=desk.state.instance)))
    desk.give(e.ReplicatorSaid(c.Joined(3, DiskIdentity("cluster", "module", 3, 1, "store", 3))))
    desk.play("is WAIT blocked store_replaced")


@pytest.mark.parametrize("restored", ["store another", "store_back"])
@pytest.mark.parametrize("end", ["stream_lost whole", "stream_lost"])
def test_a_join_does_not_make_true_what_a_restored_etcd_lists_of_another_day(restored: str, end: str) -> None:
    """It joins a primary that has gone on alone since, which may not have seen this etcd, and serve on for long."""
    desk = played(f"record 3 b\ndisk 3\n{START}\nb_leads 3 ->\nhello -> follow b 3\nfollowing ->")
    desk.play("record 3 b ->\nstream_lost joining ->\nfollowing ->")
    desk.put(KEYS.insync, _lists(3))
    desk.play(f"{restored} ->\njoined ->\n{end} ->\nlease ->\nb_is_gone ->\nwait 5 ->")
    assert desk.commit is None and desk.word.startswith("WAIT blocked store_")


def test_nor_where_a_new_agent_has_seen_no_other_etcd() -> None:
    desk = Desk()
    desk.put(KEYS.insync, _lists(3))
    desk.play(f"{START}\nb_leads 3 ->")
    desk.give(e.ReplicatorSaid(FOUND["joining"]))
    desk.give(e.ReplicatorSaid(c.Joined(3, DiskIdentity("cluster", "module", 3, 1, "before", 3))))
    desk.play("b_is_gone ->\nwait 5 ->\nis WAIT blocked store_replaced")


@pytest.mark.parametrize("joining", [False, None])
def test_a_copy_that_cannot_say_what_it_vouches_for_is_neither_bare_nor_overwritten(joining: bool | None) -> None:
    desk = played(f"record 3 b\n{START}\nb_leads 3 ->\nhello -> follow b 3\nfollowing ->\njoined ->\nb_is_gone ->")
    desk.give(e.ReplicatorSaid(c.StreamLost("b", "closed", joining)))
    assert (desk.state.disk is None) is (joining is None), "what cannot even say whether it joins vouches for nothing"
    desk.put(KEYS.insync, _decided(5))
    desk.play("b_leads 5 -> CloseStream")
    told = desk.give(e.ReplicatorSaid(c.StreamClosed(3, joining)))
    assert told == ["follow b 5 diverged"]


def test_what_a_restored_etcd_lists_is_not_said_to_be_in_sync() -> None:
    desk = played(f"record 3 b\n{START}\nb_leads 3 ->\nhello -> follow b 3\nfollowing ->")
    desk.put(KEYS.insync, _lists(3))
    desk.play("see ->\nis WAIT transient catching_up\njoined ->\nis SECOND ready in_sync")


def test_a_join_of_a_stream_before_the_one_that_it_was_told_of_does_not_count() -> None:
    desk = played(f"record 3 b\n{START}\nhello ->\nb_leads 3 -> follow b 3\nfollowing ->\nb_is_gone ->")
    desk.play("record 4 b ->\nb_leads 4 -> follow b 4")
    desk.give(e.ReplicatorSaid(c.Joined(3, DiskIdentity("cluster", "module", 3, 1, "store", 3))))
    assert desk.state.disk is None


@pytest.mark.parametrize(
    ("ended", "closed", "told"),
    [
        ("joined ->\nstream_lost whole ->", "closed whole", "follow b 5 diverged"),
        ("stream_lost whole ->", "closed whole", "follow b 5 diverged"),
        ("stream_lost joining ->", "closed joining", "follow b 5"),
        ("", "joined ->\nclosed whole", "follow b 5 diverged"),
        ("", "closed whole", "follow b 5 diverged"),
        ("", "closed joining", "follow b 5"),
    ],
)
def test_what_was_made_equal_to_the_end_and_not_listed_for_it_is_set_aside(ended: str, closed: str, told: str) -> None:
    """It may have been the last one to have what the others lost with their power.

    Where nobody has said that its primary is gone its stream stands: its join may come to its end at that moment.
    """
    desk = played(f"record 3 b\n{START}\nb_leads 3 ->\nhello -> follow b 3\nfollowing ->\n{ended}\nb_is_gone ->")
    desk.put(KEYS.insync, _decided(5))
    desk.play(f"b_leads 5 -> CloseStream\n{closed} -> {told}")


@pytest.mark.parametrize("restored", ["store another", "store_back"])
def test_what_joins_after_etcd_was_restored_is_whole_then(restored: str) -> None:
    """Nobody starts an agent anew for that: it would not take over, and only then would he learn of it."""
    desk = Desk()
    desk.play(f"record 3 b\n{START}\nhello ->\nb_leads 3 -> follow b 3\nfollowing ->\nstream_lost joining ->")
    desk.do_b_is_gone()
    getattr(desk, f"do_{restored.split()[0]}")(*restored.split()[1:])
    desk.put(KEYS.insync, _decided(5))
    desk.do_b_leads("5")
    desk.play("closed joining -> follow b 5\nfollowing ->\njoined ->")
    assert desk.state.disk is not None and desk.state.disk.copy_epoch == 5


def test_what_was_left_in_the_middle_of_a_join_is_not_whole_whoever_lists_it() -> None:
    desk = played(f"record 3 b\n{START}\nhello ->\nb_leads 3 -> follow b 3\nfollowing ->\njoined ->")
    desk.put(KEYS.insync, _lists(3))
    desk.play("see ->\nstream_lost joining ->\nsee ->")
    assert desk.state.disk is None
