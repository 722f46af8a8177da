"""Has a diverged peer keep its own version of whatever differs, before its copy is changed: the primary's side.

That copy went on by itself (S12). The peer is told what stands here, path by path, and keeps what it has otherwise
(``replicator.disk.keeping``). The application runs meanwhile and waits for nothing: files and directories are read
below it in a thread, not at quiet moments, and nothing of what it does goes to that peer yet. So what is told of a path
was true at some moment of the walk; a path at which something else stands by the time that it is visited is not
compared, and the peer keeps all that it has there. Each name of the peer's is so either equal to what stood here, or
kept. Too much may be kept, of what is changed just then; never too little.
"""

import os
import stat
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from manager.model.control import Progress, Scope
from manager.model.errors import PeerProtocolError
from replicator.copy_ports import Background, Loop, Stream
from replicator.core.filesystem import PRIVATE_NAME
from replicator.disk import linux
from replicator.disk.survey import attributes, next_segment, open_file, open_path, target_at, target_of_fd
from replicator.disk.volume import Volume
from replicator.pacing import Bandwidth
from replicator.throttle import Clock, Throttle
from replicator.wire.copying import (
    BLOCK,
    MAX_BLOCKS,
    MAX_LISTING,
    Attributes,
    Entry,
    Part,
    encode_entry,
    encode_part,
    split_entries,
)
from replicator.wire.frames import FrameKind
from replicator.wire.verifying import (
    CheckState,
    Keep,
    VerifyCompare,
    decode_checked,
    decode_found,
    encode_keep,
    encode_verify_compare,
)

Path = tuple[bytes, ...]
_BATCH: Final = BLOCK * MAX_BLOCKS
"""Bytes of files that one piece of work reads."""
_BATCH_FILES: Final = 64
_UNANSWERED: Final = 64
"""Frames, above which nothing more is read."""
_LISTING_COST: Final = 64 << 10
"""What a piece of listing counts as, in bytes read."""
_PROGRESS_S: Final = 1.0


@dataclass(eq=False, slots=True)
class _Directory:
    """One that is to be told of, or is being."""

    volume: int
    path: Path
    fd: int = -1
    own: Attributes | None = None


@dataclass(eq=False, slots=True)
class _File:
    """One whose content is to be told of, of the length that its listing had."""

    volume: int
    path: Path
    size: int
    offset: int = 0
    differs: bool = False


@dataclass(slots=True)
class _Told:
    """What a piece of work read: frames to send, and what they are about."""

    frames: list[tuple[FrameKind, bytes, "_File | None", int]] = field(default_factory=list)
    """Kind and body; of a file's span the file, and how many blocks it has."""
    directories: list[_Directory] = field(default_factory=list)
    files: list[_File] = field(default_factory=list)
    unfinished: "_Directory | _File | None" = None
    entries: int = 0
    bytes: int = 0


