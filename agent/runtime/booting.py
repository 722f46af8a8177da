"""Whether a module starts with its agent: what its boot switch makes of what was wanted of it last.

It is settled once for each module that is there when an agent begins, and stands in etcd before anything is started.
"off" counts at each start of the agent. "on" counts at the machine's start alone: an agent that is exchanged, or
started again, must not start what an operator has stopped meanwhile. Which start of the machine that was is noted in
the run directory, with the modules that are not settled yet; one that comes later was not there when it started.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import structlog

from agent.runtime.building import Surroundings
from manager.model.codec import DecodeError, decode, encode
from manager.model.errors import MirrorfarmError
from manager.model.reasons import Reason
from manager.model.records import BOOT, STOPPED_AT, DesiredRecord
from manager.model.states import Run, Setting
from manager.note_file import read_note, write_note
from manager.store.api import ModRevisionIs, Put, Txn

SEE_S = 3.0
"""How long the view may take to show what was written."""


@dataclass(frozen=True, slots=True)
class BootNote:
    """The machine's start that an agent has seen."""

    boot_id: str
    unsettled: tuple[str, ...]


def as_begun(desired: DesiredRecord, *, with_machine: bool) -> DesiredRecord | None:
    """What is wanted of a module once its agent has begun; ``None``: what was wanted before.

    ``with_machine``: the agent began because the machine did.
    """
    if desired.boot is Setting.OFF and desired.run is Run.STARTED:
        return DesiredRecord(Run.STOPPED, {**desired.switches, STOPPED_AT: BOOT})
    if desired.boot is Setting.ON and desired.run is Run.STOPPED and with_machine:
        return DesiredRecord(Run.STARTED, {s: v for s, v in desired.switches.items() if s != STOPPED_AT})
    return None


class Booting:
    """Of all modules that were there when this agent began."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._unsettled: set[str] = set()
        self._with_machine: set[str] = set()
        """Those that were there when the machine started, and have not been settled since."""
        self._log = structlog.get_logger()

    def begin(self, modules: Iterable[str]) -> None:
        """These are there."""
        self._unsettled = set(modules)
        note = self._read()
        if note is not None and note.boot_id == self._around.boot_id:
            self._with_machine = self._unsettled & {*note.unsettled}
        else:
            self._with_machine = set(self._unsettled)
            self._write()

    def settle(self, module: str) -> None:
        """What is wanted of it stands, by whichever way."""
        self._unsettled.discard(module)
        if module in self._with_machine:
            self._with_machine.discard(module)
            self._write()

    async def may_begin(self, module: str) -> bool:
        """Whether what is wanted of it stands; where the switch changes that, it is written first of all."""
        if module not in self._unsettled:
            return True
        node, view = self._around.config.node, self._around.view
        desired, key = view.keys.desired(module, node), view.cluster.module(module).desired(node)
        wanted = None if desired is None else as_begun(desired, with_machine=module in self._with_machine)
        kv = view.kvs.get(key)
        if kv is not None and desired is None:
            return False  # It is not understood: nothing is started, and the switch is not known.
        if wanted is not None and kv is not None:
            change = Txn((ModRevisionIs(key, kv.mod_revision),), (Put(key, encode(wanted)),))
            try:
                settled = await self._around.store.commit(change)
            except MirrorfarmError as failure:
                self._log.warning("module.unsettled", module=module, error=str(failure))
                return False
            await view.reach(settled.revision, SEE_S)
            if not settled.succeeded:
                return False  # An operator was at it: looked at anew.
            if wanted.run is Run.STARTED:
                self._log.info("module.released", module=module, boot=Setting.ON)
            else:
                self._log.info("module.held", module=module, reason=Reason.BOOT_OFF)
        self.settle(module)
        return True

    def _read(self) -> BootNote | None:
        """``None``: there is none, or it is not whole."""
        try:
            return decode(BootNote, read_note(self._around.places.boot_file))
        except (OSError, DecodeError):
            return None

    def _write(self) -> None:
        """Without it the next agent takes its own start for the machine's, and is told so in the log."""
        path = self._around.places.boot_file
        try:
            write_note(path, encode(BootNote(self._around.boot_id, tuple(sorted(self._with_machine)))) + "\n")
        except OSError as error:
            self._log.error("boot.unnoted", path=path, error=str(error))
