"""What blocks is done beside the loop and answered on it."""

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator import background
from replicator.background import Background
from tests.unit.replicator.loops import SteppedLoop, stepped_loop


@pytest.fixture
def loop() -> Iterator[SteppedLoop]:
    with stepped_loop() as made:
        yield made


@pytest.fixture(params=["kernel", "threads"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "threads":
        monkeypatch.setattr(background, "_sync_queue", lambda: None)
    return str(request.param)


@pytest.fixture
def beside(loop: SteppedLoop, way: str) -> Iterator[Background]:
    made = Background(loop)
    assert (made._queue is None) == (way == "threads"), "else this shows nothing"
    yield made
    made.close()


def unexpected(answer: object) -> None:
    pytest.fail(f"answered {answer!r}")


def _noting(answered: list[int], number: int) -> Callable[[None], None]:
    return lambda _: answered.append(number)


def is_open(descriptor: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{descriptor}")


@pytest.mark.parametrize("data_only", [False, True])
def test_a_sync_is_answered_on_the_loop_and_closes_its_file(
    loop: SteppedLoop, beside: Background, tmp_path: Path, data_only: bool
) -> None:
    answers: list[tuple[object, int]] = []
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.write(file, b"x")
    beside.sync(file, data_only, lambda got: answers.append((got, threading.get_ident())), unexpected)
    assert answers == []
    loop.until(lambda: answers)
    assert answers == [(None, threading.get_ident())]
    assert beside.under_way == 0
    assert not is_open(file)


def test_a_directory_is_synced_too(loop: SteppedLoop, beside: Background, tmp_path: Path) -> None:
    answers: list[object] = []
    beside.sync(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY), False, answers.append, answers.append)
    loop.until(lambda: answers)
    assert answers == [None]


def test_what_cannot_be_synced_says_why(loop: SteppedLoop, beside: Background) -> None:
    failures: list[OSError] = []
    reading, writing = os.pipe()
    beside.sync(writing, False, unexpected, failures.append)
    loop.until(lambda: failures)
    assert [failure.errno for failure in failures] == [errno.EINVAL]
    assert not is_open(writing)
    os.close(reading)


def test_many_at_once_are_all_answered(loop: SteppedLoop, beside: Background, tmp_path: Path) -> None:
    answered: list[int] = []
    many = 2 * background.MOST_SYNCS
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    for number in range(many):
        beside.sync(os.dup(file), True, _noting(answered, number), unexpected)
    loop.until(lambda: len(answered) == many)
    assert sorted(answered) == list(range(many))
    os.close(file)


def test_once_closed_nothing_is_answered_and_no_file_stays_open(
    loop: SteppedLoop, beside: Background, tmp_path: Path
) -> None:
    beside.close()
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    beside.sync(file, False, unexpected, unexpected)
    loop.turn()
    assert not is_open(file)


def test_at_rest_is_when_all_is_answered_what_was_asked_for_by_an_answer_too(
    loop: SteppedLoop, beside: Background
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    answers: list[str] = []

    def hold() -> None:
        begun.set()
        may_end.wait(10.0)

    def held(_: None) -> None:
        answers.append("held")
        beside.run(lambda: None, lambda _: answers.append("asked for by it"), unexpected)

    beside.run(hold, held, unexpected)
    loop.until(begun.is_set)
    rest = loop.create_task(beside.at_rest())
    loop.turn(10)
    assert not rest.done()
    may_end.set()
    loop.until(rest.done)
    assert answers == ["held", "asked for by it"]
    again = loop.create_task(beside.at_rest())
    loop.turn()
    assert again.done()
