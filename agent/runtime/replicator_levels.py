"""From which level on this node's replicators log: each is told what stands, and says itself what it does.

What stands is the agent's (``manager.logs.levels``). A replicator forgets it with the connection on which it was told,
so that it does not outlive the agent that knows when it ends; who is connected anew, or started anew, is told again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from manager.logs.levels import ALL, Levels, Standing
from manager.model import control
from manager.model.api_log_levels import ReplicatorLevel
from manager.model.log_words import LogLevel
from manager.time_limit import time_limit

ANSWER_S: Final = 2.0
"""How long it is waited for what the replicators say. One that has another configuration than the agent, or hangs, is
shown as it is then."""
Ask = Callable[[control.Command], bool]
"""Sends a command to the replicator; whether there is one that could be told."""


class ModuleLevel:
    """Of the replicator of one module."""

    def __init__(self, module: str, levels: Levels, ask: Ask) -> None:
        self._module = module
        self._levels = levels
        self._ask = ask
        self._is_there = False
        self._said: LogLevel | None = None
        self._refused = ""
        self._news = asyncio.Event()

    def heard(self, event: control.Event) -> None:
        """The replicator has said something."""
        match event:
            case control.Hello():
                self._is_there, self._said, self._refused = True, None, ""
                if self._standing is not None:
                    self.tell()
            case control.Status(log_level=level):
                self._said = level
                self._news.set()
                standing = self._standing
                if standing is not None and level is not None and level is not standing.level:
                    # As when its own level has ended, and that of all has not. It is asked again each second.
                    self._want(standing)
            case control.Refused(command=command, reason=reason) if is_about_levels(command):
                self._refused = reason
                self._news.set()
            case _:
                return

    def gone(self) -> None:
        """There is none any more."""
        self._is_there = False
        self._news.set()

    def tell(self) -> None:
        """Have it know what stands, and say what it does."""
        self._refused = ""
        if self._want(self._standing):
            self._ask(control.GetStatus())

    def _want(self, standing: Standing | None) -> bool:
        level, left_ms = (None, 0) if standing is None else (standing.level, standing.left_ms)
        return self._ask(control.SetLogLevel(level, left_ms))

    async def settled(self) -> None:
        """It logs as is wanted, or does not do so, or is gone."""
        while self._is_there and not self._refused and self._said is not self._levels.of(self._module):
            self._news.clear()
            await self._news.wait()

    @property
    def shown(self) -> ReplicatorLevel | None:
        """``None``: there is none."""
        return ReplicatorLevel(self._module, self._said, self._refused) if self._is_there else None

    @property
    def _standing(self) -> Standing | None:
        standing = self._levels.standing()
        return standing.get(self._module) or standing.get(ALL)


def is_about_levels(command: str) -> bool:
    """Whether a refused ``command`` was about levels: one of a former release gives the line back, not the name."""
    return "SetLogLevel" in command


class ReplicatorLevels:
    """Of all modules of this node."""

    def __init__(self, levels: Levels) -> None:
        self.levels = levels
        self._modules: dict[str, ModuleLevel] = {}

    def of_module(self, module: str, ask: Ask) -> ModuleLevel:
        """That of ``module``, in the place of a former one."""
        made = self._modules[module] = ModuleLevel(module, self.levels, ask)
        return made

    async def tell(self) -> None:
        """The levels have changed: have all know it, and wait a little for what they say."""
        for one in self._modules.values():
            one.tell()
        with contextlib.suppress(TimeoutError):
            async with time_limit(ANSWER_S):
                await asyncio.gather(*(one.settled() for one in self._modules.values()))

    @property
    def shown(self) -> tuple[ReplicatorLevel, ...]:
        """Of those that are there, by name."""
        found = (one.shown for _, one in sorted(self._modules.items()))
        return tuple(one for one in found if one is not None)
