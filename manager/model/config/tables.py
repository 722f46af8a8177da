"""Reads TOML tables key by key, and notes what is wrong instead of stopping at it.

A :class:`Table` remembers which keys it was asked for. At the end :meth:`Table.finish` refuses every other one
and names the nearest allowed, so the list of allowed keys is the code that reads them and cannot drift from it.
A wrong value is noted and its default is returned, so that reading goes on and finds the rest.
"""

import difflib
import enum
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from manager.model.config import rates, sizes
from manager.model.config.durations import RULE, format_duration, parse_duration_ms
from manager.model.config.findings import Findings, listing
from manager.model.config.rules import ANY, Rule

E = TypeVar("E", bound=enum.StrEnum)

_TYPES = {bool: "true or false", str: "a string in quotes", int: "a whole number", list: "a list in [ ]"}
_INDEX = re.compile(r"\[[0-9]+\]")


def parse_toml(text: str, findings: Findings) -> "Table | None":
    """The top table of ``text``; ``None``, and a finding that says where, when it is not TOML."""
    try:
        return Table(tomllib.loads(text), "", findings)
    except tomllib.TOMLDecodeError as error:
        findings.note("", f"a mistake in the TOML: {error}", "TOML 1.0 (https://toml.io/en/v1.0.0)")
    except RecursionError:
        findings.note("", "values nested too deep", "TOML 1.0 (https://toml.io/en/v1.0.0)")
    except ValueError:  # Of a number that Python refuses to read (sys.get_int_max_str_digits).
        findings.note("", "a number of thousands of digits", "whole numbers of 64 bits, as TOML 1.0 has them")
    return None


