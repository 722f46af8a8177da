"""The estimate is told when all is counted, and not before."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from replicator.disk.volume import Volume
from replicator.estimating import Estimate
from tests.unit.replicator.hand_work import attempt


class Turns:
    """A loop and its threads, turned by hand."""

    def __init__(self) -> None:
        self.jobs: deque[Callable[[], object]] = deque()
        self.rests = 0

    def time(self) -> float:
        return 0.0

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        self.jobs.append(lambda: callback(*arguments))

    def call_later(self, delay: float, callback: Callable[..., object], *arguments: Any) -> None:
        self.rests += 1
        self.jobs.append(lambda: callback(*arguments))

    def run(self, work: Callable[[], Any], done: Callable[[Any], None], failed: Callable[[OSError], None]) -> None:
        self.jobs.append(partial(attempt, work, done, failed))


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[list[Volume]]:
    opened = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for number in range(200):
            (tmp_path / name / str(number)).write_bytes(b"x" * 5)
        opened.append(Volume.open(os.fspath(tmp_path / name)))
    yield opened
    for volume in opened:
        volume.close()


def test_it_is_known_when_all_is_counted(volumes: list[Volume]) -> None:
    turns = Turns()
    estimate = Estimate(turns, turns, volumes)
    estimate.start()
    while turns.jobs:
        assert not estimate.bytes
        turns.jobs.popleft()()
    assert (estimate.bytes, estimate.entries) == (2000, 400)
    assert turns.rests == 3


def test_it_ends_when_nobody_wants_it(volumes: list[Volume]) -> None:
    turns = Turns()
    estimate = Estimate(turns, turns, volumes)
    estimate.start()
    turns.jobs.popleft()()
    estimate.close()
    while turns.jobs:
        turns.jobs.popleft()()
    assert not estimate.bytes and turns.rests == 1
