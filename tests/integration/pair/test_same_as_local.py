"""The random operations of two threads on the pair: as on a plain directory, and the secondary's copy is equal.

The disks are of different kinds: what only one of them can do, such as a symbolic link of more than a kilobyte, is not
among the operations here, since a pair does what both can (``test_limits_are_those_of_both``).
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.integration.filesystem.test_same_as_local import Comparison
from tests.support.file_actor import Operation
from tests.support.file_operations import batches
from tests.support.grounds import Grounds
from tests.support.two_disks import KINDS, Comings, TwoDisks, is_soak, make_much, two_disks

STEPS = 10
EXAMPLES = 400 if is_soak() else 30
EXAMPLES_BESIDE_JOINS = 300 if is_soak() else 20
LONGEST_TARGET = 1023
"""Of a symbolic link, on xfs."""


ORDERS = [KINDS, KINDS[::-1]]


def in_order(first: str) -> pytest.MarkDecorator:
    """Where a disk of the ``first`` kind is the primary's; in a soak in either order."""
    return pytest.mark.parametrize(
        "kinds", [kinds for kinds in ORDERS if is_soak() or kinds[0] == first], ids="-".join, indirect=True
    )


@pytest.fixture(params=ORDERS, ids="-".join)
def kinds(request: pytest.FixtureRequest) -> tuple[str, str]:
    return cast(tuple[str, str], request.param)


@pytest.fixture
def both(tmp_path: Path, kinds: tuple[str, str]) -> Iterator[TwoDisks]:
    with two_disks(tmp_path, kinds) as made:
        for directory in (made.pair.a.data, made.disks["a"] / "plain"):
            directory.mkdir(exist_ok=True)
            directory.chmod(0o777)
        yield made


_possible = batches.map(
    lambda batch: [o for o in batch if o.kind != "symlink" or len(o.arguments[0]) <= LONGEST_TARGET]
)


class OfBothDisks(Comparison):
    """Without what only one of the disks can do."""

    def __init__(self, grounds: Grounds, counter: list[int], together: contextlib.AbstractContextManager[object]):
        super().__init__(grounds, counter)
        self._counter = counter
        """Runs, and operations in all."""
        self._together = together
        """Entered while the secondary has to be there."""

    @rule(first=_possible, second=_possible)
    def both_threads(self, first: list[Operation], second: list[Operation]) -> None:
        super().both_threads(first, second)
        self._counter[1] += len(first) + len(second)

    def teardown(self) -> None:
        with self._together:
            super().teardown()


def compare(both: TwoDisks, examples: int, together: contextlib.AbstractContextManager[object]) -> None:
    pair = both.pair
    grounds = Grounds(str(both.disks["a"] / "plain"), str(pair.a.data), str(pair.b.data), both.assert_equal)
    counter = [0, 0]
    machine = cast(type[RuleBasedStateMachine], lambda: OfBothDisks(grounds, counter, together))
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=STEPS))
    assert counter[1] > examples * STEPS


@in_order("ext4")
def test_two_threads_get_the_same_results_and_the_copies_are_equal(both: TwoDisks) -> None:
    compare(both, EXAMPLES, contextlib.nullcontext())
    both.assert_equal()
    assert both.pair.a.status().peers == {"b": "complete"}
    both.rest()


@in_order("xfs")
def test_the_same_while_the_secondary_leaves_and_joins(both: TwoDisks) -> None:
    make_much(both.pair.a.data)
    with Comings(both.pair, seed=1, damaged=True) as comings:
        compare(both, EXAMPLES_BESIDE_JOINS, comings.together)
    assert comings.count >= 3
    both.assert_equal()
    both.rest()


def test_limits_are_those_of_both(both: TwoDisks) -> None:
    here = both.pair.a.data
    os.symlink("x" * LONGEST_TARGET, here / "long")
    with pytest.raises(OSError) as refused:
        os.symlink("x" * 1100, here / "longer")
    assert refused.value.errno == errno.ENAMETOOLONG
    (here / "file").touch()
    with pytest.raises(OSError) as refused:
        os.setxattr(here / "file", "user.large", b"x" * 20_000)
    assert refused.value.errno in (errno.ENOSPC, errno.E2BIG)
    for number in (os.makedev(512, 0), os.makedev(1, 1 << 18)):  # ext4 keeps them, xfs does not
        with pytest.raises(OSError) as refused:
            os.mknod(here / "device", stat.S_IFCHR | 0o600, number)
        assert refused.value.errno == errno.EINVAL
    os.mknod(here / "device", stat.S_IFCHR | 0o600, os.makedev(511, (1 << 18) - 1))
    assert both.pair.a.status().peers == {"b": "complete"}
    both.assert_equal()
