"""An application that does everything to a tree, at random, until it is stopped or its file system is gone."""

import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.support.random_trees import RandomTree

_END_S = 30.0


class RandomChanges:
    """In one directory, in a thread."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.done = 0

    @contextlib.contextmanager
    def at_work(self, directory: Path) -> Iterator[None]:
        """Works in ``directory`` meanwhile. A file system that fails ends it, and nothing else."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(directory,), daemon=True)
        self._thread.start()
        try:
            yield
        finally:
            self.end()

    def end(self) -> None:
        """Works no more: to be called before what is below a dead mount can be reached."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join(_END_S)
            assert not self._thread.is_alive(), "an operation hangs"
            self._thread = None

    def change(self, directory: Path, count: int) -> None:
        """So many changes, now."""
        RandomTree(str(directory), self._chance).change(count)

    def _run(self, directory: Path) -> None:
        with contextlib.suppress(OSError):
            while not self._stop.is_set():
                self.change(directory, 1)
                self.done += 1
