"""The probes between the nodes of farms: one UDP socket for all modules of this node's agent.

It asks each node that it is told to four times a second, and hands on what they answer; itself it answers what it was
told to, and how long ago it was asked by the nodes that direct. It decides nothing: who is alive is the core's to say.
By the same socket the nodes tell each other what they have counted, for people.

An answer counts if this agent asked for it, this node gave it, and not long ago: each question has a number of its own,
counted on from a random one, so that no answer to a former agent's is taken for one to it. What cannot be sent at once
is not sent: a probe that waited in a queue would tell of another time.

A machine on which no agent listens says so itself (ICMP, port unreachable). That is true for all modules there, and is
told to all that ask it: Linux says it once a second to each station, however many ask.

This is no protection against someone who wants to lie (:mod:`agent.adapters.probe_messages`): as long as what agents
tell each other is not authenticated, the network between them has to be their own.
"""

import asyncio
import enum
import errno
import ipaddress
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from agent.adapters.datagram_errors import DatagramError, keep_errors, next_error
from agent.adapters.host import now_ns
from agent.adapters.probe_messages import (
    Answer,
    Kind,
    Message,
    Module,
    OtherVersion,
    Question,
    pack,
    sequence_of,
    unpack,
)
from agent.adapters.wakes import Wakes
from manager.free_bind import allow_any_address
from manager.model.codec import DecodeError
from manager.model.errors import DefiniteFailure
from manager.model.farm_figures import NodeFigures

EVERY_S = 0.25
_MS_NS = 1_000_000
_AT_ONCE = 64
"""Datagrams that are read before others on the loop have their turn."""
_RECEIVED_MOST = 1 << 16
_MOST_TOLD = 256
_MOST_HEARD = 64
"""Addresses of a module of which it is remembered who asked."""


class Dropped(enum.StrEnum):
    """What came and was not taken, or was not sent."""

    GARBAGE = "garbage"
    VERSION = "another release"
    MODULE = "of another cluster, or a module that is not here"
    NODE = "meant for another node, or answered by one"
    STALE = "not asked for, or too late"
    UNSENT = "not sent"
    UNTAKEN = "sent, and not taken there"


class Participant(Protocol):
    """Who takes part in a module here; called on the loop, must not block."""

    def asked(self, by: str, directs: Mapping[str, int]) -> None:
        """Node ``by`` has asked, and answers for these addresses on the network, by the tables of these numbers."""

    def answered(self, node: str, answer: Answer, asked_ns: int) -> None:
        """``node`` has answered what it was asked at ``asked_ns``."""

    def refused(self, node: str, asked_ns: int) -> None:
        """The machine of ``node`` lives, and no agent listens there; it was asked at ``asked_ns``."""


@dataclass(slots=True)
class _Part:
    """What there is of one module."""

    participant: Participant
    answer: Answer | None = None
    promises: Mapping[str, str] = field(default_factory=dict)
    heard_ns: dict[str, int] = field(default_factory=dict)
    """Address to when a node that directs it asked last."""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    directs: Mapping[str, int] = field(default_factory=dict)
    again: asyncio.TimerHandle | None = None
    told: Callable[[str, NodeFigures], None] = field(default=lambda node, figures: None)

    def hear(self, directs: Iterable[str], at_ns: int) -> None:
        """One that directs these addresses has asked. Whoever asks may name anything: an answer has its bounds."""
        for address in directs:
            if address in self.heard_ns or len(self.heard_ns) < _MOST_HEARD:
                self.heard_ns[address] = at_ns


@dataclass(frozen=True, slots=True)
class _Asked:
    module: Module
    node: str
    at_ns: int
    address: str
    datagram: bytes


