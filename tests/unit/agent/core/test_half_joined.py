"""What a copy is that was being brought in sync when etcd was lost: whole, blank, or neither (S8)."""

import pytest

from manager.store.api import Delete, Txn
from tests.unit.agent.core.desk import KEYS, Desk
from tests.unit.agent.core.test_scenarios import START, played

REBUILT = """
    b_is_gone       ->
    store another   ->
    leaves b        ->
    store_stays     ->
"""


def followed(script: str) -> Desk:
    """It was told to follow ``b``; then that one is gone, and etcd was rebuilt."""
    desk = played(script)
    desk.etcd.commit_now(Txn((), (Delete(KEYS.insync),)))
    desk.play(REBUILT)
    return desk


def test_a_whole_copy_whose_resync_broke_off_is_named_in_vain() -> None:
    """What its process has read on the disk is of before the join; its replicator would refuse to serve."""
    desk = followed(
        f"record 4 b\ndisk 3\n{START}\nhello ->\nb_leads 4 -> follow b 4\nfollowing ->\nstream_lost joining ->"
    )
    assert desk.state.published is not None and desk.state.published.disk is None, "it vouches for nothing"
    desk.play("""
        is WAIT blocked disk_identity_missing
        request prim r1 store_replaced,store_went_back -> answer refused disk_identity_missing
    """)


def test_nor_where_a_restored_etcd_lists_it() -> None:
    desk = played(
        f"record 4 b\ndisk 3\n{START}\nhello ->\nb_leads 4 -> follow b 4\nfollowing ->\nstream_lost joining ->"
    )
    desk.play(f"""
        b_is_gone       ->
        record 3 a,b    ->
        {REBUILT.replace("b_is_gone", "see")}
        request prim r1 store_replaced,store_went_back -> answer refused disk_identity_missing
    """)


def test_nor_is_one_of_which_a_disk_was_replaced_once_it_was_told_to_follow() -> None:
    """It is marked as in a join from then on (``Vouching.expect_join``), whether the stream comes or not."""
    desk = followed(f"record 9 b\n{START}\nhello_partial 5 ->\nb_leads 9 -> follow b 9")
    desk.play("request prim r1 store_went_back -> answer refused disk_identity_missing")


@pytest.mark.parametrize("hello", ["hello", "hello_joining 3"])
def test_a_copy_whose_join_came_to_its_end_may_be_named_though_it_was_not_listed_yet(hello: str) -> None:
    """Its replicator has said that it is in no join any more; it may be the only copy that there is."""
    desk = followed(f"record 3 b\n{START}\n{hello} ->\nb_leads 3 -> follow b 3\nfollowing ->\nstream_lost ->")
    desk.play("""
        request prim r1                 -> answer refused store_went_back
        request prim r2 store_went_back -> answer accepted; CloseStream
        closed                          -> commit elect
        settle                          -> serve 4 decided; settled a; AddAddresses
    """)


def test_a_blank_copy_that_was_about_to_be_filled_is_not_taken_for_a_first_start() -> None:
    """There was a primary, which a rebuilt etcd does not know; and the disk is marked as being in a join by now."""
    followed(f"record 3 b\n{START}\nb_leads 3 ->\nhello -> follow b 3").play("""
        is WAIT blocked disk_identity_missing
        request prim r1                 -> answer refused disk_identity_missing
        request prim r2 store_went_back -> answer refused disk_identity_missing
    """)


def test_one_whose_join_breaks_off_is_named_in_vain_by_the_same_process() -> None:
    desk = followed(f"record 3 b\n{START}\nhello ->\nb_leads 3 -> follow b 3\nfollowing ->\nstream_lost joining ->")
    desk.play("request prim r1 store_went_back -> answer refused disk_identity_missing")
