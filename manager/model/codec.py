"""Frozen dataclasses to JSON objects and back, strictly.

Records, control messages and API calls all pass through here, so that a wrong field is refused at the edge
with its name. Unknown fields are ignored: a newer minor release may add some (mixed versions run side by side).
"""

import dataclasses
import enum
import functools
import json
import types
import typing
from typing import Any, TypeVar

from manager.model.errors import MirrorfarmError

T = TypeVar("T")

_AS_THEY_ARE = (str, int, bool, float, types.NoneType)
"""Types whose values JSON has as well; of most fields."""


class DecodeError(MirrorfarmError):
    """A JSON text is not the record it should be. The message names the field."""


def encode(record: Any) -> str:
    """``record`` (a dataclass) as one JSON object, keys in field order."""
    return json.dumps(to_plain(record), separators=(", ", ": "), ensure_ascii=False)


def to_plain(value: Any) -> Any:
    """``value`` with dataclasses, enums and tuples replaced by dicts, strings and lists."""
    if type(value) in _AS_THEY_ARE:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple, frozenset)):
        return [to_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    return value


def decode(kind: type[T], text: str | bytes) -> T:
    """A ``kind`` from the JSON object in ``text``.

    Raises:
        DecodeError: not JSON, a field missing, or of a wrong type.
    """
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"{kind.__name__}: not JSON: {error}") from None
    return from_plain(kind, plain)


def from_plain(kind: type[T], plain: Any) -> T:
    """As :func:`decode`, from what ``json.loads`` gave."""
    return typing.cast(T, _value(kind, plain, kind.__name__))


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(hint: Any, plain: Any, where: str) -> Any:
    if type(plain) is hint and hint in _AS_THEY_ARE:
        return plain
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        if plain is None and type(None) in typing.get_args(hint):
            return None
        options = [a for a in typing.get_args(hint) if a is not type(None)]
        if len(options) != 1:
            raise TypeError(f"{where}: unions other than Optional are not decoded")
        return _value(options[0], plain, where)
    if origin is tuple:
        if not isinstance(plain, list):
            raise DecodeError(f"{where}: a list is expected, found {plain!r}")
        return tuple(_value(typing.get_args(hint)[0], v, f"{where}[{i}]") for i, v in enumerate(plain))
    if origin is dict:
        if not isinstance(plain, dict):
            raise DecodeError(f"{where}: an object is expected, found {plain!r}")
        return {k: _value(typing.get_args(hint)[1], v, f"{where}.{k}") for k, v in plain.items()}
    if hint is Any:
        return plain
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast(type, hint), plain, where)
    return _scalar(hint, plain, where)


def _scalar(hint: Any, plain: Any, where: str) -> Any:
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        try:
            return hint(plain)
        except ValueError:
            allowed = ", ".join(str(m.value) for m in hint)
            raise DecodeError(f"{where}: one of {allowed} is expected, found {plain!r}") from None
    base = getattr(hint, "__supertype__", hint)
    if base is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if type(plain) is not base:
        raise DecodeError(f"{where}: {base.__name__} is expected, found {plain!r}")
    return plain


def _record(kind: type, plain: Any, where: str) -> Any:
    if not isinstance(plain, dict):
        raise DecodeError(f"{where}: an object is expected, found {plain!r}")
    hints = _hints(kind)
    given = {}
    for field in dataclasses.fields(kind):
        if field.name in plain:
            given[field.name] = _value(hints[field.name], plain[field.name], f"{where}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise DecodeError(f"{where}.{field.name}: missing")
    return kind(**given)
