"""A real replicator that counts what its data path does: tasks, steps of coroutines, hand-overs to threads, memory.

``python -m tests.support.counted_replicator --spec FILE`` is ``replicator.main`` with a count between two signals:
:data:`BEGIN` and :data:`END`; each is answered by a file in the directory ``MIRRORFARM_COUNTS``. :class:`Counted` is
the other end. A copy shows as memory that is allocated: what is moved within a buffer that is there is not seen.
"""

import asyncio
import dataclasses
import inspect
import json
import os
import signal
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import uvloop

from replicator import background, main

BEGIN, END = signal.SIGUSR1, signal.SIGUSR2
DIRECTORY = "MIRRORFARM_COUNTS"
ANSWER_SECONDS = 15.0
_ASYNCHRONOUS = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE
_LOGGING = os.path.dirname(structlog.__file__)
_THREADED = background.Background.run.__code__


@dataclass
class Counts:
    """What was done between the two signals, by the thread of the loop."""

    tasks: int = 0
    earlier_tasks: int = 0
    """Those of the process until then: that there are some shows that tasks are seen."""
    coroutine_steps: int = 0
    """How often a coroutine was begun or gone on with."""
    threaded: int = 0
    """Pieces of work that were given to a thread."""
    logging_calls: int = 0
    calls: int = 0
    """Of functions written in Python."""
    peak_bytes: int = 0
    """Allocated at once, beyond what was allocated when it began."""


class _Counter:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._counts = Counts()
        self._before = 0

    def make_loop(self) -> uvloop.Loop:
        loop = uvloop.Loop()
        loop.set_task_factory(self._make_task)
        signal.signal(BEGIN, self._begin)
        signal.signal(END, self._end)
        return loop

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **how: Any) -> asyncio.Task[Any]:
        self._counts.tasks += 1
        return asyncio.Task(coroutine, loop=loop, **how)

    def _begin(self, _signal: int, _frame: FrameType | None) -> None:
        self._counts = Counts(earlier_tasks=self._counts.earlier_tasks + self._counts.tasks)
        (self._directory / "begun").touch()
        tracemalloc.start()
        self._before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        sys.setprofile(self._on_event)

    def _on_event(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call":
            return
        code, counts = frame.f_code, self._counts
        counts.calls += 1
        if code.co_flags & _ASYNCHRONOUS:
            counts.coroutine_steps += 1
        if code is _THREADED:
            counts.threaded += 1
        if code.co_filename.startswith(_LOGGING):
            counts.logging_calls += 1

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        sys.setprofile(None)
        self._counts.peak_bytes = tracemalloc.get_traced_memory()[1] - self._before
        tracemalloc.stop()
        draft = self._directory / "draft"
        draft.write_text(json.dumps(dataclasses.asdict(self._counts)))
        draft.rename(self._directory / "counted")


COMMAND = (sys.executable, "-m", "tests.support.counted_replicator")


class Counted:
    """One such process, as the test sees it: counts what happens in its ``with``."""

    def __init__(self, pid: int, directory: Path) -> None:
        self.counts = Counts()
        """Once it has ended."""
        self._pid = pid
        self._directory = directory

    def __enter__(self) -> "Counted":
        os.kill(self._pid, BEGIN)
        self._wait_for("begun")
        return self

    def __exit__(self, *_error: object) -> None:
        os.kill(self._pid, END)
        self.counts = Counts(**json.loads(self._wait_for("counted")))

    def _wait_for(self, name: str) -> str:
        path = self._directory / name
        end = time.monotonic() + ANSWER_SECONDS
        while not path.exists():
            assert time.monotonic() < end, f"no answer to the signal: {name}"
            time.sleep(0.005)
        text = path.read_text()
        path.unlink()
        return text


if __name__ == "__main__":
    uvloop.new_event_loop = _Counter(Path(os.environ[DIRECTORY])).make_loop
    sys.exit(main.main())
