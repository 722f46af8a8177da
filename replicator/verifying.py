"""Compares a complete peer's copy with this one while the application runs, and says what differs: the primary's side.

Directories are listed, and blocks read and digested, beside the application (``replicator.verify_listing``,
``replicator.verify_reading``): what is asked of the peer is true at that point of the stream, where both copies are to
be the same. Content is read from the disk, as far as the kernel lets go of what it has cached. The peer answers from
what is on its disk by name (``replicator.disk.differences``). It goes in a fixed order, so that one which was cut short
says where another may go on (``replicator.verify_place``). What is moved meanwhile from a directory that was not
visited yet to one that was is not compared. It reads no faster than its bandwidth, and rests while the application
works as a resync does (``replicator.pacing``). Nothing is repaired here: what differs is put as what a join has to
bring (``replicator.differing``), for whoever wants that.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from manager.model.control import Difference, Progress, Verify, VerifyReport
from manager.model.errors import MirrorfarmError, PeerProtocolError
from replicator.copy_ports import Background, Host, Loop, Order, Stream
from replicator.core.dirty import Dirty
from replicator.core.operations import Bind, Operation
from replicator.differing import Differing
from replicator.disk.listing import Surveyed
from replicator.disk.survey import Segment
from replicator.disk.volume import Volume
from replicator.estimating import Estimate
from replicator.pacing import Bandwidth
from replicator.steady import SteadyReader
from replicator.throttle import Clock, Throttle
from replicator.verify_listing import VerifyListing
from replicator.verify_place import Place, Rest, decode_place, encode_place
from replicator.verify_reading import Piece, ReadOrder, VerifyReading
from replicator.verify_walk import Directory, File, Walk
from replicator.wire.copying import BLOCK, Attributes, encode_entry, encode_listing
from replicator.wire.frames import FrameKind
from replicator.wire.verifying import (
    CheckState,
    VerifyCompare,
    What,
    decode_checked,
    decode_found,
    encode_verify_compare,
)

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
    piece: Piece | None = None

    @property
    def path(self) -> tuple[bytes, ...]:
        """The names to it."""
        return tuple(step.name for step in self.way)


class VerifiedOrder(Order, ReadOrder, Protocol):
    """The primary."""

    @property
    def changes(self) -> int:
        """Differs when something was changed here, or synced."""
        ...

    def watch(self, watcher: Callable[[Operation], None]) -> None:
        """Has ``watcher`` told of each operation that is about to be shipped."""
        ...

    def unwatch(self, watcher: Callable[[Operation], None]) -> None:
        """It is told of nothing more."""
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
        self._host = host
        self._command = command
        self._done = done
        self._progress = progress
        self._repair = repair
        self._differing = Differing()
        self._paths = [volume.path for volume in self._volumes]
        self._walk = Walk(self._volumes, Rest(decode_place(command.place, self._paths)), host.release)
        self._throttle = Throttle(loop, bandwidth, minute, self._go_on)
        self._reader = SteadyReader(loop, order, self._volumes, background)
        self._reading = VerifyReading(
            order, self._reader, self._volumes, self._throttle, self._ask, self._asked, self._unread
        )
        self._listing = VerifyListing(loop, order, host, self._throttle, self._listed, self._unlisted)
        self._directory: Directory | None = None
        """The one that is being listed, held."""
        self._estimate = Estimate(loop, background, self._volumes)
        self._questions: dict[int, _Question] = {}
        self._differences: list[Difference] = []
        self._total = 0
        self._entries = 0
        self._bytes = 0
        self._files_done = 0
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
        self._order.watch(self._note_operation)
        self._walk.begin()
        if not self._command.place:
            self._estimate.start()
        self._loop.call_later(_PROGRESS_S, self._tick)
        self._go_on()

    def lost(self) -> None:
        """The stream is gone."""
        self.end("the peer was lost")

    def stop(self, reason: str) -> None:
        """As :meth:`end`, in order: nothing more is asked, and what was asked is answered first.

        Where that was all, it was carried through.
        """
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
        self._order.unwatch(self._note_operation)
        self._reader.close()
        self._listing.close()
        self._estimate.close()
        self._loop.call_soon(self._release_all)
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

    def _release_all(self) -> None:
        self._walk.close()
        if self._directory is not None:
            self._host.release(self._directory.volume, self._directory.inode)
            self._directory = None

    # Going on

    def _note_operation(self, operation: Operation) -> None:
        self._reader.note(operation)
        self._listing.note(operation)

    def _go_on(self) -> None:
        if self._over:
            return
        self._throttle.courtesy.operations = self._order.changes
        if self._working:
            self._listing.go_on()
        elif self._stopping:
            if not self._questions:
                whole = self._stopped_in_order and self._walk.place is None
                self.end("" if whole else self._stopping)
        elif len(self._questions) >= _UNANSWERED:
            return
        elif self._walk.is_over:
            if not self._questions:
                self.end("")
        elif self._walk.files:
            self._working = self._reading.begin(self._walk.files)
        elif self._throttle.take(0):
            self._working = True
            self._list_next()

    def _worked(self) -> None:
        self._working = False
        self._loop.call_soon(self._go_on)

    # Directories

    def _list_next(self) -> None:
        directory = self._walk.take()
        if directory.inode.unlinked:
            self._host.release(directory.volume, directory.inode)
            self._walk.listed()
            self._worked()
            return
        self._directory = directory
        self._listing.begin(self._volumes[directory.volume], directory.inode)

    def _listed(self, surveyed: Surveyed) -> None:
        """The directory is so at this point of the stream."""
        directory, self._directory = self._directory, None
        assert directory is not None
        try:
            self._tell(self._volumes[directory.volume], directory, surveyed)
            self._walk.listed()
        except (OSError, MirrorfarmError, ValueError) as error:
            self._give_up(f"a directory cannot be listed: {error}")
        finally:
            self._host.release(directory.volume, directory.inode)
        self._worked()

    def _unlisted(self, error: Exception) -> None:
        directory, self._directory = self._directory, None
        assert directory is not None
        if directory.inode.unlinked:
            self._walk.listed()
        else:
            self._give_up(f"a directory cannot be listed: {error}")
        self._host.release(directory.volume, directory.inode)
        self._worked()

    def _tell(self, volume: Volume, directory: Directory, surveyed: Surveyed) -> None:
        if not self._walk.add(directory, surveyed):
            return
        way = tuple(volume.ancestry(directory.inode))
        listed = {entry.name: entry.attributes for entry in surveyed.entries} if self._command.repair else {}
        self._entries += len(surveyed.entries)
        entries = [encode_entry(entry) for entry in surveyed.entries]
        for body in encode_listing(volume.index, surveyed.path, surveyed.own, entries):
            sequence = self._stream.send(FrameKind.VERIFY_LISTING, body)
            self._questions[sequence] = _Question(volume.index, way, listed, Place(volume.index, directory.path))

    # Files

    def _ask(self, piece: Piece, file: File, segment: Segment) -> None:
        """It is so at this point of the stream. Raises OSError, DivergenceError, ValueError."""
        volume = self._volumes[file.volume]
        place = Place(file.volume, file.directory, file.name, segment.offset)
        question = _Question(file.volume, tuple(volume.ancestry(file.inode)), {}, place, file, segment, piece)
        compare = VerifyCompare(file.volume, question.path, segment.offset, segment.length, segment.digests)
        self._questions[self._stream.send(FrameKind.VERIFY_COMPARE, encode_verify_compare(compare))] = question
        if segment.digests:
            self._throttle.spend(segment.length)

    def _asked(self, piece: Piece) -> None:
        for file in piece.files:
            if file.offset < file.end:
                break
            self._walk.files.popleft()
            self._files_done += 1
            self._host.release(file.volume, file.inode)
        self._worked()

    def _unread(self, error: Exception) -> None:
        self._give_up(f"a file cannot be read: {error}")
        self._worked()

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
        if question.piece is not None:
            self._reading.answered(question.piece)
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
                bytes_found=self._walk.bytes_found,
                files_done=self._files_done,
                bytes_expected=self._estimate.bytes,
                entries_expected=self._estimate.entries,
            )
        )
        self._loop.call_later(_PROGRESS_S, self._tick)