class Probing:
    """Asks and answers. On the event loop; no call waits."""

    def __init__(
        self,
        node: str,
        late_ns: int,
        on_dropped: Callable[[Dropped, str], None],
        clock: Callable[[], int] = now_ns,
    ) -> None:
        """Not open yet.

        Args:
            node: this one's name.
            late_ns: an answer to a question older than this says nothing of now: when a silent member counts as dead.
            on_dropped: told once of each kind from each sender; :attr:`dropped` has the numbers.
            clock: of the questions.
        """
        self._node = node
        self._late_ns = late_ns
        self._on_dropped = on_dropped
        self._clock = clock
        self._socket: socket.socket | None = None
        self._wakes: Wakes | None = None
        self._port = 0
        self._parts: dict[Module, _Part] = {}
        self._asked: dict[int, _Asked] = {}
        """By number, the oldest first."""
        self._next = secrets.randbits(48)
        self._told: set[tuple[Dropped, str]] = set()
        self.dropped: Counter[Dropped] = Counter()

    def open(self, address: str, port: int) -> bool:
        """Begin, at ``address`` of this node; all nodes have the same ``port``.

        Returns whether the node has that address: if not, nothing is sent or heard until it has.

        Raises:
            DefiniteFailure: the port is taken, or there is no such family of addresses here.
        """
        family = socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6
        try:
            made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            raise DefiniteFailure(f"probes at {address}: {error}") from None
        try:
            keep_errors(made)
            present = _bind(made, address, port)
        except OSError as error:
            made.close()
            raise DefiniteFailure(f"probes at {address}, UDP port {port}: {error}") from None
        self._socket, self._port = made, port
        self._wakes = Wakes(made, self._readable)
        return present

    def close(self) -> None:
        """End; nothing is asked or answered any more."""
        for module in list(self._parts):
            self.leave(module)
        if self._wakes is not None:
            self._wakes.close()
            self._wakes = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def attend(self, module: Module, participant: Participant) -> None:
        """Take part in ``module``: ``participant`` is told of each question and answer. It answers nothing yet."""
        self._parts[module] = _Part(participant)

    def leave(self, module: Module) -> None:
        """Neither ask nor answer for ``module`` any more."""
        part = self._parts.pop(module, None)
        if part is not None and part.again is not None:
            part.again.cancel()

    def answer(self, module: Module, answer: Answer, promises: Mapping[str, str]) -> None:
        """What this node answers for ``module`` from now on.

        ``promises``: address to the node that is promised that this one does not direct it. Those of who asks are put
        into its answer, and how long ago this node was asked by those that direct.
        """
        part = self._parts[module]
        part.answer, part.promises = answer, dict(promises)

    def probe(self, module: Module, endpoints: Mapping[str, str], directs: Mapping[str, int]) -> None:
        """From now on, ask these nodes (name to address) and no others; ``directs`` is what each question says."""
        part = self._parts[module]
        part.endpoints, part.directs = dict(endpoints), dict(directs)
        if part.again is None and endpoints:
            self._ask(module, part)

    def tell(self, module: Module, endpoints: Iterable[str], figures: NodeFigures) -> None:
        """Send what this node has counted to these addresses; whether it comes there is not heard of."""
        datagram = pack(Message(Kind.FIGURES, module, 0, self._node, figures=figures))
        for address in endpoints:
            self._send(datagram, address, self._port)

    def listen(self, module: Module, told: Callable[[str, NodeFigures], None]) -> None:
        """``told`` gets what other nodes tell of themselves, from now on; on the loop, must not block."""
        self._parts[module].told = told

    def _ask(self, module: Module, part: _Part) -> None:
        if not part.endpoints:
            part.again = None
            return
        # Counted from now, not from when this was due: after a stall nothing is caught up with.
        part.again = asyncio.get_running_loop().call_later(EVERY_S, self._ask, module, part)
        now = self._clock()
        self._forget_stale(now)
        for node, address in part.endpoints.items():
            self._next += 1
            question = Question(self._node, part.directs)
            datagram = pack(Message(Kind.PROBE, module, self._next, node, question=question))
            self._asked[self._next] = _Asked(module, node, now, address, datagram)
            self._send(datagram, address, self._port)

    def _forget_stale(self, now: int) -> None:
        for sequence, asked in list(self._asked.items()):
            if now - asked.at_ns <= self._late_ns:
                return
            del self._asked[sequence]

    def _send(self, datagram: bytes, address: str, port: int) -> None:
        if self._socket is None:
            return
        try:
            try:
                self._socket.sendto(datagram, (address, port))
            except OSError:
                # It may be about another datagram, which somebody did not take: then this one has not been tried yet.
                if not self._take_errors() or self._socket is None:
                    raise
                self._socket.sendto(datagram, (address, port))
        except OSError as error:
            self._drop(Dropped.UNSENT, f"{address}: {error.strerror or error}")

    def _readable(self) -> None:
        self._take_errors()
        for _ in range(_AT_ONCE):
            if self._socket is None:
                return  # What was heard has closed it.
            try:
                datagram, sender = self._socket.recvfrom(_RECEIVED_MOST)
            except BlockingIOError:
                return
            except OSError:
                self._take_errors()
            else:
                self._take(datagram, sender[0], sender[1])

    def _take_errors(self) -> bool:
        """Of those that are there now, some at the most; whether there was one."""
        for taken in range(_AT_ONCE):
            error = None if self._socket is None else next_error(self._socket)
            if error is None:
                return taken > 0
            self._untaken(error)
        return True

    def _untaken(self, error: DatagramError) -> None:
        sequence = sequence_of(error.quoted)
        asked = None if sequence is None else self._asked.get(sequence)
        if not error.refused or sequence is None or asked is None or not _is_of(error, asked):
            self._drop(Dropped.UNTAKEN, error.destination)
        else:
            del self._asked[sequence]
            if self._clock() - asked.at_ns > self._late_ns:
                self._drop(Dropped.STALE, error.destination)
            else:
                self._refused(asked)

    def _refused(self, asked: _Asked) -> None:
        for part in list(self._parts.values()):
            for node, address in part.endpoints.items():
                if address == asked.address:
                    part.participant.refused(node, asked.at_ns)

    def _take(self, datagram: bytes, address: str, port: int) -> None:
        try:
            message = unpack(datagram)
        except OtherVersion:
            self._drop(Dropped.VERSION, address)
        except DecodeError:
            self._drop(Dropped.GARBAGE, address)
        else:
            if message.kind is Kind.PROBE:
                self._reply(message, address, port)
            elif message.figures is not None:
                self._learn(message.module, message.node, message.figures, address)
            else:
                self._hear(message, address)

    def _reply(self, probe: Message, address: str, port: int) -> None:
        part = self._parts.get(probe.module)
        if part is None:
            self._drop(Dropped.MODULE, address)
        elif probe.node != self._node:
            self._drop(Dropped.NODE, address)
        else:
            now, by, directs = self._clock(), probe.question.by, probe.question.directs
            part.hear(directs, now)
            part.participant.asked(by, directs)
            if part.answer is not None:
                reply = Message(Kind.ANSWER, probe.module, probe.sequence, self._node, _answer_to(by, part, now))
                self._send(pack(reply), address, port)

    def _hear(self, reply: Message, address: str) -> None:
        asked, part = self._asked.get(reply.sequence), self._parts.get(reply.module)
        if asked is None or part is None or asked.module != reply.module or asked.node not in part.endpoints:
            self._drop(Dropped.STALE, address)
        elif asked.node != reply.node:
            self._drop(Dropped.NODE, address)
        else:
            del self._asked[reply.sequence]
            if self._clock() - asked.at_ns > self._late_ns:
                self._drop(Dropped.STALE, address)
            else:
                part.participant.answered(reply.node, reply.answer, asked.at_ns)

    def _learn(self, module: Module, node: str, figures: NodeFigures, address: str) -> None:
        part = self._parts.get(module)
        if part is None:
            self._drop(Dropped.MODULE, address)
        else:
            part.told(node, figures)

    def _drop(self, what: Dropped, whose: str) -> None:
        self.dropped[what] += 1
        if (what, whose) not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add((what, whose))
            self._on_dropped(what, whose)


def _answer_to(by: str, part: _Part, now_ns: int) -> Answer:
    assert part.answer is not None
    promises = frozenset(address for address, node in part.promises.items() if node == by)
    heard_ms = {address: (now_ns - at_ns) // _MS_NS for address, at_ns in part.heard_ns.items()}
    return replace(part.answer, promises=promises, heard_ms=heard_ms)


def _is_of(error: DatagramError, asked: _Asked) -> bool:
    return error.destination == asked.address and asked.datagram.startswith(error.quoted)


def _bind(made: socket.socket, address: str, port: int) -> bool:
    try:
        made.bind((address, port))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        allow_any_address(made)
        made.bind((address, port))
        return False
    return True
