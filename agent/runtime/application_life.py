"""Whether an application goes on that was started, and how it ended if it does not.

An application has processes. Its start may have had only to run once (a mount, a container): then it leaves none, or
some that end at once and well, and nobody can say more of it than that its start succeeded.

What only reads a pipe may be a filter of its start's output (``tee``), which ends with that, or an application that is
given its configuration so (``redis-server -``): it is the application if it goes on.
"""

import asyncio
import enum
import signal
import time

from agent.adapters import run_logs
from agent.adapters.application import Application, Run
from agent.adapters.orphans import Ended

SETTLE_S = 0.2
"""So long after its start it has to be there before it is said to run: most that fail at once have failed by then."""
FIRST_LOOK_S = 0.05
"""What ends before that, and well, was its start's own; what is there then was the application, however it ends."""
LOOK_S = 0.5
"""So often it is looked whether it is there."""
STAYS_S = 10.0
"""What only reads a pipe, and is there so long after the start, goes on. Before, a filter may be busy still."""
_TOLD_TO_END = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGKILL})
"""How a start ends what it has needed itself, which is no failure."""
_SHOWN_IN_MS = 10_000
_NEW_LINE = "\n    "


class Settled(enum.Enum):
    """What is known a moment after a start."""

    LIVES = enum.auto()
    """It has processes, which have to go on."""
    RAN_ONCE = enum.auto()
    """Its start had only to run once: nothing has to go on. Of what only reads a pipe that is not known yet."""
    ENDED = enum.auto()
    """It was there, or had to be, and is not any more."""


class ApplicationLife:
    """Of one application, from the end of its start on."""

    def __init__(self, application: Application, run: Run | None = None) -> None:
        """``run``: of its start, which has just ended; ``None``: a former agent has started it."""
        self._application = application
        self._run = run
        self._begun = time.monotonic()
        self._ended: list[Ended] = []
        self.last_words = ""
        """When and how it ended, and what it said last."""

    async def settle(self) -> Settled:
        """What has come of its start, :data:`SETTLE_S` after it at the most."""
        application = self._application
        left = {p.pid for p in application.processes()} if application.runs_by_itself() else set()
        looked = False
        while application.populated() and (waited := time.monotonic() - self._begun) < SETTLE_S:
            looked = waited >= FIRST_LOOK_S
            self._ended += application.ended()
            await asyncio.sleep(FIRST_LOOK_S)
        if application.runs_by_itself():
            return Settled.LIVES
        if application.populated():
            return Settled.RAN_ONCE
        self._ended += application.ended()
        ended_well = not any(map(_failed, self._ended)) and left <= {one.pid for one in self._ended}
        if ended_well and not (left and looked):
            return Settled.RAN_ONCE
        self.last_words = self._words()
        return Settled.ENDED

    async def stay(self) -> Settled:
        """What has come of that which reads a pipe, if anything does, :data:`STAYS_S` after its start at the most."""
        while self._application.populated():
            if time.monotonic() - self._begun >= STAYS_S:
                return Settled.LIVES
            await asyncio.sleep(LOOK_S)
            self._ended += self._application.ended()
        self._ended += self._application.ended()  # Of what has ended since the last look.
        if not any(map(_failed, self._ended)):
            return Settled.RAN_ONCE
        self.last_words = self._words()
        return Settled.ENDED

    async def until_gone(self) -> None:
        """Until nothing of it is left any more."""
        # A long life has many ends: those of the last moments are its own.
        self._ended = self._application.ended()
        while self._application.populated():
            await asyncio.sleep(LOOK_S)
            self._ended = self._application.ended()
        self._ended += self._application.ended()
        self.last_words = self._words()

    def _words(self) -> str:
        when = f" {_duration(time.monotonic() - self._begun)} after its start" if self._run is not None else ""
        how = "it is not known with which status"
        if self._ended:
            one = min(self._ended, key=lambda e: (not _failed(e), e.started_ticks))
            how = f"{one.name} (pid {one.pid}) {one.how}"
        said = f"\n{run_logs.last_lines(self._run.log)}".rstrip() if self._run is not None else ""
        log = f" (output: {self._run.log})" if self._run is not None and self._run.log else ""
        last = ", and said last:" + said.replace("\n", _NEW_LINE) if said else ""
        return f"the application ended{when}, {how}{log}{last}"


def _failed(one: Ended) -> bool:
    return one.exit_code != 0 and -one.exit_code not in _TOLD_TO_END


def _duration(seconds: float) -> str:
    ms = round(seconds * 1000)
    return f"{ms} ms" if ms < _SHOWN_IN_MS else f"{ms // 1000} s"
