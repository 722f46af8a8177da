"""A program of these tests that runs inside a machine of the lab and prints lines, until its input is closed."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from manager.lab.errors import LabError
from manager.lab.machine import RunningMachine

ROOT = Path(__file__).resolve().parents[2]
_END_S = 30.0


class ToldProgram:
    """While it runs, and what it has printed."""

    def __init__(self, machine: RunningMachine, program: str, words: Sequence[str], out: Path) -> None:
        """``program``: the name of a module; ``out``: the file for what it prints, made anew."""
        self._name = out.stem
        self._out = out
        self._read_bytes = 0
        command = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", program, *words]
        with out.open("wb") as file:
            self._process = subprocess.Popen(machine.command(command), stdin=subprocess.PIPE, stdout=file)

    def end(self) -> None:
        """It prints no more, once what is under way has ended.

        Raises:
            LabError: it has failed.
        """
        assert self._process.stdin is not None
        self._process.stdin.close()
        if self._process.wait(_END_S) != 0:
            raise LabError(f"{self._name} has failed: {self._process.returncode}")

    def lines(self) -> list[str]:
        """All until now."""
        # The last one may be half-written.
        return [line for line in self._out.read_text().splitlines(keepends=True) if line[-1] == "\n"]

    def news(self) -> list[str]:
        """Those since this was asked last."""
        with self._out.open("rb") as file:
            file.seek(self._read_bytes)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read_bytes += len(whole) + len(newline)
        return whole.decode().splitlines()
