import time

from replicator.fuse.times import TouchedInodes, now_ns


def test_now_is_not_before_what_was_stamped_a_moment_ago() -> None:
    ahead_ns = time.time_ns() + 1_000_000
    assert now_ns(ahead_ns) >= ahead_ns
    far_ahead_ns = time.time_ns() + 10**12
    assert abs(now_ns(far_ahead_ns) - time.time_ns()) < 10**10
    assert now_ns(0) > 10**18


def test_what_nothing_touches_for_a_whole_turn_has_rested() -> None:
    touched = TouchedInodes()
    touched.add(1)
    assert touched.rested() == []
    touched.add(2)
    assert touched.rested() == [1]
    assert 1 in touched, "until it is discarded"
    touched.discard(1)
    assert touched.rested() == [2]
    assert 1 not in touched


def test_what_is_touched_again_and_again_does_not_rest() -> None:
    touched = TouchedInodes()
    for _ in range(5):
        touched.add(1)
        assert touched.rested() == []
    assert touched.rested() == [1]