class SettingAside:
    """Of one peer, from its welcome on, until its stream begins or is lost."""

    def __init__(
        self,
        loop: Loop,
        stream: Stream,
        volumes: Sequence[Volume],
        background: Background,
        bandwidth: Bandwidth,
        minute: Clock,
        changes: Callable[[], int],
        progress: Callable[[Progress], None],
        done: Callable[[], None],
    ) -> None:
        """``done``: the peer has all that differs on its disks. ``changes`` differs when the application did something.

        ``progress`` is called each second. Where something here cannot be told the stream is dropped.
        """
        self._loop = loop
        self._stream = stream
        self._volumes = tuple(volumes)
        self._background = background
        self._changes = changes
        self._progress = progress
        self._done = done
        self._throttle = Throttle(loop, bandwidth, minute, self._go_on)
        self._directories = [_Directory(volume.index, ()) for volume in reversed(self._volumes)]
        self._files: deque[_File] = deque()
        self._questions: dict[int, tuple[_File | None, int]] = {}
        self._ending = 0
        """The sequence of SET_ASIDE; 0: it is not sent."""
        self._working = False
        self._over = False
        self._began = loop.time()
        self._entries = 0
        self._bytes = 0

    def start(self) -> None:
        """The answers of the peer come to :meth:`answered` from now on."""
        self._loop.call_later(_PROGRESS_S, self._tick)
        self._go_on()

    def lost(self) -> None:
        """The stream is gone."""
        self._end()

    def _end(self) -> None:
        self._over = True
        if not self._working:
            self._close()

    def _close(self) -> None:
        for directory in self._directories:
            if directory.fd >= 0:
                os.close(directory.fd)
        self._directories = []
        self._files.clear()

    # Reading and telling

    def _go_on(self) -> None:
        if self._over or self._working or self._ending or len(self._questions) >= _UNANSWERED:
            return
        if not self._files and not self._directories:
            if not self._questions:
                self._ending = self._stream.send(FrameKind.SET_ASIDE)
            return
        self._throttle.courtesy.operations = self._changes()
        count = self._throttle.piece_bytes(_BATCH) if self._files else _LISTING_COST
        if not self._throttle.may_begin(count) or not self._throttle.take(0):
            return
        self._throttle.begin(count)
        self._working = True
        work = partial(self._next_work(), count)
        self._background.run(work, self._tell, lambda error: self._failed(str(error)))

    def _next_work(self) -> "Callable[[int], _Told | str]":
        if not self._files:
            directory = self._directories.pop()
            return lambda _count: _attempt(lambda: _list(self._volumes[directory.volume], directory))
        batch = [self._files.popleft() for _ in range(min(_BATCH_FILES, len(self._files)))]
        return lambda count: _attempt(lambda: _read(self._volumes, batch, count))

    def _tell(self, told: "_Told | str") -> None:
        self._working = False
        self._throttle.end()
        if isinstance(told, str):
            self._failed(told)
            return
        self._directories += told.directories
        if isinstance(told.unfinished, _Directory):
            self._directories.append(told.unfinished)
        self._files.extendleft(reversed(told.files))
        if self._over:
            self._close()
            return
        self._entries += told.entries
        self._bytes += told.bytes
        for kind, body, file, blocks in told.frames:
            self._throttle.spend(len(body))
            self._questions[self._stream.send(kind, body)] = (file, blocks)
            if self._over:
                return
        self._loop.call_soon(self._go_on)

    def _failed(self, reason: str) -> None:
        """The reason may be this disk's, which is found by others too."""
        self._working = False
        if self._over:
            self._close()
        else:
            self._stream.drop(f"what differs cannot be told: {reason}")

    # Answers

    def answered(self, sequence: int, body: memoryview) -> None:
        """A VERIFY_ANSWER. Raises PeerProtocolError."""
        if self._ending and sequence == self._ending:
            decode_found(body)
            self._end()
            self._done()
            return
        if sequence not in self._questions:
            raise PeerProtocolError(f"an answer to frame {sequence}, which asked nothing")
        file, blocks = self._questions.pop(sequence)
        if file is None:
            decode_found(body)
        else:
            state, bitmap = decode_checked(body, blocks)
            # Then the peer has kept all of it, or has nothing to keep: nothing more is told of it.
            file.differs = file.differs or state is not CheckState.COMPARED or bool(bitmap)
        self._go_on()

    # Progress

    def _tick(self) -> None:
        if self._over:
            return
        self._progress(
            Progress(
                work="set_aside",
                peer=self._stream.node,
                entries_done=self._entries,
                bytes_done=self._bytes,
                bytes_sent=0,
                bytes_total=0,
                elapsed_ms=int((self._loop.time() - self._began) * 1000),
                scope=Scope.EVERYTHING,
            )
        )
        self._loop.call_later(_PROGRESS_S, self._tick)


# In a thread


def _attempt(work: Callable[[], _Told]) -> "_Told | str":
    """What cannot be put into a frame is told as a reason."""
    try:
        return work()
    except ValueError as error:
        return str(error)


