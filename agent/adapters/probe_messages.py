"""What the nodes of a farm ask each other, and what they answer: one JSON object a datagram. Bytes and objects.

Each names the cluster and the module by their ids, so that nobody takes what is another's for his own. That keeps apart
what got mixed up and keeps nobody out: whoever reaches the port can ask, and who sees the questions can answer them. A
keyed digest with those ids for a key would be no better, since they are no secret.
"""

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from manager.model.codec import DecodeError, decode, encode
from manager.model.farm import SLOTS
from manager.model.farm_figures import NodeFigures

VERSION = 2
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_BITMAP = re.compile(rf"[0-9a-f]{{1,{SLOTS // 4}}}")
_NUMBERED = re.compile(rb'"sequence": ([0-9]{1,19}),')


class Kind(enum.StrEnum):
    """What a datagram is."""

    PROBE = "probe"
    ANSWER = "answer"
    FIGURES = "figures"
    """What who sends it has counted: neither asked for nor answered."""


@dataclass(frozen=True, slots=True)
class Module:
    """Which module is meant."""

    cluster_id: str
    module_id: str


@dataclass(frozen=True, slots=True)
class Question:
    """What a node says of itself when it asks."""

    by: str = ""
    """Who asks."""
    directs: Mapping[str, int] = field(default_factory=dict)
    """The addresses that it answers for on the network, with the number of the table that its kernel shares each by; 0:
    it has none, or does not say."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a node says of itself when it is asked."""

    ready: bool = False
    """It takes its share."""
    adopting: bool = False
    """What a former agent started here is being taken over: it keeps what it has, and can be given nothing yet."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Address to the number of the table that its kernel's rules are made of."""
    macs: Mapping[str, str] = field(default_factory=dict)
    """Address to the MAC of its link."""
    busy: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Address to the slots in which it has connections."""
    promises: frozenset[str] = frozenset()
    """The addresses for which it promises who asks that it does not direct."""
    heard_ms: Mapping[str, int] = field(default_factory=dict)
    """Address to how long ago it was asked by a node that directs it; absent: not since it listens."""
    is_open: bool = True
    """What begins may go to it."""


@dataclass(frozen=True, slots=True)
class Message:
    """A datagram."""

    kind: Kind
    module: Module
    sequence: int
    """The question's; its answer has the same."""
    node: str
    """Whom the question is for, and who answers; who has counted the figures."""
    answer: Answer = field(default_factory=Answer)
    """Of an answer."""
    question: Question = field(default_factory=Question)
    """Of a probe."""
    figures: NodeFigures | None = None
    """Where it is of those."""


class OtherVersion(DecodeError):
    """A datagram of a release that speaks otherwise."""


@dataclass(frozen=True, slots=True)
class _Head:
    version: int
    kind: Kind
    cluster_id: str
    module_id: str
    sequence: int
    node: str


@dataclass(frozen=True, slots=True)
class _Probe:
    version: int
    kind: Kind
    cluster_id: str
    module_id: str
    sequence: int
    node: str
    by: str
    directs: tuple[str, ...]
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Reply:
    version: int
    kind: Kind
    cluster_id: str
    module_id: str
    sequence: int
    node: str
    ready: bool
    adopting: bool
    numbers: dict[str, int]
    macs: dict[str, str]
    busy: dict[str, str]
    """Hexadecimal; the lowest bit is slot 0."""
    promises: tuple[str, ...]
    heard_ms: dict[str, int]
    is_open: bool


@dataclass(frozen=True, slots=True)
class _Told:
    version: int
    kind: Kind
    cluster_id: str
    module_id: str
    sequence: int
    node: str
    figures: NodeFigures


def pack(message: Message) -> bytes:
    """The datagram."""
    module, answer = message.module, message.answer
    head = (VERSION, message.kind, module.cluster_id, module.module_id, message.sequence, message.node)
    if message.kind is Kind.PROBE:
        asked = message.question
        return encode(_Probe(*head, asked.by, tuple(sorted(asked.directs)), dict(asked.directs))).encode()
    if message.figures is not None:
        return encode(_Told(*head, message.figures)).encode()
    busy = {address: f"{sum(1 << slot for slot in slots):x}" for address, slots in answer.busy.items()}
    numbers, macs, heard_ms = dict(answer.numbers), dict(answer.macs), dict(answer.heard_ms)
    promises = tuple(sorted(answer.promises))
    reply = _Reply(*head, answer.ready, answer.adopting, numbers, macs, busy, promises, heard_ms, answer.is_open)
    return encode(reply).encode()


def unpack(datagram: bytes) -> Message:
    """What is in a datagram.

    Raises:
        OtherVersion: another release sent it.
        DecodeError: it is none of ours.
    """
    head = decode(_Head, datagram)
    if head.version != VERSION:
        raise OtherVersion(f"version: {VERSION} is expected, found {head.version}")
    module = Module(head.cluster_id, head.module_id)
    if head.kind is Kind.PROBE:
        return Message(head.kind, module, head.sequence, head.node, question=_question(decode(_Probe, datagram)))
    if head.kind is Kind.FIGURES:
        return Message(head.kind, module, head.sequence, head.node, figures=decode(_Told, datagram).figures)
    return Message(head.kind, module, head.sequence, head.node, _answer(decode(_Reply, datagram)))


def sequence_of(quoted: bytes) -> int | None:
    """The number of the message that begins so; ``None``: it has none, or does not go so far.

    Of what the network sends back of a datagram, which may be its beginning alone.
    """
    found = _NUMBERED.search(quoted)
    return int(found.group(1)) if found is not None else None


def _question(probe: _Probe) -> Question:
    _require_natural("numbers", probe.numbers)
    return Question(probe.by, {address: probe.numbers.get(address, 0) for address in probe.directs})


def _require_natural(what: str, numbers: Mapping[str, int]) -> None:
    if any(number < 0 for number in numbers.values()):
        raise DecodeError(f"{what}: found {numbers!r}")


def _answer(reply: _Reply) -> Answer:
    for what, rule, texts in (("macs", _MAC, reply.macs), ("busy", _BITMAP, reply.busy)):
        for address, text in texts.items():
            if rule.fullmatch(text) is None:
                raise DecodeError(f"{what}.{address}: found {text!r}")
    _require_natural("numbers", reply.numbers)
    _require_natural("heard_ms", reply.heard_ms)
    busy = {address: _slots(int(text, 16)) for address, text in reply.busy.items()}
    promises = frozenset(reply.promises)
    return Answer(
        reply.ready, reply.adopting, reply.numbers, reply.macs, busy, promises, reply.heard_ms, reply.is_open
    )  # fmt: skip


def _slots(bits: int) -> frozenset[int]:
    return frozenset(slot for slot in range(bits.bit_length()) if bits >> slot & 1)
