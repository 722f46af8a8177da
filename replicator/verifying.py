"""Compares a complete peer's copy with this one while the application runs, and says what differs: the primary's side.

Directories are listed, and blocks read and digested, at quiet moments, when both copies are to be the same: nothing
is under way then. What is read is brought into the page cache before, so that such a moment is short. The peer
answers from what is on its disk by name (``replicator.disk.differences``). What is moved meanwhile from a directory
that was not visited yet to one that was is not compared. It reads no faster than its bandwidth, and makes the
application wait as seldom as a resync does (``replicator.pacing``). Nothing is repaired here: what differs is put as
what a join has to bring (``replicator.differing``), for whoever wants that.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from manager.model.control import Difference, Progress, Verify, VerifyReport
from manager.model.errors import MirrorfarmError, PeerProtocolError
from manager.model.ids import ROOT_INODE
from replicator.copy_ports import Background, Host, Loop, Order, Stream
from replicator.core.dirty import Dirty
from replicator.core.operations import Bind
from replicator.differing import Differing
from replicator.disk.listing import list_directory
from replicator.disk.survey import Segment, next_segment
from replicator.disk.volume import Inode, Volume
from replicator.pacing import Bandwidth
from replicator.throttle import Clock, Throttle
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


@dataclass(eq=False, slots=True)
class _File:
    """A file that is to be compared, held."""

    volume: int
    inode: Inode
    end: int
    offset: int = 0
    different: bool = False


@dataclass(frozen=True, slots=True)
class _Question:
    """What a frame asked: a file's span, or a part of a listing."""

    volume: int
    way: tuple[Bind, ...]
    """To the file, or the directory."""
    entries: Mapping[bytes, Attributes]
    """What is in the directory, where that will be asked for."""
    file: _File | None = None
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
        self._throttle = Throttle(loop, bandwidth, minute, self._go_on)
        self._moment_began = 0.0
        self._directories: deque[tuple[int, Inode]] = deque()
        self._files: deque[_File] = deque()
        self._questions: dict[int, _Question] = {}
        self._differences: list[Difference] = []
        self._total = 0
        self._entries = 0
        self._bytes = 0
        self._bytes_found = 0
        self._working = False
        self._over = False
        self._began = loop.time()

    def start(self) -> None:
        """The answers of the peer come to :meth:`answered` from now on."""
        if self._over:
            return
        for index in reversed(range(len(self._volumes))):
            volume = self._volumes[index]
            root = volume.table[ROOT_INODE]
            volume.hold(root)
            self._directories.append((index, root))
        self._loop.call_later(_PROGRESS_S, self._tick)
        self._go_on()

    def lost(self) -> None:
        """The stream is gone."""
        self.end("the peer was lost")

    def end(self, error: str) -> None:
        """Reports what was found, with ``error`` unless it was carried through; nothing is sent any more."""
        if self._over:
            return
        self._over = True
        self._loop.call_soon(self._release_all)
        repairing = self._command.repair and not error and bool(self._differing.dirty)
        self._done(
            VerifyReport(
                request_id=self._command.request_id,
                error=error,
                entries=self._entries,
                bytes_compared=self._bytes,
                differences_total=self._total,
                differences=tuple(self._differences),
                repairing=repairing,
            )
        )
        if repairing:
            self._repair(self._differing.dirty)

    def _release_all(self) -> None:
        for volume, inode in self._directories:
            self._host.release(volume, inode)
        for file in self._files:
            self._host.release(file.volume, file.inode)
        self._directories.clear()
        self._files.clear()

    # Going on

    def _go_on(self) -> None:
        if self._over or self._working or len(self._questions) >= _UNANSWERED:
            return
        if not self._files and not self._directories:
            if not self._questions:
                self.end("")
        elif self._may_work():
            self._working = True
            if self._files:
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
        while self._directories and not self._over:
            index, directory = self._directories.pop()
            try:
                if not directory.unlinked:
                    yield from self._list(self._volumes[index], directory)
            except (OSError, MirrorfarmError, ValueError) as error:
                self.end(f"a directory cannot be listed: {error}")
            finally:
                self._host.release(index, directory)
            if self._files or self._loop.time() > until:
                break
        self._worked()

    def _list(self, volume: Volume, directory: Inode) -> Iterator[None]:
        unsettled = partial(self._host.is_touched, volume.index)
        surveyed = yield from list_directory(volume, directory, unsettled)
        if self._over:  # it was ended meanwhile
            for inode in surveyed.held:
                self._host.release(volume.index, inode)
            return
        self._directories += [(volume.index, inode) for inode in surveyed.directories]
        self._files += [_File(volume.index, inode, size) for inode, size in surveyed.files]
        for inode in surveyed.pinned:
            self._host.release(volume.index, inode)
        way = tuple(volume.ancestry(directory))
        listed = {entry.name: entry.attributes for entry in surveyed.entries} if self._command.repair else {}
        self._entries += len(surveyed.entries)
        self._bytes_found += sum(size for _, size in surveyed.files)
        entries = [encode_entry(entry) for entry in surveyed.entries]
        for body in encode_listing(volume.index, surveyed.path, surveyed.own, entries):
            sequence = self._stream.send(FrameKind.VERIFY_LISTING, body)
            self._questions[sequence] = _Question(volume.index, way, listed)

    def _warm(self) -> None:
        """Has what is compared next read in a thread, for it to be in the page cache."""
        batch: list[_File] = []
        spans: list[tuple[int, int]] = []
        try:
            while self._files and len(batch) < _BATCH_FILES and len(batch) * BLOCK < _BATCH:
                file = self._files.popleft()
                batch.append(file)
                if not file.inode.unlinked:
                    spans.append((self._volumes[file.volume].duplicate(file.inode), file.offset))
                if file.end - file.offset > BLOCK:
                    break
        except OSError as error:
            self._close(spans)
            self._files.extendleft(reversed(batch))
            self.end(f"a file cannot be read: {error}")
            return

        def work() -> None:
            try:
                for descriptor, offset in spans:
                    next_segment(descriptor, offset, offset + _BATCH)
            finally:
                self._close(spans)

        def failed(error: OSError) -> None:
            self._files.extendleft(reversed(batch))
            self.end(f"a file cannot be read: {error}")
            if self._over:
                self._release_all()

        self._background.run(work, lambda _none: self._warmed(batch), failed)

    def _close(self, spans: list[tuple[int, int]]) -> None:
        for descriptor, _ in spans:
            os.close(descriptor)

    def _warmed(self, batch: list[_File]) -> None:
        self._files.extendleft(reversed(batch))
        if self._over:
            self._release_all()
            return
        self._at_quiet(lambda: self._compare(len(batch)))

    def _compare(self, count: int) -> None:
        """At a quiet moment: a span of each of the next files."""
        for _ in range(count):
            if self._over or not self._files:
                break
            file = self._files.popleft()
            try:
                left = self._ask(file)
            except (OSError, MirrorfarmError, ValueError) as error:
                left = False
                self.end(f"a file cannot be read: {error}")
            if left:
                self._files.appendleft(file)
                break
            self._host.release(file.volume, file.inode)
        self._worked()

    def _ask(self, file: _File) -> bool:
        """Whether something is left of it. Raises OSError, DivergenceError, ValueError."""
        if file.inode.unlinked:
            return False
        volume = self._volumes[file.volume]
        segment = next_segment(volume.data_fd(file.inode, False), file.offset, file.end)
        if segment is None:
            return False
        question = _Question(file.volume, tuple(volume.ancestry(file.inode)), {}, file, segment)
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

    def _checked(self, question: _Question, file: _File, segment: Segment, body: memoryview) -> None:
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
                bytes_total=0 if self._directories else self._bytes_found,
                elapsed_ms=int((self._loop.time() - self._began) * 1000),
            )
        )
        self._loop.call_later(_PROGRESS_S, self._tick)
