"""What the demonstration prints: what it does, what it found, and whether that is what it must be."""

import time

from manager.lab.demo.timeline import Timeline
from manager.lab.errors import LabError


class Teaching:
    """Prints, and counts the checks."""

    def __init__(self) -> None:
        """Begins now."""
        self._begun = time.monotonic()
        self.passed = 0
        self.failed: list[str] = []

    def act(self, text: str) -> None:
        """What is done next."""
        print(f"\n[{time.monotonic() - self._begun:5.1f} s] {text}", flush=True)

    def show(self, text: str) -> None:
        """What a command said."""
        for line in text.rstrip().splitlines():
            print(f"          {line.rstrip()}", flush=True)

    def check(self, holds: bool, what: str, found: str = "") -> None:
        """One thing that must be so."""
        words = f"{what}{f': {found}' if found else ''}"
        print(f"          {'ok      ' if holds else 'FAILED  '}{words}", flush=True)
        if holds:
            self.passed += 1
        else:
            self.failed.append(words)

    def timeline(self, timeline: Timeline) -> None:
        """A take-over, step by step."""
        print(f"          {0:6d} ms  crash: nothing leaves the node any more")
        for step in timeline.steps:
            after_ms = timeline.milliseconds(step)
            print(f"          {'     ?' if after_ms is None else f'{after_ms:6d}'} ms  {step.what}")
        self.check(timeline.complete, "every step of the take-over is known")

    def conclude(self, error: LabError | None) -> int:
        """The last words; returns the exit code."""
        seconds = time.monotonic() - self._begun
        if error is not None:
            self.failed.append(str(error))
            print(f"\nThe demonstration came to no end: {error}")
        for words in self.failed:
            print(f"FAILED: {words}")
        print(f"\n{self.passed} checks held, {len(self.failed)} failed, in {seconds:.0f} s.", flush=True)
        return 1 if self.failed else 0
