"""What a farm's director asks its members, and what they answer: one JSON object a datagram. Bytes and objects.

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

VERSION = 1
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_BITMAP = re.compile(rf"[0-9a-f]{{1,{SLOTS // 4}}}")


class Kind(enum.StrEnum):
    """What a datagram is."""

    PROBE = "probe"
    ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Module:
    """Which module is meant."""

    cluster_id: str
    module_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a member says of itself."""

    ready: bool = False
    """It takes its share."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """Address to the number of the table that its kernel's rules are made of."""
    macs: Mapping[str, str] = field(default_factory=dict)
    """Address to the MAC of its link."""
    busy: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Address to the slots in which it has connections."""


@dataclass(frozen=True, slots=True)
class Message:
    """A datagram."""

    kind: Kind
    module: Module
    sequence: int
    """The question's; its answer has the same."""
    node: str
    """Whom the question is for, and who answers."""
    answer: Answer = field(default_factory=Answer)
    """Of an answer."""


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
class _Reply:
    version: int
    kind: Kind
    cluster_id: str
    module_id: str
    sequence: int
    node: str
    ready: bool
    numbers: dict[str, int]
    macs: dict[str, str]
    busy: dict[str, str]
    """Hexadecimal; the lowest bit is slot 0."""


def pack(message: Message) -> bytes:
    """The datagram."""
    module, answer = message.module, message.answer
    head = (VERSION, message.kind, module.cluster_id, module.module_id, message.sequence, message.node)
    if message.kind is Kind.PROBE:
        return encode(_Head(*head)).encode()
    busy = {address: f"{sum(1 << slot for slot in slots):x}" for address, slots in answer.busy.items()}
    return encode(_Reply(*head, answer.ready, dict(answer.numbers), dict(answer.macs), busy)).encode()


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
        return Message(head.kind, module, head.sequence, head.node)
    reply = decode(_Reply, datagram)
    for what, rule, texts in (("macs", _MAC, reply.macs), ("busy", _BITMAP, reply.busy)):
        for address, text in texts.items():
            if rule.fullmatch(text) is None:
                raise DecodeError(f"{what}.{address}: found {text!r}")
    if any(number < 0 for number in reply.numbers.values()):
        raise DecodeError(f"numbers: found {reply.numbers!r}")
    busy = {address: _slots(int(text, 16)) for address, text in reply.busy.items()}
    return Message(head.kind, module, head.sequence, head.node, Answer(reply.ready, reply.numbers, reply.macs, busy))


def _slots(bits: int) -> frozenset[int]:
    return frozenset(slot for slot in range(bits.bit_length()) if bits >> slot & 1)
