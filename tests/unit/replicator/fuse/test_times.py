from replicator.fuse.times import TouchedInodes


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
