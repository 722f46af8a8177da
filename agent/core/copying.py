"""Frozen records with many fields: a copy with other values in some, and what follows from them, reckoned once. Pure.

The core copies its state at each fact and with each rule that applies. What builds a record anew sets each of its sixty
fields through ``object.__setattr__``; here the fields that stay are copied at once. Measured: 14 us, and 1 us. And it
asks the same of one state some hundred times in a step, as who is primary: what was reckoned once stays true of it.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

R = TypeVar("R")
T = TypeVar("T")


class derived(Generic[R, T]):
    """A property of a frozen record without ``slots``, reckoned from its fields alone when it is asked for first.

    Its value is kept in the record's ``__dict__``, behind the fields; a copy made by :func:`replace` is without it, and
    reckons its own. So nothing that a field holds, as a mapping, may be changed in place.
    """

    def __init__(self, reckon: Callable[[R], T]) -> None:
        self._reckon = reckon
        self.__doc__ = reckon.__doc__

    def __set_name__(self, owner: type[R], name: str) -> None:
        """The class is made: under this name the value is kept."""
        self._name = name

    def __get__(self, record: R, owner: type[R]) -> T:
        """Asked for first; from then on the value in the record's ``__dict__`` is found before this."""
        value = record.__dict__[self._name] = self._reckon(record)
        return value


@functools.cache
def _fields(kind: type) -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(kind))


if TYPE_CHECKING:
    # The type checker knows the fields of what it is given only by this name.
    from dataclasses import replace
else:

    def replace(record: Any, **changes: Any) -> Any:
        """``record`` with ``changes``. One without a ``__dict__`` (``slots``) is built anew.

        Raises:
            TypeError: it has no such field.
        """
        values = getattr(record, "__dict__", None)
        if values is None:
            return dataclasses.replace(record, **changes)
        kind = type(record)
        fields = _fields(kind)
        if not changes.keys() <= fields:
            raise TypeError(f"{kind.__name__} has no {sorted(changes.keys() - fields)}")
        copy = object.__new__(kind)
        copied = copy.__dict__
        copied.update(values)
        for _ in range(len(copied) - len(fields)):
            copied.popitem()  # What is derived came last, as the fields were all there from the beginning.
        copied.update(changes)
        return copy


__all__ = ["derived", "replace"]