def _list(volume: Volume, directory: _Directory) -> _Told:
    """The next part of a directory; with it what is to be visited. Raises OSError and ValueError."""
    told = _Told()
    part = Part(0)
    if directory.fd < 0:
        try:
            directory.fd = open_path(volume.root_fd, directory.path)
        except (FileNotFoundError, NotADirectoryError):
            told.frames.append(_kept(directory.volume, directory.path))
            return told
        part |= Part.FIRST
    try:
        if directory.own is None:
            status = os.fstat(directory.fd)
            directory.own = attributes(status.st_ino, status, target_of_fd(directory.fd), follow=True)
        encoded, ended = _next_entries(volume, directory, told)
        chunks = split_entries(encoded)
        for index, chunk in enumerate(chunks):
            last = Part.LAST if ended and index == len(chunks) - 1 else Part(0)
            body = encode_part(directory.volume, part | last, directory.path, directory.own, chunk)
            told.frames.append((FrameKind.VERIFY_LISTING, body, None, 0))
            part = Part(0)
    except BaseException:
        os.close(directory.fd)
        directory.fd = -1
        raise
    if ended:
        os.close(directory.fd)
        directory.fd = -1
    else:
        told.unfinished = directory
    return told


def _next_entries(volume: Volume, directory: _Directory, told: _Told) -> tuple[list[bytes], bool]:
    """The next entries, about as many as go into one part, and whether these were the last. Raises OSError."""
    encoded: list[bytes] = []
    while sum(map(len, encoded)) < MAX_LISTING:
        batch = linux.list_entries(directory.fd)
        if not batch:
            return encoded, True
        for found in batch:
            private = not directory.path and found.name == PRIVATE_NAME
            if found.name not in (b".", b"..") and not private:
                _add(volume, directory, found.name, encoded, told)
    return encoded, False


def _add(volume: Volume, directory: _Directory, name: bytes, encoded: list[bytes], told: _Told) -> None:
    """One entry; one that is gone by now, or another file system's, is none."""
    try:
        status = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
        if status.st_dev != volume.device:
            return
        found = attributes(status.st_ino, status, target_at(directory.fd, name))
    except FileNotFoundError:
        return
    encoded.append(encode_entry(Entry(name, found)))
    told.entries += 1
    path = (*directory.path, name)
    if stat.S_ISDIR(status.st_mode):
        told.directories.append(_Directory(directory.volume, path))
    elif stat.S_ISREG(status.st_mode) and status.st_size:
        told.files.append(_File(directory.volume, path, status.st_size))


def _read(volumes: Sequence[Volume], batch: Sequence[_File], most: int) -> _Told:
    """The next spans of files, up to ``most`` bytes or a little more; those that are not through come back. OSError."""
    told = _Told()
    left = most
    for index, file in enumerate(batch):
        if left <= 0:
            told.files = [*told.files, *batch[index:]]
            break
        if file.differs:
            continue
        source = open_file(volumes[file.volume].root_fd, file.path)
        if source < 0:
            told.frames.append(_kept(file.volume, file.path))
            continue
        try:
            ended = False
            while left > 0 and not ended:
                ended, count = _read_span(source, file, told, left)
                left -= max(count, BLOCK)
        finally:
            os.close(source)
        if not ended:
            told.files.append(file)
    return told


def _read_span(source: int, file: _File, told: _Told, most: int) -> tuple[bool, int]:
    """The next span of a file; whether it was the last one, and how many bytes were read."""
    blocks = min(MAX_BLOCKS, max(1, most // BLOCK))
    segment = next_segment(source, file.offset, file.size, blocks * BLOCK)
    if segment is None or os.fstat(source).st_size != file.size:
        told.frames.append(_kept(file.volume, file.path))
        return True, 0
    compare = VerifyCompare(file.volume, file.path, segment.offset, segment.length, segment.digests)
    told.frames.append((FrameKind.VERIFY_COMPARE, encode_verify_compare(compare), file, max(1, len(segment.digests))))
    told.bytes += segment.length
    file.offset = segment.offset + segment.length
    return file.offset >= file.size, segment.length if segment.digests else 0


def _kept(volume: int, path: Path) -> tuple[FrameKind, bytes, _File | None, int]:
    """The peer is to keep what it has there."""
    return FrameKind.KEEP, encode_keep(Keep(volume, path)), None, 0
