"""The call ``check.facts``: what this node says of itself when two are compared. It compares nothing.

This machine is looked at once for all who ask within a while: whoever asks how often, its disks are left in peace.
"""

import asyncio
import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from agent.adapters import tools
from agent.adapters.calls import Caller, Report
from agent.adapters.directory_look import look, owners_here
from agent.adapters.one_thread import OneThread
from agent.api_view import parsed_config
from agent.runtime.handling import Seat
from manager.model.api_check import (
    MOST_OWNERS,
    CheckFacts,
    CheckFactsArguments,
    DirectoryFacts,
    Owner,
    OwnerHere,
)
from manager.model.config import ModuleConfig
from manager.model.errors import DefiniteFailure, IndefiniteFailure

LOOK_S: Final = 2.0
NAMES_S: Final = 1.0
"""Names may come from a directory service."""
NFT_S: Final = 1.0
FRESH_S: Final = 10.0
MOST_DIRECTORIES: Final = 64


class Looks:
    """This machine, as it was looked at last; one for all of an agent's doors."""

    def __init__(self, replicator_of: Callable[[str], int | None]) -> None:
        """``replicator_of``: the process that replicates a module here; ``None``: none."""
        self._replicator_of = replicator_of
        self._thread, self._names = OneThread(), OneThread()
        self._asked: tuple[DirectoryFacts, ...] = ()
        self._found: tuple[DirectoryFacts, ...] = ()
        self._at_s = 0.0
        self.nft = ""
        """Its release; empty: there is none, or nothing was looked at yet."""
        self._turn = asyncio.Lock()

    async def at(self, directories: Iterable[DirectoryFacts]) -> tuple[DirectoryFacts, ...]:
        """Each with what is known of it; with the reason where that is not all."""
        asked = tuple(directories)[:MOST_DIRECTORIES]
        async with self._turn:
            if asked != self._asked or time.monotonic() - self._at_s > FRESH_S:
                self._found = await self._look(asked)
                self.nft = await _nft()
                self._asked, self._at_s = asked, time.monotonic()
            return self._found

    async def owners(self, owners: tuple[Owner, ...]) -> tuple[OwnerHere, ...] | None:
        """What another node's ``owners`` are here; ``None``: who knows the names does not answer."""
        try:
            return await self._names.run(lambda: owners_here(owners), NAMES_S)
        except IndefiniteFailure:
            return None

    async def _look(self, asked: tuple[DirectoryFacts, ...]) -> tuple[DirectoryFacts, ...]:
        found: dict[tuple[str, str], DirectoryFacts] = {}

        def told(one: DirectoryFacts) -> None:
            found[one.module, one.path] = one

        problem = ""
        try:
            await self._thread.run(lambda: look(asked, told, self._replicator_of), LOOK_S)
        except IndefiniteFailure as failure:
            problem = str(failure)
        except OSError as error:
            problem = str(error)
        answered = (found.get((one.module, one.path), one) for one in asked)
        return tuple(replace(one, problem=one.problem or problem) if one.fsync_us is None else one for one in answered)


class CheckHandlers:
    """Answers from this machine."""

    def __init__(self, seat: Seat, looks: Looks, replication_address: str) -> None:
        self._seat = seat
        self._looks = looks
        self._replication_address = replication_address

    async def facts(self, arguments: CheckFactsArguments, caller: Caller, report: Report) -> CheckFacts:
        """What this node is."""
        directories = await self._looks.at(self._directories())
        return CheckFacts(
            node=self._seat.node,
            kernel=os.uname().release,
            python=platform.python_version(),
            etcd_client=importlib.metadata.version("etcd3"),
            nft=self._looks.nft,
            replication_address=self._replication_address,
            directories=directories,
            owners=await self._looks.owners(arguments.owners[:MOST_OWNERS]),
            clock_ms=time.time_ns() // 1_000_000,
        )

    def _directories(self) -> Iterable[DirectoryFacts]:
        keys = self._seat.view.keys
        for module in keys.modules():
            record = keys.config(module)
            config = parsed_config(record) if record is not None else None
            if isinstance(config, ModuleConfig) and self._seat.node in config.nodes:
                for path in config.directories:
                    yield DirectoryFacts(module, path, config.nodes)


async def _nft() -> str:
    """The release of nft; empty: there is none that says so."""
    try:
        ran = await tools.run(("nft", "--version"), NFT_S)
    except (DefiniteFailure, IndefiniteFailure):
        return ""
    found = re.search(r"v(\d[\w.]*)", ran.output)
    return found[1] if found else ""
