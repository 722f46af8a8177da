"""Answers how much a coming resync would look at: by the list of what the peer lacks, and a look at the files.

The look is slow, in a thread, with a rest after some names, and ends after a while with what it has come to by then.
Nothing relies on the numbers.
"""

from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import islice
from typing import Final

from manager.model.control import Diff, DiffReport, Scope
from replicator.copy_ports import Background, Loop
from replicator.core.dirty import Dirty
from replicator.disk.lacked import Lacked, lacked
from replicator.primary import Primary

LONGEST_S: Final = 10.0
_AT_ONCE: Final = 64
_REST_S: Final = 0.005


def begin_diff(loop: Loop, primary: Primary, command: Diff, done: Callable[[DiffReport], None]) -> None:
    """``done`` is called once, never before this has returned."""
    dirty = primary.keeper.tracker.missing()
    roots = [volume.root_fd for volume in primary.volumes]
    Diffing(loop, primary.background, command, dirty, lacked(roots, dirty), bool(primary.completions.holders), done)


class Diffing:
    """One answer."""

    def __init__(
        self,
        loop: Loop,
        background: Background,
        command: Diff,
        dirty: Dirty,
        steps: Iterator[Lacked],
        in_sync: bool,
        done: Callable[[DiffReport], None],
    ) -> None:
        """``steps`` are of the files that ``dirty`` names; ``in_sync``: the peer has everything as it is."""
        self._loop = loop
        self._background = background
        self._command = command
        self._dirty = dirty
        self._steps = steps
        self._in_sync = in_sync
        self._done = done
        self._until = loop.time() + LONGEST_S
        self._found = Lacked()
        self._go_on()

    def _go_on(self) -> None:
        self._background.run(partial(_some, self._steps), self._seen, self._failed)

    def _seen(self, steps: list[Lacked]) -> None:
        for step in steps:
            self._found += step
        if len(steps) < _AT_ONCE:
            self._end(whole=True)
        elif self._loop.time() >= self._until:
            self._end(whole=False)
        else:
            self._loop.call_later(_REST_S, self._go_on)

    def _failed(self, _error: OSError) -> None:
        """A directory of the module cannot be looked at, and with it none below."""
        self._end(whole=False)

    def _end(self, whole: bool) -> None:
        if isinstance(self._steps, Generator):
            self._steps.close()
        dirty, found = self._dirty, self._found
        self._done(
            DiffReport(
                request_id=self._command.request_id,
                scope=Scope.EVERYTHING if dirty.everything else Scope.CHANGES,
                in_sync=self._in_sync,
                whole=whole,
                all_names=dirty.all_names,
                directories=len(dirty.names),
                entries=found.entries,
                inodes=len(dirty.attributes),
                files=found.files,
                bytes=found.bytes,
                new_files=found.new_files,
                new_bytes=found.new_bytes,
                unfound=found.unfound,
            )
        )


def _some(steps: Iterator[Lacked]) -> list[Lacked]:
    return list(islice(steps, _AT_ONCE))
