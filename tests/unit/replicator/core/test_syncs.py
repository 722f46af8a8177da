"""When an fsync is done."""

from replicator.core.completions import Completions
from replicator.core.syncs import Syncs


def _ignore(_result: int) -> None:
    return None


def _begun(holders: tuple[str, ...] = ("b",)) -> tuple[Completions[int], Syncs]:
    completions = Completions[int]()
    completions.settled(0, ())
    for node in holders:
        completions.attach(node)
        completions.join_point(node)
    completions.settled(1, holders)
    return completions, Syncs(completions)


def test_it_waits_for_this_disk_and_for_every_required_one() -> None:
    _, syncs = _begun(("b", "c"))
    sync = syncs.begin(_ignore)
    assert not syncs.done_at(sync, "b")
    assert not syncs.done_here(sync, 0)
    assert syncs.under_way == 1
    assert syncs.done_at(sync, "c")
    assert syncs.under_way == 0


def test_the_other_order_is_as_good() -> None:
    _, syncs = _begun()
    sync = syncs.begin(_ignore)
    assert not syncs.done_here(sync, 0)
    assert syncs.done_at(sync, "b")


def test_a_lost_peer_is_waited_for_until_the_record_leaves_it_out() -> None:
    completions, syncs = _begun()
    sync = syncs.begin(_ignore)
    assert not syncs.done_here(sync, 0)
    completions.lost("b")
    assert syncs.changed() == []
    completions.settled(2, ())
    assert syncs.changed() == [sync]
    assert syncs.changed() == []


def test_held_nothing_is_done_though_all_disks_have_it() -> None:
    completions, syncs = _begun()
    sync = syncs.begin(_ignore)
    assert not syncs.done_at(sync, "b")
    completions.lost("b")
    assert not syncs.done_here(sync, 0)
    completions.settled(2, ())
    assert syncs.changed() == [sync]


def test_one_begun_before_a_join_point_does_not_wait_for_that_node() -> None:
    completions, syncs = _begun(())
    completions.attach("b")
    sync = syncs.begin(_ignore)
    completions.join_point("b")
    assert syncs.done_here(sync, 0)


def test_one_that_is_slow_here_does_not_wait_for_a_peer_that_was_left_out_and_came_back() -> None:
    completions, syncs = _begun()
    sync = syncs.begin(_ignore)
    completions.lost("b")
    completions.settled(2, ())
    assert syncs.changed() == []  # this node's disk is slow
    completions.attach("b")
    completions.join_point("b")
    assert syncs.changed() == []
    assert syncs.done_here(sync, 0)


def test_fenced_nothing_is_done() -> None:
    completions, syncs = _begun(())
    sync = syncs.begin(_ignore)
    completions.fence()
    assert not syncs.done_here(sync, 0)
    assert syncs.changed() == []
