"""Runs a program of the demonstration on the client's machine, and keeps what it says, line by line."""

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from manager.lab.errors import LabError
from manager.lab.machine import RunningMachine

_END_SECONDS = 15.0
_LOOK_S = 0.05

Line = TypeVar("Line")


class Speaker(Generic[Line]):
    """The program while it runs. It ends when its standard input does."""

    def __init__(self, client: RunningMachine, words: Sequence[str], parse: Callable[[str], Line]) -> None:
        """Starts it: the Python module ``words[0]`` with arguments; ``parse``: what a line of it means."""
        self._name = words[0].rpartition(".")[2]
        self._parse = parse
        self._lines: list[Line] = []
        self._process = subprocess.Popen(
            client.command(["python", "-m", *words]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def lines(self) -> tuple[Line, ...]:
        """What it said until now."""
        return tuple(self._lines)

    def wait_for(self, count: int, counts: Callable[[Line], bool], seconds: float) -> None:
        """Until it said so many more lines that count.

        Raises:
            LabError: it did not in time.
        """
        begun = len(self._lines)
        end = time.monotonic() + seconds
        while sum(counts(line) for line in self._lines[begun:]) < count:
            if self._process.poll() is not None:
                raise LabError(f"the {self._name} has ended with {self._process.returncode}")
            if time.monotonic() >= end:
                last = self._lines[-1] if self._lines else "nothing"
                raise LabError(f"the {self._name} has not done {count} within {seconds:g} s; it said last: {last}")
            time.sleep(_LOOK_S)

    def end(self) -> None:
        """Let it finish what is under way.

        Raises:
            LabError: it does not end, or has failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            raise LabError(f"the {self._name} does not end within {_END_SECONDS:g} s") from None
        self._reader.join(_END_SECONDS)
        if code != 0:
            raise LabError(f"the {self._name} has failed with {code}")

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(self._parse(line))
