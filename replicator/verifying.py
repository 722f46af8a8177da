"""Compares a complete peer's copy with this one while the application runs, and says what differs: the primary's side.

Directories are listed, and blocks read and digested, at quiet moments, when both copies are to be the same: nothing
is under way then. What is read is brought into the page cache before, so that such a moment is short: from the disk,
as far as the kernel lets go of what it has cached. The peer answers from what is on its disk by name
(``replicator.disk.differences``). It goes in a fixed order, so that one which was cut short says where another may go
on (``replicator.verify_place``). What is moved meanwhile from a directory that was not visited yet to one that was is
not compared. It reads no faster than its bandwidth, and makes the application wait as seldom as a resync does
(``replicator.pacing``). Nothing is repaired here: what differs is put as what a join has to bring
(``replicator.differing``), for whoever wants that.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final, Protocol

from manager.model.control import Difference, Progress, Verify, VerifyReport
from manager.model.errors import MirrorfarmError, PeerProtocolError
from replicator.copy_ports import Background, Host, Loop, Order, Stream
from replicator.core.dirty import Dirty
from replicator.core.operations import Bind
from replicator.differing import Differing
from replicator.disk.listing import list_directory
from replicator.disk.survey import Segment, forget_cached, next_segment
from replicator.disk.volume import Volume
from replicator.pacing import Bandwidth
from replicator.throttle import Clock, Throttle
from replicator.verify_place import Place, Rest, decode_place, encode_place
from replicator.verify_walk import Directory, File, Walk
from replicator.wire.copying import (
    BLOCK,
    MAX_BLOCKS,
    Attributes,
    CheckState,
    VerifyCompare,
    What,
    decode_checked,
    decode_found,
    encode_entry,
    encode_listing,
    encode_verify_compare,
)
from replicator.wire.frames import FrameKind

_SLICE_S: Final = 0.004
"""How long a quiet moment is used."""
_BATCH: Final = BLOCK * MAX_BLOCKS
"""Bytes of files that are read at one quiet moment."""
_BATCH_FILES: Final = 64
_UNANSWERED: Final = 64
_PROGRESS_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Question:
    """What a frame asked: a file's span, or a part of a listing."""

    volume: int
    way: tuple[Bind, ...]
    """To the file, or the directory."""
    entries: Mapping[bytes, Attributes]
    """What is in the directory, where that will be asked for."""
    place: Place
    file: File | None = None
    segment: Segment | None = None

    @property
    def path(self) -> tuple[bytes, ...]:
        """The names to it."""
        return tuple(step.name for step in self.way)


class VerifiedOrder(Order, Protocol):
    """The primary."""

    @property
    def changes(self) -> int:
        """Differs when something was changed here, or synced."""
        ...


