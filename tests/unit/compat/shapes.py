"""What a release's reader takes of each form, as plain data that outlives its code; and that reader.

A shape is the fields of an object with what may stand in them. The reader does what ``manager.model.codec`` did in that
release: it passes over fields that it does not know, and misses those without which it reads nothing.
"""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from manager.model.versions import RECORDS, RecordVersion
from tests.unit.compat.forms import Form, Manner

Shapes = dict[str, Any]
"""``forms``: name to what is read by it. ``objects``: name to its fields. ``words``: name to the words of an enum.
``records``: the newest version of records."""
Place = tuple[Any, Any, bool]
"""What a word stands in, under which key, and whether it may be one that is not known."""
_SCALARS: dict[Any, Any] = {str: str, int: int, float: (int, float), bool: bool}
_SCALAR_NAMES = {kind.__name__: kinds for kind, kinds in _SCALARS.items()}
_VERSION = "record version"


def shapes_of(forms: Mapping[str, Form]) -> Shapes:
    """Those of this release."""
    found: Shapes = {"forms": {}, "objects": {}, "words": {}, "records": RECORDS.newest}
    for name, form in sorted(forms.items()):
        found["forms"][name] = {"is": _shape(form.kind, found), "manner": form.manner.value, "inside": form.inside}
    return found


def _shape(hint: Any, found: Shapes) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return ["optional", _shape(next(a for a in inner if a is not types.NoneType), found)]
    if origin is tuple:
        return ["list", _shape(inner[0], found)]
    if origin is dict:
        return ["map", _shape(inner[1], found)]
    if hint is RecordVersion:
        return _VERSION
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return ["object", _object(hint, found)]
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        name = f"{hint.__module__}.{hint.__name__}"
        found["words"][name] = [member.value for member in hint]
        return ["words", name]
    return getattr(hint, "__supertype__", hint).__name__


def _object(kind: type, found: Shapes) -> str:
    name = f"{kind.__module__}.{kind.__name__}"
    if name not in found["objects"]:
        found["objects"][name] = {}
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            found["objects"][name][field.name] = {"is": _shape(hints[field.name], found), "required": required}
    return name


class Reader:
    """Reads as the release of some shapes did."""

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes

    def troubles(self, form: str, line: Any) -> list[str]:
        """What of ``line``, which JSON gave, that release could not read; empty: it reads it."""
        told = self._form(form)["manner"] == Manner.TOLD
        return list(self._troubles(self._form(form)["is"], self._inside(form, line), form, told, optional=False))

    def objects(self, form: str, line: Any) -> list[dict[str, Any]]:
        """Each object in ``line`` to which a newer release may add a field."""
        within = self._objects(self._form(form)["is"], self._inside(form, line))
        return [*([line] if self._form(form)["inside"] else []), *within]

    def words(self, form: str, line: Any) -> list[Place]:
        """Each word of an enum in ``line``."""
        return list(self._words(self._form(form)["is"], self._inside(form, line), None, None, optional=False))

    def _form(self, form: str) -> Any:
        return self._shapes["forms"][form]

    def _inside(self, form: str, line: Any) -> Any:
        inside = self._form(form)["inside"]
        return line[inside] if inside else line

    def _troubles(self, shape: Any, plain: Any, where: str, told: bool, *, optional: bool) -> Iterator[str]:
        if isinstance(shape, str):
            yield from self._scalar_troubles(shape, plain, where)
            return
        kind, inner = shape
        below = functools.partial(self._troubles, told=told, optional=False)
        if kind == "optional":
            yield from () if plain is None else self._troubles(inner, plain, where, told, optional=True)
        elif kind == "words":
            yield from self._word_troubles(inner, plain, where, told, optional=optional)
        elif not (isinstance(plain, list) if kind == "list" else isinstance(plain, dict)):
            yield f"{where}: no {kind}"
        elif kind == "list":
            for place, value in enumerate(plain):
                yield from below(inner, value, f"{where}[{place}]")
        elif kind == "map":
            for key, value in plain.items():
                yield from below(inner, value, f"{where}.{key}")
        else:
            for name, field in self._shapes["objects"][inner].items():
                if name in plain:
                    yield from below(field["is"], plain[name], f"{where}.{name}")
                elif field["required"]:
                    yield f"{where}.{name}: missing"

    def _scalar_troubles(self, shape: str, plain: Any, where: str) -> Iterator[str]:
        if shape == _VERSION:
            if not 0 < plain <= self._shapes["records"]:
                yield f"{where}: another version, {plain}"
        elif not isinstance(plain, _SCALAR_NAMES[shape]) or (isinstance(plain, bool) and shape != "bool"):
            yield f"{where}: no {shape}"

    def _word_troubles(self, name: str, plain: Any, where: str, told: bool, *, optional: bool) -> Iterator[str]:
        words = self._shapes["words"][name]
        if plain not in words and not (told and (optional or "unknown" in words)):
            yield f"{where}: the word {plain!r} is not known"

    def _objects(self, shape: Any, plain: Any) -> Iterator[dict[str, Any]]:
        if isinstance(shape, str) or plain is None:
            return
        kind, inner = shape
        if kind == "object":
            yield plain
            for name, field in self._shapes["objects"][inner].items():
                yield from self._objects(field["is"], plain[name]) if name in plain else ()
        elif kind == "optional":
            yield from self._objects(inner, plain)
        elif kind in ("list", "map"):
            for value in plain if kind == "list" else plain.values():
                yield from self._objects(inner, value)

    def _words(
        self, shape: Any, plain: Any, holder: Any, key: Any, *, optional: bool
    ) -> Iterator[tuple[Any, Any, bool]]:
        if isinstance(shape, str) or plain is None:
            return
        kind, inner = shape
        if kind == "words":
            yield holder, key, optional or "unknown" in self._shapes["words"][inner]
        elif kind == "optional":
            yield from self._words(inner, plain, holder, key, optional=True)
        elif kind == "object":
            for name, field in self._shapes["objects"][inner].items():
                yield from self._words(field["is"], plain.get(name), plain, name, optional=False)
        else:
            for place, value in enumerate(plain) if kind == "list" else plain.items():
                yield from self._words(inner, value, plain, place, optional=False)
