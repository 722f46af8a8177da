"""Frozen dataclasses to JSON objects and back, strictly.

Records, control messages and API calls all pass through here, so that a wrong field is refused at the edge
with its name. Unknown fields are ignored: a newer minor release may add some (mixed versions run side by side).

A word that an enum does not have refuses the whole of a record or an order, since half of one must not be carried out.
Of what is told to people (:func:`told_from_plain`) the rest is worth knowing, so there it means "unknown".
"""

import dataclasses
import enum
import functools
import json
import re
import types
import typing
from typing import Any, TypeVar

from manager.model.errors import MirrorfarmError
from manager.model.versions import RECORDS, RecordVersion

T = TypeVar("T")

_AS_THEY_ARE = (str, int, bool, float, types.NoneType)
"""Types whose values JSON has as well; of most fields."""
_MAYBE_NO_TEXT = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""JSON may hold halves of surrogate pairs (RFC 8259, 8.2), which :func:`encode` could not have written."""
_JSON = json.JSONEncoder(separators=(", ", ": "), ensure_ascii=False)


class DecodeError(MirrorfarmError):
    """A JSON text is not the record it should be. The message names the field."""


class OtherRecordVersion(DecodeError):
    """The record is of a version that this release does not read."""


def encode(record: Any) -> str:
    """``record`` (a dataclass) as one JSON object, keys in field order."""
    return _JSON.encode(to_plain(record))


def to_plain(value: Any) -> Any:
    """``value`` with dataclasses, enums and tuples replaced by dicts, strings and lists."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name)) for name in _names(type(value))}
    if isinstance(value, (list, tuple, frozenset)):
        return [to_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    return value


def decode(kind: type[T], text: str | bytes) -> T:
    """A ``kind`` from the JSON object in ``text``.

    Raises:
        DecodeError: not JSON, a field missing, or of a wrong type; or characters that no file can have.
    """
    try:
        plain = json.loads(text)
        if _MAYBE_NO_TEXT.search(text if isinstance(text, str) else text.decode()):
            _JSON.encode(plain).encode()
    except UnicodeEncodeError:
        raise DecodeError(f"{kind.__name__}: half of a surrogate pair, which is no text in UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{kind.__name__}: not JSON: {error}") from None
    return from_plain(kind, plain)


def from_plain(kind: type[T], plain: Any) -> T:
    """As :func:`decode`, from what ``json.loads`` gave."""
    return typing.cast(T, _value(kind, plain, kind.__name__, told=False))


def told_from_plain(kind: type[T], plain: Any) -> T:
    """As :func:`from_plain`, of what is told to people.

    A word that its enum does not have is the enum's ``UNKNOWN``, or ``None`` where the field may be that.
    """
    return typing.cast(T, _value(kind, plain, kind.__name__, told=True))


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    """Of a dataclass's fields, in order."""
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def _required(kind: type) -> frozenset[str]:
    """The fields that have no value of their own."""
    missing = dataclasses.MISSING
    found = (f.name for f in dataclasses.fields(kind) if f.default is missing and f.default_factory is missing)
    return frozenset(found)


def _value(hint: Any, plain: Any, where: str, *, told: bool) -> Any:
    if type(plain) is hint and hint in _AS_THEY_ARE:
        return plain
    if hint is RecordVersion:
        return _version(plain, where)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _optional(hint, plain, where, told=told)
    if origin is tuple:
        if not isinstance(plain, list):
            raise DecodeError(f"{where}: a list is expected, found {plain!r}")
        return tuple(_value(typing.get_args(hint)[0], v, f"{where}[{i}]", told=told) for i, v in enumerate(plain))
    if origin is dict:
        if not isinstance(plain, dict):
            raise DecodeError(f"{where}: an object is expected, found {plain!r}")
        return {k: _value(typing.get_args(hint)[1], v, f"{where}.{k}", told=told) for k, v in plain.items()}
    if hint is Any:
        return plain
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast(type, hint), plain, where, told=told)
    if _is_enum(hint):
        return _word(hint, plain, where, told=told)
    return _scalar(hint, plain, where)


def _optional(hint: Any, plain: Any, where: str, *, told: bool) -> Any:
    options = [a for a in typing.get_args(hint) if a is not types.NoneType]
    if plain is None and len(options) < len(typing.get_args(hint)):
        return None
    if len(options) != 1:
        raise TypeError(f"{where}: unions other than Optional are not decoded")
    if told and _is_enum(options[0]) and isinstance(plain, str) and _member(options[0], plain) is None:
        return None
    return _value(options[0], plain, where, told=told)


def _version(plain: Any, where: str) -> Any:
    number = _scalar(int, plain, where)
    if not 0 < number <= RECORDS.newest:
        raise OtherRecordVersion(f"{where}: {RECORDS.newest} and older ones are understood, found {number}")
    return number


def _is_enum(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, enum.Enum)


def _member(kind: type[enum.Enum], plain: Any) -> enum.Enum | None:
    try:
        return kind(plain)
    except ValueError:
        return None


def _word(kind: type[enum.Enum], plain: Any, where: str, *, told: bool) -> enum.Enum:
    member = _member(kind, plain)
    if member is None and told and isinstance(plain, str):
        member = kind.__members__.get("UNKNOWN")
    if member is None:
        allowed = ", ".join(str(m.value) for m in kind)
        raise DecodeError(f"{where}: one of {allowed} is expected, found {plain!r}")
    return member


def _scalar(hint: Any, plain: Any, where: str) -> Any:
    base = getattr(hint, "__supertype__", hint)
    if base is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if type(plain) is not base:
        raise DecodeError(f"{where}: {base.__name__} is expected, found {plain!r}")
    return plain


def _record(kind: type, plain: Any, where: str, *, told: bool) -> Any:
    if not isinstance(plain, dict):
        raise DecodeError(f"{where}: an object is expected, found {plain!r}")
    hints = _hints(kind)
    if hints.get("version") is RecordVersion and "version" in plain:
        _version(plain["version"], f"{where}.version")  # First: another version may have other fields.
    given, required = {}, _required(kind)
    for name in _names(kind):
        if name in plain:
            hint, value = hints[name], plain[name]
            as_it_is = type(value) is hint and hint in _AS_THEY_ARE  # Most: without the words of where it is.
            given[name] = value if as_it_is else _value(hint, value, f"{where}.{name}", told=told)
        elif name in required:
            raise DecodeError(f"{where}.{name}: missing")
    return kind(**given)
