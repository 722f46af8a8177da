"""Carries out what one module's core wants of its virtual addresses, and renews their lives while it serves (S7)."""

from collections.abc import Callable

import structlog

from agent.adapters.addresses import VirtualAddresses
from agent.adapters.neighbours import AddressInUse
from agent.core import events
from agent.runtime.tasks import OnFatal, Tasks
from manager.model.errors import MirrorfarmError

_ADD, _RENEW, _DROP = "add", "renew", "drop"


class AddressHand:
    """One module's addresses."""

    def __init__(
        self,
        module: str,
        addresses: VirtualAddresses,
        give: Callable[[events.AddressesAdded | events.AddressesFailed | events.AddressesDropped], None],
        deadline_ns: Callable[[], int],
        on_fatal: OnFatal,
        on_missing: Callable[[], None] = lambda: None,
    ) -> None:
        """``deadline_ns``: until when this node may serve; ``on_missing``: called when :attr:`are_missing` changes."""
        self._addresses = addresses
        self._give = give
        self._deadline_ns = deadline_ns
        self._tasks = Tasks(on_fatal)
        self._held = False
        self._on_missing = on_missing
        self.are_missing = False
        """One of them has gone, as with its link, and the last renewal could not add it."""
        self._log = structlog.get_logger().bind(module=module)

    def add(self, *, probed: bool = False) -> None:
        """Probe (unless ``probed``) and add them; answered by AddressesAdded or AddressesFailed."""
        self._tasks.start(_ADD, self._add(probed))

    def renew(self) -> None:
        """This node may serve for longer: so do the addresses live longer, while they are held."""
        if self._held and not self._tasks.running(_RENEW):
            self._tasks.start(_RENEW, self._renew())

    def drop(self) -> None:
        """Remove them; answered by AddressesDropped."""
        self._held = self.are_missing = False
        self._tasks.start(_DROP, self._drop_and_say())

    async def kill(self) -> None:
        """Remove them; answers nothing."""
        self._held = self.are_missing = False
        await self._tasks.cancel()
        self._held = False  # As after :meth:`drop`.
        await self._drop()

    async def close(self) -> None:
        """Stop renewing, and leave them as they are: their lives end by themselves."""
        self._held = False
        await self._tasks.cancel()

    async def _add(self, probed: bool) -> None:
        try:
            if not probed:
                await self._addresses.probe()
            # The lease may have been renewed while it was asked: on a busy machine that takes most of a short one.
            await self._addresses.add(self._deadline_ns(), probed=True)
        except AddressInUse as found:
            self._log.error("address.taken", error=str(found))
            self._give(events.AddressesFailed(True, str(found)))
        except MirrorfarmError as failure:
            self._log.error("address.refused", error=str(failure))
            self._give(events.AddressesFailed(False, str(failure)))
        else:
            self._held = True
            self._log.info("address.added", addresses=self._addresses.names)
            self._give(events.AddressesAdded())
            self.renew()

    async def _renew(self) -> None:
        """Again and again while the deadline moves on meanwhile."""
        done_ns = 0
        while self._held and done_ns != self._deadline_ns():
            done_ns = self._deadline_ns()
            try:
                again = await self._addresses.renew(done_ns)
            except MirrorfarmError as failure:
                self._log.warning("address.unrenewed", error=str(failure))
                await self._look()
                return
            if again:
                self._log.warning("address.restored", addresses=again)
            self._tell_missing(are_missing=False)

    async def _look(self) -> None:
        """Whether those that were not renewed are there: their lives may not have ended yet."""
        try:
            missing = await self._addresses.missing()
        except MirrorfarmError as failure:
            self._log.warning("address.unknown", error=str(failure))
        else:
            self._tell_missing(are_missing=bool(missing) and self._held)

    def _tell_missing(self, *, are_missing: bool) -> None:
        if are_missing is not self.are_missing:
            self.are_missing = are_missing
            self._on_missing()

    async def _drop_and_say(self) -> None:
        await self._tasks.cancel(_ADD, _RENEW)
        self._held = False  # It may have been added at the moment when it was to be dropped.
        await self._drop()
        self._give(events.AddressesDropped())

    async def _drop(self) -> None:
        try:
            reset = await self._addresses.drop()
        except MirrorfarmError as failure:
            # The kernel ends them by itself, at the lease's deadline at the latest.
            self._log.error("address.left", error=str(failure))
        else:
            self._log.info("address.removed", connections_reset=reset)
