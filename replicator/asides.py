"""What this node kept of its own before its copy became another node's (S12), as its agent sees it.

It has the mark put on the disks before anything else, makes the receiver of each stream that comes while the mark is
there, says for how long nothing is tried again after there was no room, and does what an operator asks. How something
is kept is ``replicator.disk.keeping``'s matter, how it is found out what differs the primary's.
"""

import datetime
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from manager.model import asides
from manager.model.asides import Aside, AsideItem, AsideReport, path_bytes, path_text
from manager.model.control import Event
from manager.model.replicator_spec import ReplicatorSpec
from replicator.aside_receiver import Answering, AsideReceiver, Refusal
from replicator.copy_ports import Background, Loop
from replicator.disk.aside_restoring import Path, has_path, restore
from replicator.disk.aside_shelf import clear_aside, delete_aside, item_of, last_number, read_asides, read_lines
from replicator.disk.divergence import Divergence, changing, is_diverged, mark_diverged, read_divergence
from replicator.disk.keeping import Occasion, end_divergence, merged
from replicator.disk.volume import Volume
from replicator.serial import Serial
from replicator.vouching import Vouching

_LEAST_PAUSE_S: Final = 10.0
_PAUSE: Final = 9
"""After an attempt that was in vain: how long none is made, in lengths of that attempt."""
LONGEST_PAUSE_S: Final = 600.0
_MOST_BYTES: Final = 256 << 10
"""Of the paths in one report."""


class _NotDone(Exception):
    """Why a command cannot be carried out."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What a command is answered with."""

    items: tuple[AsideItem, ...] = ()
    total: int = 0


