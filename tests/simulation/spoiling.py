"""Values of etcd's keys that no release understands, as an etcdctl put with a typo leaves them."""

from functools import lru_cache
from typing import Any, TypeVar

from manager.model.codec import decode

T = TypeVar("T")

_SPOILED = "spoiled "


def spoiled(value: str) -> str:
    """What no release understands."""
    return f"{_SPOILED}{unspoiled(value)}"


def unspoiled(value: str) -> str:
    """What was there before it was spoiled."""
    return value.removeprefix(_SPOILED)


def understood(kind: type[T], value: str) -> T:
    """The record that is there, or was before it was spoiled."""
    key: Any = kind
    record: T = _decoded(key, unspoiled(value))
    return record


@lru_cache(maxsize=256)
def _decoded(kind: Any, text: str) -> Any:
    """It is asked for all the time."""
    return decode(kind, text)
