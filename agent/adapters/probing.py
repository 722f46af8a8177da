"""The probes between a farm's director and its members: one UDP socket for all modules of this node's agent.

As a director it asks each node of a module four times a second, and hands on what they answer; as a member it answers
what it was told to. It decides nothing: who is alive is the core's to say.

An answer counts if this agent asked for it, this node gave it, and not long ago: each question has a number of its own,
counted on from a random one, so that no answer to a former agent's is taken for one to it. What cannot be sent at once
is not sent: a probe that waited in a queue would tell of another time.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent.adapters.host import now_ns
from agent.adapters.probe_messages import Answer, Kind, Message, Module, OtherVersion, pack, unpack
from manager.model.codec import DecodeError
from manager.model.errors import DefiniteFailure

EVERY_S = 0.25
_AT_ONCE = 64
"""Datagrams that are read before others on the loop have their turn."""
_RECEIVED_MOST = 1 << 16
_MOST_TOLD = 256
_FREE_BIND = {socket.AF_INET: (socket.IPPROTO_IP, 15), socket.AF_INET6: (socket.IPPROTO_IPV6, 78)}
"""IP_FREEBIND, linux/in.h; IPV6_FREEBIND, linux/in6.h."""


class Dropped(enum.StrEnum):
    """What came and was not taken, or was not sent."""

    GARBAGE = "garbage"
    VERSION = "another release"
    MODULE = "of another cluster, or a module that is not here"
    NODE = "meant for another node, or answered by one"
    STALE = "not asked for, or too late"
    UNSENT = "not sent"


@dataclass(slots=True)
class _Round:
    """What a director asks."""

    endpoints: Mapping[str, str]
    heard: Callable[[str, Answer], None]
    again: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    module: Module
    node: str
    at_ns: int


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
        self._port = 0
        self._answers: dict[Module, Answer] = {}
        self._rounds: dict[Module, _Round] = {}
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
            present = _bind(made, address, port)
        except OSError as error:
            made.close()
            raise DefiniteFailure(f"probes at {address}, UDP port {port}: {error}") from None
        self._socket, self._port = made, port
        asyncio.get_running_loop().add_reader(made, self._readable)
        return present

    def close(self) -> None:
        """End; nothing is asked or answered any more."""
        for module in list(self._rounds):
            self.probe(module, {}, lambda _node, _answer: None)
        self._answers.clear()
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def answer(self, module: Module, answer: Answer) -> None:
        """What this node answers for ``module`` from now on; until the first time, nothing at all."""
        self._answers[module] = answer

    def fall_silent(self, module: Module) -> None:
        """Answer nothing for ``module`` any more."""
        self._answers.pop(module, None)

    def probe(self, module: Module, endpoints: Mapping[str, str], heard: Callable[[str, Answer], None]) -> None:
        """From now on, ask these nodes (name to address) and no others; ``heard`` gets each answer."""
        former = self._rounds.get(module)
        if not endpoints:
            if former is not None and former.again is not None:
                former.again.cancel()
            self._rounds.pop(module, None)
        elif former is not None:
            former.endpoints, former.heard = dict(endpoints), heard
        else:
            self._rounds[module] = _Round(dict(endpoints), heard)
            self._ask(module)

    def _ask(self, module: Module) -> None:
        asking = self._rounds[module]
        # Counted from now, not from when this was due: after a stall nothing is caught up with.
        asking.again = asyncio.get_running_loop().call_later(EVERY_S, self._ask, module)
        now = self._clock()
        self._forget_stale(now)
        for node, address in asking.endpoints.items():
            self._next += 1
            self._asked[self._next] = _Asked(module, node, now)
            self._send(pack(Message(Kind.PROBE, module, self._next, node)), address, self._port)

    def _forget_stale(self, now: int) -> None:
        for sequence, asked in list(self._asked.items()):
            if now - asked.at_ns <= self._late_ns:
                return
            del self._asked[sequence]

    def _send(self, datagram: bytes, address: str, port: int) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(datagram, (address, port))
        except OSError as error:
            self._drop(Dropped.UNSENT, f"{address}: {error.strerror or error}")

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            if self._socket is None:
                return  # What was heard has closed it.
            try:
                datagram, sender = self._socket.recvfrom(_RECEIVED_MOST)
            except OSError:
                return  # There is none; or the network complains of one that was sent.
            self._take(datagram, sender[0], sender[1])

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
            else:
                self._hear(message, address)

    def _reply(self, probe: Message, address: str, port: int) -> None:
        answer = self._answers.get(probe.module)
        if answer is None:
            self._drop(Dropped.MODULE, address)
        elif probe.node != self._node:
            self._drop(Dropped.NODE, address)
        else:
            reply = Message(Kind.ANSWER, probe.module, probe.sequence, self._node, answer)
            self._send(pack(reply), address, port)

    def _hear(self, reply: Message, address: str) -> None:
        asked, asking = self._asked.get(reply.sequence), self._rounds.get(reply.module)
        if asked is None or asking is None or asked.module != reply.module or asked.node not in asking.endpoints:
            self._drop(Dropped.STALE, address)
        elif asked.node != reply.node:
            self._drop(Dropped.NODE, address)
        else:
            del self._asked[reply.sequence]
            if self._clock() - asked.at_ns > self._late_ns:
                self._drop(Dropped.STALE, address)
            else:
                asking.heard(reply.node, reply.answer)

    def _drop(self, what: Dropped, whose: str) -> None:
        self.dropped[what] += 1
        if (what, whose) not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add((what, whose))
            self._on_dropped(what, whose)


def _bind(made: socket.socket, address: str, port: int) -> bool:
    try:
        made.bind((address, port))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        made.setsockopt(*_FREE_BIND[made.family], 1)
        made.bind((address, port))
        return False
    return True