class Verifier:
    """One verification of one peer."""

    def __init__(
        self,
        loop: Loop,
        order: VerifiedOrder,
        stream: Stream,
        volumes: Sequence[Volume],
        background: Background,
        host: Host,
        command: Verify,
        bandwidth: Bandwidth,
        minute: Clock,
        done: Callable[[VerifyReport], None],
        progress: Callable[[Progress], None],
        repair: Callable[[Dirty], None],
    ) -> None:
        """``done`` is called once, with the outcome; ``progress`` each second.

        ``bandwidth`` is of the content that is read to be compared. ``repair`` is called after ``done`` when that is
        wanted and something differs: the peer is to be given up, to join and get just that.
        """
        self._loop = loop
        self._order = order
        self._stream = stream
        self._volumes = tuple(volumes)
        self._background = background
        self._host = host
        self._command = command
        self._done = done
        self._progress = progress
        self._repair = repair
        self._differing = Differing()
        self._paths = [volume.path for volume in self._volumes]
        self._walk = Walk(self._volumes, Rest(decode_place(command.place, self._paths)), host.release)
        self._throttle = Throttle(loop, bandwidth, minute, self._go_on)
        self._moment_began = 0.0
        self._questions: dict[int, _Question] = {}
        self._differences: list[Difference] = []
        self._total = 0
        self._entries = 0
        self._bytes = 0
        self._working = False
        self._stopping = ""
        """Why nothing more is asked; empty: it goes on."""
        self._stopped_in_order = False
        self._over = False
        self._began = loop.time()

    def start(self) -> None:
        """The answers of the peer come to :meth:`answered` from now on."""
        if self._over:
            return
        self._walk.begin()
        self._loop.call_later(_PROGRESS_S, self._tick)
        self._go_on()

    def lost(self) -> None:
        """The stream is gone."""
        self.end("the peer was lost")

    def stop(self, reason: str) -> None:
        """As :meth:`end`, in order: nothing more is asked, and what was asked is answered first."""
        if not self._stopping:
            self._stopped_in_order = True
            self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        """Something cannot be read: as :meth:`stop`, and nothing is repaired."""
        self._stopping = self._stopping or reason
        self._loop.call_soon(self._go_on)

    def end(self, error: str) -> None:
        """Reports what was found, with ``error`` unless it was carried through; nothing is sent any more."""
        if self._over:
            return
        self._over = True
        self._loop.call_soon(self._walk.close)
        may_repair = self._command.repair and (not error or self._stopped_in_order)
        repairing = may_repair and bool(self._differing.dirty)
        self._done(
            VerifyReport(
                request_id=self._command.request_id,
                error=error,
                entries=self._entries,
                bytes_compared=self._bytes,
                differences_total=self._total,
                differences=tuple(self._differences),
                repairing=repairing,
                place=self._place_text() if error else "",
            )
        )
        if repairing:
            self._repair(self._differing.dirty)

    def _place_text(self) -> str:
        """Of the first thing that is not answered for."""
        place = next((question.place for question in self._questions.values()), self._walk.place)
        return "" if place is None else encode_place(place, self._paths)

    # Going on

    def _go_on(self) -> None:
        if self._over or self._working:
            return
        if self._stopping:
            if not self._questions:
                self.end(self._stopping)
            return
        if len(self._questions) >= _UNANSWERED:
            return
        if self._walk.is_over:
            if not self._questions:
                self.end("")
        elif self._may_work():
            self._working = True
            if self._walk.files:
                self._warm()
            else:
                self._at_quiet(self._list_some)

    def _may_work(self) -> bool:
        self._throttle.courtesy.operations = self._order.changes
        return self._throttle.may_have_moment() and self._throttle.take(0)

    def _at_quiet(self, moment: Callable[[], Iterator[None] | None]) -> None:
        self._moment_began = self._loop.time()
        self._order.when_quiet(moment)

    def _worked(self) -> None:
        """The moment is over."""
        self._throttle.moment_ended(self._moment_began)
        self._working = False
        self._loop.call_soon(self._go_on)

    def _list_some(self) -> Iterator[None]:
        """At a quiet moment: the next directories, for a while."""
        until = self._loop.time() + _SLICE_S
        while self._walk.directories and not self._over and not self._stopping:
            directory = self._walk.take()
            try:
                if not directory.inode.unlinked:
                    yield from self._list(self._volumes[directory.volume], directory)
                self._walk.listed()
            except (OSError, MirrorfarmError, ValueError) as error:
                self._give_up(f"a directory cannot be listed: {error}")
            finally:
                self._host.release(directory.volume, directory.inode)
            if self._walk.files or self._loop.time() > until:
                break
        self._worked()

    def _list(self, volume: Volume, directory: Directory) -> Iterator[None]:
        unsettled = partial(self._host.is_touched, volume.index)
        surveyed = yield from list_directory(volume, directory.inode, unsettled)
        if self._over:  # it was ended meanwhile
            for inode in surveyed.held:
                self._host.release(volume.index, inode)
            return
        if not self._walk.add(directory, surveyed):
            return
        way = tuple(volume.ancestry(directory.inode))
        listed = {entry.name: entry.attributes for entry in surveyed.entries} if self._command.repair else {}
        self._entries += len(surveyed.entries)
        entries = [encode_entry(entry) for entry in surveyed.entries]
        for body in encode_listing(volume.index, surveyed.path, surveyed.own, entries):
            sequence = self._stream.send(FrameKind.VERIFY_LISTING, body)
            self._questions[sequence] = _Question(volume.index, way, listed, Place(volume.index, directory.path))

    def _warm(self) -> None:
        """Has what is compared next read from the disk in a thread, for it to be in the page cache."""
        count = 0
        spans: list[tuple[int, int]] = []
        try:
            for file in islice(self._walk.files, _BATCH_FILES):
                count += 1
                if not file.inode.unlinked:
                    spans.append((self._volumes[file.volume].duplicate(file.inode), file.offset))
                if file.end - file.offset > BLOCK or count * BLOCK >= _BATCH:
                    break
        except OSError as error:
            self._close(spans)
            self._unread(error)
            return

        def work() -> None:
            try:
                for descriptor, offset in spans:
                    forget_cached(descriptor, offset, _BATCH)
                    next_segment(descriptor, offset, offset + _BATCH)
            finally:
                self._close(spans)

        def warmed(_none: None) -> None:
            if not self._over:
                self._at_quiet(lambda: self._compare(count))

        self._background.run(work, warmed, self._unread)

    def _close(self, spans: list[tuple[int, int]]) -> None:
        for descriptor, _ in spans:
            os.close(descriptor)

    def _unread(self, error: Exception) -> None:
        self._working = False
        self._give_up(f"a file cannot be read: {error}")

    def _compare(self, count: int) -> None:
        """At a quiet moment: a span of each of the next files."""
        for _ in range(count):
            if self._over or self._stopping or not self._walk.files:
                break
            file = self._walk.files[0]
            try:
                if self._ask(file):
                    break
            except (OSError, MirrorfarmError, ValueError) as error:
                self._give_up(f"a file cannot be read: {error}")
                break
            self._walk.files.popleft()
            self._host.release(file.volume, file.inode)
        self._worked()

    def _ask(self, file: File) -> bool:
        """Whether something is left of it. Raises OSError, DivergenceError, ValueError."""
        if file.inode.unlinked:
            return False
        volume = self._volumes[file.volume]
        segment = next_segment(volume.data_fd(file.inode, False), file.offset, file.end)
        if segment is None:
            return False
        question = _Question(file.volume, tuple(volume.ancestry(file.inode)), {}, file.place, file, segment)
        compare = VerifyCompare(file.volume, question.path, segment.offset, segment.length, segment.digests)
        self._questions[self._stream.send(FrameKind.VERIFY_COMPARE, encode_verify_compare(compare))] = question
        if segment.digests:
            self._throttle.spend(segment.length)
        file.offset = segment.offset + segment.length
        return file.offset < file.end

    # Answers

    def answered(self, sequence: int, body: memoryview) -> None:
        """A VERIFY_ANSWER. Raises PeerProtocolError."""
        question = self._questions.pop(sequence, None)
        if question is None:
            raise PeerProtocolError(f"an answer to frame {sequence}, which asked nothing")
        if question.file is None or question.segment is None:
            self._found(question, body)
        else:
            self._checked(question, question.file, question.segment, body)
        self._go_on()

    def _found(self, question: _Question, body: memoryview) -> None:
        total, found = decode_found(body)
        # That a directory is missing is said once, by its parent's listing.
        told = [each for each in found if each.name or each.what is not What.MISSING]
        self._total += total - (len(found) - len(told))
        if self._command.repair:
            self._differing.listed(question.volume, question.way, question.entries, total, found)
        for each in told:
            path = (*question.path, each.name) if each.name else question.path
            self._note(question.volume, path, each.what, each.here, each.there)

    def _checked(self, question: _Question, file: File, segment: Segment, body: memoryview) -> None:
        state, bitmap = decode_checked(body, max(1, len(segment.digests)))
        self._bytes += segment.length
        differs = state is not CheckState.COMPARED or bool(bitmap)
        self._differing.content(question.volume, question.way, segment.offset, segment.length, differs=differs)
        if state is not CheckState.COMPARED or not bitmap or file.different:
            return  # that it is not there is told by its directory's listing
        file.different = True
        self._total += 1
        block = (bitmap & -bitmap).bit_length() - 1
        here = f"xxh3-128 {segment.digests[block].hex()}" if segment.digests else "a hole"
        where = f"other bytes from {segment.offset + block * BLOCK} on"
        self._note(question.volume, question.path, What.CONTENT, here, where)

    def _note(self, volume: int, path: tuple[bytes, ...], what: What, here: str, there: str) -> None:
        if len(self._differences) < self._command.limit:
            whole = b"/".join((os.fsencode(self._volumes[volume].path), *path))
            text = whole.decode("utf-8", "backslashreplace")
            self._differences.append(Difference(text, what.name.lower(), here, there))

    # Progress

    def _tick(self) -> None:
        if self._over:
            return
        self._progress(
            Progress(
                work="verify",
                peer=self._stream.node,
                entries_done=self._entries,
                bytes_done=self._bytes,
                bytes_sent=0,
                bytes_total=0 if self._walk.directories else self._walk.bytes_found,
                elapsed_ms=int((self._loop.time() - self._began) * 1000),
                place=self._place_text(),
                differences=self._total,
            )
        )
        self._loop.call_later(_PROGRESS_S, self._tick)