class Table:
    """One TOML table under its dotted path."""

    def __init__(self, plain: Mapping[str, Any], path: str, findings: Findings) -> None:
        """``plain`` is what ``tomllib`` gave for ``path``; an empty path is the file's top."""
        self._plain = plain
        self._path = path
        self._findings = findings
        self._asked: list[str] = []
        self._refused: list[str] = []

    def path(self, key: str) -> str:
        """The full dotted name of ``key``."""
        return f"{self._path}.{key}" if self._path else key

    def has(self, key: str) -> bool:
        """Whether ``key`` is set, rightly or not."""
        return key in self._plain

    def is_empty(self, key: str) -> bool:
        """Whether the string ``key`` is missing or empty."""
        return bool(self._plain.get(key, "") == "")

    def refuse(self, key: str, allowed: str) -> None:
        """Note that the value of ``key`` is not allowed."""
        self._findings.add(self.path(key), self._plain[key], allowed)

    def refuse_known(self, key: str, allowed: str) -> None:
        """Refuse ``key`` where it is set: it is known, and not taken here, or not yet."""
        if self.has(key):
            self._refused.append(key)
            self.refuse(key, allowed)

    def required(self, key: str, rule: Rule) -> str:
        """A string that must be there; empty when it is not, or is wrong."""
        if not self.has(key):
            self._missing(key, rule.allowed)
        return self.text(key, "", rule)

    def text(self, key: str, default: str, rule: Rule = ANY) -> str:
        """A string that ``rule`` allows."""
        value = self._typed(key, str)
        if value is None:
            return default
        if not rule.holds(value):
            self.refuse(key, rule.allowed)
            return default
        return str(value)

    def boolean(self, key: str, default: bool) -> bool:
        """``true`` or ``false``."""
        value = self._typed(key, bool)
        return default if value is None else bool(value)

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number from ``least`` to ``most``."""
        value = self._typed(key, int)
        if value is None:
            return default
        if not least <= value <= most:
            self.refuse(key, f"a whole number from {least} to {most}")
            return default
        return int(value)

    def duration_ms(self, key: str, default: int, least: int, most: int) -> int:
        """A duration; all numbers are milliseconds."""
        self._ask(key)
        if not self.has(key):
            return default
        value = self._plain[key]
        try:
            milliseconds = parse_duration_ms(value) if isinstance(value, str) else None
        except ValueError:
            milliseconds = None
        if milliseconds is None or not least <= milliseconds <= most:
            self.refuse(key, f"{RULE}, from {format_duration(least)} to {format_duration(most)}")
            return default
        return milliseconds

    def rate_bytes_s(self, key: str, default: int, least: int, most: int) -> int:
        """A rate; all numbers are bytes per second. 0 is allowed too: no limit."""
        self._ask(key)
        if not self.has(key):
            return default
        value = self._plain[key]
        try:
            bytes_s = rates.parse_rate(value) if isinstance(value, str) else None
        except ValueError:
            bytes_s = None
        if bytes_s is None or (bytes_s and not least <= bytes_s <= most):
            self.refuse(key, _rate_rule(least, most))
            return default
        return bytes_s

    def required_rate_bytes_s(self, key: str, least: int, most: int) -> int:
        """As :meth:`rate_bytes_s`, of a rate that must be there; 0 when it is not, or is wrong."""
        if not self.has(key):
            self._missing(key, _rate_rule(least, most))
        return self.rate_bytes_s(key, 0, least, most)

    def size_bytes(self, key: str, default: int, least: int, most: int) -> int:
        """An amount of data; all numbers are bytes. 0 is allowed too."""
        self._ask(key)
        if not self.has(key):
            return default
        value = self._plain[key]
        try:
            found = sizes.parse_size(value) if isinstance(value, str) else None
        except ValueError:
            found = None
        if found is None or (found and not least <= found <= most):
            allowed = f"{sizes.RULE}, from {sizes.format_size(least)} to {sizes.format_size(most)}"
            self.refuse(key, f'{allowed}; "0 GiB": none')
            return default
        return found

    def choice(self, key: str, default: E, later: Mapping[str, str] | None = None) -> E:
        """One of the words of ``default``'s enum; ``later``: known words, and why they are not taken yet."""
        value = self._typed(key, str)
        if value is None:
            return default
        words = [str(word) for word in type(default)]
        if value in words:
            return type(default)(value)
        why = (later or {}).get(value)
        self.refuse(key, f"{listing(words)}{f' ({why})' if why else ''}")
        return default

    def choices(self, key: str, default: tuple[E, ...]) -> tuple[E, ...]:
        """A list of words of ``default``'s enum, one at least."""
        kind = type(default[0])
        words = [str(word) for word in kind]
        if self.has(key) and self._plain[key] == []:
            self._ask(key)
            self.refuse(key, f"a list of at least one entry, each {listing(words)}")
            return default
        rule = Rule(listing(words), lambda text: text in words)
        return tuple(kind(word) for word in self.strings(key, rule, tuple(str(word) for word in default)))

    def strings(self, key: str, rule: Rule, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """A list of strings, each as ``rule`` allows and none twice."""
        value = self._typed(key, list)
        if value is None:
            return default
        kept: list[str] = []
        for index, entry in enumerate(value):
            where = f"{self.path(key)}[{index}]"
            if not isinstance(entry, str) or not rule.holds(entry):
                self._findings.add(where, entry, rule.allowed)
            elif entry in kept:
                self._findings.note(where, f'"{entry}" again', "each entry once")
            else:
                kept.append(entry)
        return tuple(kept)

    def required_strings(self, key: str, rule: Rule) -> tuple[str, ...]:
        """As :meth:`strings`, of a list that must be there and not be empty."""
        if not self.has(key):
            self._missing(key, f"a list, each entry {rule.allowed}")
        elif self._plain[key] == []:
            self.refuse(key, f"a list of at least one entry, each {rule.allowed}")
        return self.strings(key, rule)

    def string_lists(self, key: str, rule: Rule) -> tuple[tuple[str, ...], ...]:
        """A list of lists of strings, each as ``rule`` allows; none of the lists is empty."""
        value = self._typed(key, list)
        kept: list[tuple[str, ...]] = []
        for index, entry in enumerate(value or ()):
            inner = Table({f"{key}[{index}]": entry}, self._path, self._findings)
            kept.append(inner.required_strings(f"{key}[{index}]", rule))
        return tuple(kept)

    def table(self, key: str) -> "Table":
        """The table ``key``; an empty one when it is not there."""
        self._ask(key)
        value = self._plain.get(key, {})
        if not isinstance(value, dict):
            self.refuse(key, f"a table, begun by [{self.path(key)}]")
            value = {}
        return Table(value, self.path(key), self._findings)

    def tables(self, key: str) -> "list[Table]":
        """The entries of the array of tables ``[[key]]``."""
        self._ask(key)
        value = self._plain.get(key, [])
        if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
            self.refuse(key, f"tables, each begun by [[{self.path(key)}]]")
            return []
        return [Table(v, f"{self.path(key)}[{i}]", self._findings) for i, v in enumerate(value)]

    def required_tables(self, key: str) -> "list[Table]":
        """As :meth:`tables`, of which there must be one at least."""
        if self._plain.get(key, []) == []:
            self._ask(key)
            self._missing(key, f"one [[{self.path(key)}]] at least")
            return []
        return self.tables(key)

    def names(self) -> Sequence[str]:
        """Every key that is set: for tables whose keys are the user's own."""
        return list(self._plain)

    def finish(self) -> None:
        """Refuse the keys that were not asked for."""
        for key in self._plain:
            if key not in (*self._asked, *self._refused):
                self._findings.note(self.path(key), "an unknown key", self._allowed_instead(key))

    def _allowed_instead(self, key: str) -> str:
        near = difflib.get_close_matches(key, self._asked, n=1, cutoff=0.5)
        where = f"in [{_INDEX.sub('', self._path)}]" if self._path else "at the top of the file"
        meant = f'"{near[0]}" is the nearest; ' if near else ""
        return f"{meant}{where}: {', '.join(self._asked)}"

    def _missing(self, key: str, allowed: str) -> None:
        self._findings.note(self.path(key), "nothing, and it has no default", allowed)

    def _ask(self, key: str) -> None:
        if key not in self._asked:
            self._asked.append(key)

    def _typed(self, key: str, kind: type) -> Any:
        """The value when it is there and of ``kind``; else ``None``, with a finding when it is there."""
        self._ask(key)
        if not self.has(key):
            return None
        value = self._plain[key]
        # Exactly: true is an int to Python, and not to the user.
        if type(value) is not kind:
            self.refuse(key, _TYPES[kind])
            return None
        return value


def _rate_rule(least: int, most: int) -> str:
    return f'{rates.RULE}, from {rates.format_rate(least)} to {rates.format_rate(most)}; "0 MiB/s": no limit'
