"""Which keys of a module are not understood, among all that etcd has. Pure."""

from collections.abc import Iterator, Mapping

from manager.model.codec import DecodeError, decode
from manager.model.config import parse_module
from manager.model.errors import ConfigError
from manager.model.keys import ModuleKeys
from manager.model.records import DesiredRecord, InsyncRecord, ModuleConfigRecord, PrimaryRecord
from manager.model.unreadable import Kind, UnreadableKey

_LONGEST = 500
"""Characters of what is wrong, which may quote a value of any length."""


def unreadable(keys: ModuleKeys, values: Mapping[str, str]) -> tuple[UnreadableKey, ...]:
    """Those of the module of ``keys``, among all the ``values`` that etcd has, by key."""
    return tuple(_found(keys, values))


def _found(keys: ModuleKeys, values: Mapping[str, str]) -> Iterator[UnreadableKey]:
    for key in sorted(k for k in values if k.startswith(keys.prefix)):
        node = key.removeprefix(keys.desired("")) if key.startswith(keys.desired("")) else ""
        try:
            if node:
                kind = Kind.DESIRED
                decode(DesiredRecord, values[key])
            elif key == keys.config:
                kind = Kind.CONFIG
                record = decode(ModuleConfigRecord, values[key])
                parse_module(record.toml, record.scripts)
            elif key == keys.primary:
                kind = Kind.PRIMARY
                decode(PrimaryRecord, values[key])
            elif key == keys.insync:
                kind = Kind.INSYNC
                decode(InsyncRecord, values[key])
        except (DecodeError, ConfigError) as problem:
            yield UnreadableKey(key, kind, str(problem)[:_LONGEST], node)