class Asides:
    """Of one module on this node. On the loop, but for :meth:`prepare`."""

    def __init__(
        self,
        loop: Loop,
        volumes: Sequence[Volume],
        spec: ReplicatorSpec,
        background: Background,
        vouching: Vouching,
        event: Callable[[Event], None],
        end_stream: Callable[[str], None],
    ) -> None:
        """``end_stream`` ends a stream on which something is being set aside, with the reason."""
        self.diverged = False
        """Whether something is to be set aside before this copy is changed: as of the last :meth:`prepare`."""
        self._loop = loop
        self._volumes = tuple(volumes)
        self._spec = spec
        self._background = background
        self._vouching = vouching
        self._event = event
        self._end_stream = end_stream
        self._serial = Serial(background)
        self._not_before_s = 0.0
        self._giving_up = False
        """What was kept until now is being deleted, which may take long."""
        self._restoring: list[int] = []
        """The asides that something is being copied from."""
        self._clearing: list[int] = []
        """Those that are being deleted: what is copied from one meanwhile would be a part of it."""

    # Before this node follows

    def prepare(self, diverged: bool) -> None:
        """If it is told so now, or was before, the disks say so when this returns, all of them. Blocks. OSError."""
        with changing:
            self._prepare(diverged)

    def _prepare(self, diverged: bool) -> None:
        if not diverged and not any(is_diverged(volume.private_fd) for volume in self._volumes):
            self.diverged = False
            return
        self.diverged = True
        known = self._known()
        if known is None:
            number = 1 + max(last_number(volume.private_fd) for volume in self._volumes)
            known = Divergence(self._vouching.highest_epoch(), number)
        for volume in self._volumes:
            mark_diverged(volume.private_fd, known)

    def _known(self) -> Divergence | None:
        return next(filter(None, (read_divergence(volume.private_fd) for volume in self._volumes)), None)

    # Streams

    def why_not(self) -> str:
        """Why no stream is taken for now; empty: one is. The same words each time, for the log to have them once."""
        if self._giving_up:
            return "what differs is being given up"
        if not self.diverged or self._loop.time() >= self._not_before_s:
            return ""
        return "what differs could not be set aside; it is tried again later"

    def receive(self, link: Answering, primary: str, epoch: int, refused: Callable[[str], None]) -> AsideReceiver:
        """For a stream that was told of it. ``refused`` is called with a reason when nothing can be kept of it."""
        began_s = self._loop.time()

        def kept(aside: Aside) -> None:
            self.diverged = False
            self._event(asides.SetAside(primary, aside.number, aside.items, aside.bytes))

        def refuse(refusal: Refusal) -> None:
            took_s = self._loop.time() - began_s
            self._not_before_s = self._loop.time() + min(LONGEST_PAUSE_S, max(_LEAST_PAUSE_S, _PAUSE * took_s))
            self._event(
                asides.NotSetAside(primary, refusal.full, refusal.detail, refusal.needed_bytes, refusal.room_bytes)
            )
            refused(f"what differs cannot be set aside: {refusal.detail}")

        occasion = Occasion(_now(), primary, epoch)
        limit = self._spec.set_aside_bytes
        return AsideReceiver(self._volumes, link, self._serial, limit, occasion, kept, refuse)

    # Commands

    def carry_out(self, command: asides.Command) -> None:
        """Answers it by an AsideReport, later."""
        match command:
            case asides.AsideList():
                self._do(command.request_id, self._background.run, _Found)
            case asides.AsideShow():
                self._do(command.request_id, self._background.run, lambda: self._show(command))
            case asides.AsideRestore():
                self._restore(command)
            case asides.AsideClear():
                self._clear(command)
            case asides.AsideGiveUp():
                self._give_up(command)

    def _do(
        self,
        request_id: str,
        run: Callable[[Callable[[], AsideReport], Callable[[AsideReport], None], Callable[[OSError], None]], None],
        work: Callable[[], _Found],
        done: Callable[[str], None] = lambda _error: None,
    ) -> None:
        """``done`` is called with the error, on the loop, before it is reported."""

        def attempt() -> AsideReport:
            found, error = _Found(), ""
            try:
                found = work()
            except (_NotDone, OSError) as reason:
                error = str(reason)
            return self._report(request_id, error, found)

        def answer(report: AsideReport) -> None:
            done(report.error)
            self._event(report)

        def failed(error: OSError) -> None:
            answer(AsideReport(request_id, str(error), self.diverged, self._spec.set_aside_bytes, ()))

        run(attempt, answer, failed)

    def _report(self, request_id: str, error: str, found: _Found) -> AsideReport:
        diverged = any(is_diverged(volume.private_fd) for volume in self._volumes)
        limit = self._spec.set_aside_bytes
        return AsideReport(request_id, error, diverged, limit, tuple(self._whole()), found.items, found.total)

    # In a thread

    def _whole(self) -> list[Aside]:
        """Those that are whole in every directory."""
        known = self._known() if any(is_diverged(volume.private_fd) for volume in self._volumes) else None
        by_number: dict[int, list[Aside]] = {}
        for volume in self._volumes:
            for aside in read_asides(volume.private_fd):
                if known is None or aside.number != known.number:
                    by_number.setdefault(aside.number, []).append(aside)
        return [merged(by_number[number]) for number in sorted(by_number)]

    def _check(self, number: int) -> None:
        if number not in (aside.number for aside in self._whole()):
            numbers = ", ".join(str(aside.number) for aside in self._whole())
            raise _NotDone(f"there is no aside {number}; there is {numbers or 'none'}")

    def _show(self, command: asides.AsideShow) -> _Found:
        self._check(command.number)
        if command.path:
            self._place(_plain(command.path))
        most = max(0, min(command.limit, asides.MAX_ITEMS))
        wanted = path_text(_plain(command.path)).rstrip("/")
        items: list[AsideItem] = []
        length = total = 0
        for root, line in self._lines(command.number):
            shown = total >= command.skip and len(items) < most and length < _MOST_BYTES
            if not wanted and not shown:
                total += 1  # Of many, most are only counted: to read a line takes longer by far.
                continue
            item = _item(root, line)
            if wanted and item.path != wanted and not item.path.startswith(f"{wanted}/"):
                continue
            total += 1
            if shown:
                items.append(item)
                length += len(item.path) + len(item.detail)
        return _Found(tuple(items), total)

    def _lines(self, number: int) -> Iterator[tuple[str, bytes]]:
        """With the directory that each is of."""
        for volume in self._volumes:
            root = path_text(os.fsencode(volume.path))
            try:
                for line in read_lines(volume.private_fd, number):
                    yield root, line
            except FileNotFoundError:
                continue  # nothing of this directory was kept

    def _cleared(self, number: int, in_use: Sequence[int]) -> _Found:
        self._check(number)
        if number in in_use:
            raise _NotDone(f"aside {number} is being restored from")
        for volume in self._volumes:
            clear_aside(volume.private_fd, number)
        return _Found()

    def _restored(self, number: int, path: Path, volume: Volume, target: str) -> _Found:
        self._check(number)
        if not has_path(volume.private_fd, number, path):
            raise _NotDone(f"aside {number} has nothing of that path that could be restored")
        try:
            return _Found(total=restore(volume.private_fd, number, path, target))
        except OSError as error:  # it names what was being made, under a name that nobody has given
            raise _NotDone(f"{_text(target)} could not be made: {os.strerror(error.errno or errno.EIO)}") from None

    def _end(self) -> _Found:
        for volume in self._volumes:
            number = _number(volume)
            if number:
                delete_aside(volume.private_fd, number)
        end_divergence(self._volumes)
        return _Found()

    # On the loop

    def _clear(self, command: asides.AsideClear) -> None:
        number, in_use = command.number, tuple(self._restoring)
        self._clearing.append(number)
        self._not_before_s = 0.0
        work = partial(self._cleared, number, in_use)
        self._do(command.request_id, self._serial.run, work, lambda _error: self._clearing.remove(number))

    def _restore(self, command: asides.AsideRestore) -> None:
        number, is_going = command.number, command.number in self._clearing
        self._restoring.append(number)

        def work() -> _Found:
            if is_going:
                raise _NotDone(f"aside {number} is being cleared")
            volume, path = self._place(_plain(command.path))
            target = os.fsdecode(_plain(command.target))
            self._check_target(target)
            return self._restored(number, path, volume, target)

        self._do(command.request_id, self._background.run, work, lambda _error: self._restoring.remove(number))

    def _place(self, path: bytes) -> tuple[Volume, Path]:
        for volume in self._volumes:
            root = os.fsencode(volume.path).rstrip(b"/")
            if path == root or path.startswith(root + b"/"):
                names = tuple(name for name in path[len(root) :].split(b"/") if name)
                if not {b".", b".."}.isdisjoint(names):
                    break
                return volume, names
        raise _NotDone(f"{path_text(path)} is in none of the module's directories")

    def _check_target(self, target: str) -> None:
        """Raises _NotDone."""
        if not os.path.isabs(target) or os.path.basename(target) in ("", ".", ".."):
            raise _NotDone("the target has to be an absolute path")
        parent = os.path.realpath(os.path.dirname(target))
        for directory in self._spec.directories:
            real = os.path.join(os.path.realpath(os.path.dirname(directory)), os.path.basename(directory))
            if parent == real or parent.startswith(f"{real}/"):
                raise _NotDone(f"{_text(target)} is in the replicated {directory}: restore it elsewhere, and copy it")
        if not os.path.isdir(parent):
            raise _NotDone(f"{_text(parent)} is no directory")
        if os.path.lexists(target):
            raise _NotDone(f"{_text(target)} is there already")

    def _give_up(self, command: asides.AsideGiveUp) -> None:
        def work() -> _Found:
            if not any(is_diverged(volume.private_fd) for volume in self._volumes):
                raise _NotDone("nothing is to be set aside")
            return self._end()

        def done(error: str) -> None:
            self._giving_up = False
            if not error:
                self.diverged = False
                self._event(asides.SetAside("", 0, 0, 0))

        self._giving_up = True
        self._end_stream("what differs is given up")
        self._not_before_s = 0.0
        self._do(command.request_id, self._serial.run, work, done)


def _number(volume: Volume) -> int:
    """Of the aside that is not whole; 0: none is known."""
    try:
        divergence = read_divergence(volume.private_fd)
    except OSError:  # a damaged mark goes all the same
        return 0
    return divergence.number if divergence is not None else 0


def _plain(path: str) -> bytes:
    """The path that is written so. Raises _NotDone: no file has such a one."""
    plain = path_bytes(path)
    if b"\0" in plain:
        raise _NotDone(f"{path_text(plain)} is no path")
    return plain


def _text(path: str) -> str:
    return path_text(os.fsencode(path))


def _item(root: str, line: bytes) -> AsideItem:
    """What ``line`` of the list of directory ``root`` says, with its whole path. Raises OSError."""
    item = item_of(line)
    path = f"{root}/{item.path}".rstrip("/")
    return AsideItem(path, item.what, item.kept, item.size, item.bytes, item.detail)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
