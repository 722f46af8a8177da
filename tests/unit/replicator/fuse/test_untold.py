"""An fsync's error is told to everyone who had the file open, each once."""

from errno import EIO, ENOSPC

from replicator.fuse.untold import Untold

FILE, OTHER = 7, 8


def test_whoever_had_the_file_open_hears_it_once_and_nobody_else() -> None:
    untold = Untold()
    one, two = untold.opened(), untold.opened()
    assert untold.answer(FILE, two, 0) == 0
    assert untold.answer(FILE, one, -EIO) == -EIO
    late = untold.opened()
    assert untold.answer(FILE, late, 0) == 0
    assert untold.answer(OTHER, two, 0) == 0
    assert untold.answer(FILE, two, 0) == -EIO
    assert [untold.answer(FILE, each, 0) for each in (one, two, late)] == [0, 0, 0]


def test_a_further_loss_is_told_anew() -> None:
    untold = Untold()
    one, two = untold.opened(), untold.opened()
    assert untold.answer(FILE, one, -EIO) == -EIO
    assert untold.answer(FILE, one, -ENOSPC) == -ENOSPC
    assert untold.answer(FILE, two, 0) == -ENOSPC
    assert untold.answer(FILE, two, 0) == 0


def test_where_nobody_has_it_open_any_more_nobody_is_told() -> None:
    untold = Untold()
    one, two = untold.opened(), untold.opened()
    untold.answer(FILE, one, -EIO)
    untold.forget(FILE)
    assert untold.answer(FILE, two, 0) == 0
