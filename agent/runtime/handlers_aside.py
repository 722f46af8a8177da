"""The calls about what this node has set aside (S12): they are checked here, and carried out by its replicator."""

import contextlib
import os
import secrets

from agent.adapters.calls import Caller, Report
from agent.runtime.handling import Seat
from agent.runtime.kind_of_module import refuse_farm
from manager.model import asides
from manager.model.api import UNCHANGED, ApiError, ErrorKind
from manager.model.api_asides import (
    AsideClearArguments,
    AsideGiveUpArguments,
    AsideListArguments,
    AsideRestoreArguments,
    AsideShowArguments,
)
from manager.model.asides import MAX_ITEMS, AsideReport

MOST_PATH_BYTES = 64 << 10
"""Two of them, with all their escapes, are a line that a replicator takes; it ends the connection by a longer one."""


class AsideHandlers:
    """Asks this node's replicator of the module."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat

    async def list_all(self, arguments: AsideListArguments, caller: Caller, report: Report) -> AsideReport:
        """What is set aside here."""
        return await self._ask(arguments.module, asides.AsideList(_number()))

    async def show(self, arguments: AsideShowArguments, caller: Caller, report: Report) -> AsideReport:
        """What is in one of them."""
        limit, skip = max(0, min(arguments.limit, MAX_ITEMS)), max(0, arguments.skip)
        path = _told(arguments.path)
        return await self._ask(arguments.module, asides.AsideShow(_number(), arguments.number, path, skip, limit))

    async def restore(self, arguments: AsideRestoreArguments, caller: Caller, report: Report) -> AsideReport:
        """Copy something out of one of them."""
        target = _told(arguments.target)
        if not os.path.isabs(target):
            raise ApiError(ErrorKind.BAD_REQUEST, f"{target}: not an absolute path.", meaning="Nothing was restored.")
        command = asides.AsideRestore(_number(), arguments.number, _told(arguments.path), target)
        return await self._ask(arguments.module, command)

    async def clear(self, arguments: AsideClearArguments, caller: Caller, report: Report) -> AsideReport:
        """Delete one of them for good."""
        return await self._ask(arguments.module, asides.AsideClear(_number(), arguments.number))

    async def give_up(self, arguments: AsideGiveUpArguments, caller: Caller, report: Report) -> AsideReport:
        """Keep nothing of what is yet to be set aside here."""
        if arguments.node != self._seat.node:
            raise ApiError(
                ErrorKind.REFUSED,
                f"This is node {self._seat.node}: the changes of {arguments.node} can be given up there alone.",
                meaning=UNCHANGED,
                remedy=f"Run it on {arguments.node}.",
            )
        return await self._ask(arguments.module, asides.AsideGiveUp(_number()))

    async def _ask(self, module: str, command: asides.Command) -> AsideReport:
        refuse_farm(self._seat, module, "aside")
        return await self._seat.modules.aside(module, command)


def _number() -> str:
    return secrets.token_hex(8)


def _told(path: str) -> str:
    """``path`` in the only way in which it can be told to a replicator, whose lines are UTF-8.

    Raises:
        ApiError: it cannot be the name of anything.
    """
    with contextlib.suppress(UnicodeEncodeError):
        plain = asides.path_bytes(path)
        if len(plain) > MOST_PATH_BYTES:
            raise ApiError(ErrorKind.BAD_REQUEST, f"A path has more than {MOST_PATH_BYTES} bytes.", meaning=UNCHANGED)
        if b"\0" not in plain:
            return asides.path_text(plain)
    raise ApiError(ErrorKind.BAD_REQUEST, "A path has characters that no path has.")
