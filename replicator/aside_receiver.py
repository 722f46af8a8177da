"""The secondary's end of setting aside: takes the primary's questions in order, and answers each when it is kept.

Whatever takes long is done in a thread, one question after the other (``replicator.disk.keeping``): a frame counts as
received when it waits here, so that a primary is not kept waiting for acknowledgements while a large file is copied.
Nothing of it changes the copy.
"""

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from manager.model.asides import Aside
from manager.model.errors import MirrorfarmError, PeerProtocolError
from replicator.core.aside_room import NoRoom
from replicator.disk.keeping import Keeping, Occasion
from replicator.disk.volume import Volume
from replicator.serial import Serial
from replicator.wire import copying, verifying
from replicator.wire.copying import Listing
from replicator.wire.frames import FrameKind
from replicator.wire.verifying import Keep, VerifyCompare

_MOST: Final = 256
"""Questions that wait; no primary asks so many at once."""
_AT_ONCE: Final = 16
"""Questions of one piece of work."""


class _Ended(MirrorfarmError):
    """The stream has ended: what is under way is of no use any more."""


class Answering(Protocol):
    """The link to the primary."""

    def send(self, kind: int, sequence: int, *parts: bytes | memoryview) -> None:
        """Sends a frame."""
        ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why it cannot be set aside."""

    detail: str
    full: bool
    needed_bytes: int = 0
    room_bytes: int = 0


_Question = Listing | VerifyCompare | Keep | None
"""``None``: SET_ASIDE."""


@dataclass(slots=True)
class _Done:
    """Of a piece of work."""

    answers: list[tuple[int, bytes]]
    """By sequence."""
    aside: Aside | None = None
    refusal: Refusal | None = None


class AsideReceiver:
    """Of one stream."""

    def __init__(
        self,
        volumes: Sequence[Volume],
        link: Answering,
        serial: Serial,
        limit_bytes: int,
        occasion: Occasion,
        kept: Callable[[Aside], None],
        refused: Callable[[Refusal], None],
    ) -> None:
        """``kept``: all that differs is on the disks, and the primary is told next. That or ``refused``, once."""
        self.is_over = False
        self._count = len(volumes)
        self._link = link
        self._serial = serial
        self._kept = kept
        self._refused = refused
        self._closing = threading.Event()
        self._keeping = Keeping(volumes, limit_bytes, occasion, self._pause)
        self._begun = False
        self._waiting: deque[tuple[int, _Question]] = deque()
        self._working = False
        self._asked_to_end = False

    def on_frame(self, kind: int, sequence: int, body: memoryview) -> None:
        """See ``replicator.applier.Keeper``."""
        if self._asked_to_end or len(self._waiting) >= _MOST:
            raise PeerProtocolError("a question too many of what differs")
        self._waiting.append((sequence, self._decode(kind, body)))
        self._go_on()

    def _decode(self, kind: int, body: memoryview) -> _Question:
        if kind == FrameKind.VERIFY_LISTING:
            return copying.decode_listing(body, self._count)
        if kind == FrameKind.VERIFY_COMPARE:
            return verifying.decode_verify_compare(body, self._count)
        if kind == FrameKind.KEEP:
            return verifying.decode_keep(body, self._count)
        self._asked_to_end = True
        return None

    def close(self) -> None:
        """See ``replicator.applier.Keeper``."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._waiting.clear()
        self._serial.run(self._keeping.close, lambda _: None, lambda _: None)

    # In a thread

    def _pause(self) -> None:
        if self._closing.is_set():
            raise _Ended("the stream has ended")

    def _work(self, questions: Sequence[tuple[int, _Question]]) -> _Done:
        done = _Done([])
        try:
            self._pause()
            if not self._begun:
                self._begun = True
                self._keeping.begin()
            for sequence, question in questions:
                done.answers.append((sequence, self._answer(question, done)))
        except _Ended:
            pass
        except NoRoom as error:
            done.refusal = self._refusal(Refusal(str(error), True, error.needed_bytes, error.room_bytes))
        except OSError as error:
            done.refusal = self._refusal(Refusal(str(error), False))
        return done

    def _refusal(self, refusal: Refusal) -> Refusal:
        """Nothing is left of this attempt."""
        try:
            self._keeping.discard()
        except OSError as error:
            return dataclasses.replace(refusal, detail=f"{refusal.detail}; what was kept until then is left: {error}")
        return refusal

    def _answer(self, question: _Question, done: _Done) -> bytes:
        """Body of the VERIFY_ANSWER."""
        self._pause()
        if isinstance(question, Listing):
            found = self._keeping.listed(question)
            return verifying.encode_found(len(found), found)
        if isinstance(question, VerifyCompare):
            return verifying.encode_checked(*self._keeping.compared(question))
        if isinstance(question, Keep):
            self._keeping.gone(question)
        else:
            done.aside = self._keeping.finish()
        return verifying.encode_found(0, ())

    # On the loop

    def _go_on(self) -> None:
        if self._working or not self._waiting or self._closing.is_set():
            return
        self._working = True
        questions = [self._waiting.popleft() for _ in range(min(_AT_ONCE, len(self._waiting)))]
        self._serial.run(lambda: self._work(questions), self._answered, self._failed)

    def _answered(self, done: _Done) -> None:
        self._working = False
        if done.aside is not None:  # it is so, whether the stream has ended by now or not
            self.is_over = True
            self._kept(done.aside)
        if self._closing.is_set():
            return
        for sequence, body in done.answers:
            self._link.send(FrameKind.VERIFY_ANSWER, sequence, body)
        if done.refusal is not None:
            self._refused(done.refusal)
            return
        self._go_on()

    def _failed(self, error: OSError) -> None:
        """Not raised: each piece of work has its own errors answered."""
        raise error
