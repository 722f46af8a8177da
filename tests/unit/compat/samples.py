"""Two examples of each form: one with no more than it must have, and one with everything."""

import dataclasses
import enum
import types
import typing
from typing import Any

from agent.adapters.probe_messages import Answer, Kind, Message, Module, Question
from manager.model.farm_figures import Flow, NodeFigures
from manager.model.versions import RecordVersion
from replicator.core.filesystem import Free, Limits
from replicator.wire.messages import Hello, Refusal, Refused, Welcome
from tests.unit.compat.forms import Form

_AS_WRITTEN = frozenset({"version", "oldest_version"})
"""Fields that say what the release itself speaks."""
_SCALARS: dict[Any, Any] = {int: 3, float: 1.5, bool: True}
_LIMITS = Limits(1 << 43, 4095, 65000, 4096, (0, 1, 3, 16), True)
_MODULE = Module("c" * 32, "m" * 32)
_FIGURES = NodeFigures({"10.0.0.9": 7}, {"10.0.0.9": {"b": Flow(10, 1000, 1, None)}}, 250)
_ANSWER = Answer(
    ready=True,
    adopting=True,
    numbers={"10.0.0.9": 4},
    macs={"10.0.0.9": "02:00:00:00:00:0a"},
    busy={"10.0.0.9": frozenset({0, 9, 1023})},
    promises=frozenset({"10.0.0.9"}),
    heard_ms={"10.0.0.9": 120},
    is_open=False,
)
_BY_HAND: dict[str, tuple[Any, ...]] = {
    "handshake Hello": (
        Hello("c1", "m1", "a", "boot", "i1", 5, 1, (_LIMITS,)),
        Hello("c1", "m1", "a", "boot", "i1", 5, 2, (_LIMITS, _LIMITS), oldest_version=1),
    ),
    "handshake Welcome": (
        Welcome("b", "boot", "i2", 5, (_LIMITS,), (Free(1 << 40, 1 << 20),)),
        Welcome("b", "boot", "i2", 5, (_LIMITS,), (Free(0, 0),), ("0123456789abcdef", "f" * 16), True),
    ),
    "handshake Refused": tuple(Refused(reason, "why") for reason in Refusal if reason is not Refusal.UNKNOWN),
    "probe probe": (
        Message(Kind.PROBE, _MODULE, 5, "b"),
        Message(Kind.PROBE, _MODULE, 6, "b", question=Question("a", {"10.0.0.9": 4})),
    ),
    "probe answer": (Message(Kind.ANSWER, _MODULE, 5, "b"), Message(Kind.ANSWER, _MODULE, 6, "b", _ANSWER)),
    "probe figures": (
        Message(Kind.FIGURES, _MODULE, 5, "b", figures=NodeFigures(None, None, 0)),
        Message(Kind.FIGURES, _MODULE, 6, "b", figures=_FIGURES),
    ),
}
"""Of which not every value can be, or which are no dataclass of what travels."""


def samples(name: str, form: Form) -> tuple[Any, ...]:
    """Examples of the form of that name."""
    return _BY_HAND.get(name) or (_made(form.kind, whole=False), _made(form.kind, whole=True))


def _made(kind: Any, *, whole: bool) -> Any:
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            field.name: _value(hints[field.name], field.name, whole=whole)
            for field in dataclasses.fields(kind)
            if field.name not in _AS_WRITTEN and (whole or _is_required(field))
        }
    )


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(hint: Any, name: str, *, whole: bool) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _value(inner[0], name, whole=whole) if whole else None
    if origin is tuple:
        return (_value(inner[0], name, whole=whole),) if whole else ()
    if origin is dict:
        return {name: _value(inner[1], name, whole=whole)} if whole else {}
    if dataclasses.is_dataclass(hint):
        return _made(hint, whole=whole)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return list(hint)[-1]
    base = getattr(hint, "__supertype__", hint)
    assert hint is not RecordVersion
    return name if base is str else _SCALARS[base]
