"""Applications at work in two directories of a pair, and either replicator killed at random moments, again and again.

Each operation that returned is exactly in place on whoever is left (P1), whatever the moment; and what a dead primary
has on its disk its secondary has too (S4).
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from manager.model import control
from tests.support.numbered_work import NumberedWork
from tests.support.replicators import Options, Pair
from tests.support.two_disks import KINDS, TwoDisks, is_soak, leave, leave_and_return, two_disks

DIRECTORIES = 2
ROUNDS = 60 if is_soak() else 6
SEED = random.randrange(1 << 32) if is_soak() else 6
LONGEST_S = 1.2


class History:
    """Two applications in each directory, and the pair below."""

    def __init__(self, both: TwoDisks, chance: random.Random) -> None:
        self._both = both
        self._chance = chance
        self._places = [(index, name) for index in range(DIRECTORIES) for name in ("first", "second")]
        self._works = [
            NumberedWork(both.pair.a.directories[index] / name, f"{chance.random()}") for index, name in self._places
        ]

    def begin(self) -> None:
        for work in self._works:
            work.begin()

    def wait(self, more: int) -> None:
        for work in self._works:
            try:
                work.wait(more)
            except AssertionError as error:
                a, b = self._both.pair.a, self._both.pair.b
                raise AssertionError(f"{error}\n{a.status()}\n{a.events}\n{a.said()}\n{b.said()}") from None

    def stop(self) -> None:
        for work in self._works:
            work.stop()

    def pause(self) -> None:
        time.sleep(self._chance.uniform(0.05, LONGEST_S))

    def kill_secondary(self) -> None:
        """It comes back, perhaps in vain the first time; the applications wait, and go on."""
        two = self._both.pair
        leave_and_return(two)
        if self._chance.random() < 0.5:
            leave(two)
            hello = two.b.start()
            two.b.follow(two.a.name, two.epoch)
            two.a.tell(control.Peer(two.b.name, "127.0.0.1", hello.listen_port))
            two.a.wait(control.PeerConnected, lambda event: event.instance == hello.instance)
            time.sleep(self._chance.uniform(0.0, 0.2))
            leave_and_return(two)
        self.wait(10)
        for work in self._works:
            assert work.error is None, work.error

    def kill_primary(self) -> None:
        """The secondary takes over, the applications go on there, and the dead node joins it."""
        two = self._both.pair
        two.a.kill()
        for work in self._works:
            work.fail()
        two.b.tell(control.CloseStream())
        two.b.wait(control.StreamClosed)
        two.a.clear()
        for work, (index, name) in zip(self._works, self._places, strict=True):
            assert work.error is not None
            dead, left = (node.directories[index] / name for node in (two.a, two.b))
            assert work.differences(left) == [], f"{left}, {work.completed} operations completed"
            assert work.differences(dead) == [], f"{dead}, {work.completed} operations completed"
            assert work.progress(dead) <= work.progress(left)
        self._both.pair = new = Pair(two.b, two.a, two.epoch + 1)
        new.a.serve(new.epoch)
        for work, (index, name) in zip(self._works, self._places, strict=True):
            work.move_to(new.a.directories[index] / name)
        self.begin()
        new.b.start()
        new.join(seconds=60.0)
        self.wait(10)

    def compare(self) -> None:
        """All at rest: both copies are what the applications know, and equal."""
        self.stop()
        for work, (index, name) in zip(self._works, self._places, strict=True):
            assert work.error is None, work.error
            for node in (self._both.pair.a, self._both.pair.b):
                assert work.differences(node.directories[index] / name) == []
        self._both.assert_equal()


@pytest.fixture(params=[KINDS, KINDS[::-1]] if is_soak() else [KINDS], ids="-".join)
def both(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[TwoDisks]:
    """Either disk is the primary's in turn, as each one's primary is killed: the other order is for a soak."""
    with two_disks(tmp_path, request.param, Options(directories=DIRECTORIES)) as made:
        yield made


@pytest.mark.timeout(1800 if is_soak() else 120)
def test_what_completed_is_in_place_on_whoever_is_left(both: TwoDisks) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    history = History(both, chance)
    history.begin()
    history.wait(20)
    for round_number in range(ROUNDS):
        history.pause()
        if round_number % 2:
            history.kill_secondary()
        else:
            history.kill_primary()
        if round_number % 4 == 3:
            history.compare()
            history.begin()
            history.wait(5)
    history.compare()
    both.rest()
