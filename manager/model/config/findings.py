"""What is wrong with a configuration, and the error that carries all of it.

Every finding says where (file and key), what was found, and what is allowed there, so that one reading of the
error is enough to correct the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from manager.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    file: str
    key: str
    """Dotted, list entries by index: ``address[0].ip``; empty: the file as a whole."""
    found: str
    allowed: str

    def __str__(self) -> str:
        """The finding as one line."""
        where = f"{self.file}: {self.key}" if self.key else self.file
        return f"{where}: found {self.found}; allowed: {self.allowed}"


class InvalidConfig(ConfigError):
    """A configuration with everything that is wrong with it, a line each."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        """At least one finding is expected: without any there is nothing to raise."""
        if not findings:
            raise ValueError("an InvalidConfig needs a finding")
        super().__init__("\n".join(str(f) for f in findings))
        self.findings = tuple(findings)


class Findings:
    """Collects what is wrong while one file is read."""

    def __init__(self, file: str) -> None:
        """``file`` is how the file is called in the findings."""
        self._file = file
        self._list: list[Finding] = []

    def add(self, key: str, value: object, allowed: str) -> None:
        """Note that ``key`` has ``value`` where ``allowed`` is."""
        self.note(key, describe(value), allowed)

    def note(self, key: str, found: str, allowed: str) -> None:
        """As :meth:`add`, with what was found in words."""
        self._list.append(Finding(self._file, key, found, allowed))

    @property
    def count(self) -> int:
        """How many there are: whether reading something added one tells whether it was wrong."""
        return len(self._list)

    def raise_if_any(self) -> None:
        """Raise :class:`InvalidConfig` with all findings, if there are any."""
        if self._list:
            raise InvalidConfig(self._list)


_SHOWN = 100
_DEEPEST_SHOWN = 5
_LONGEST_NUMBER_BITS = 1024
"""Python writes no number of thousands of digits; as a hexadecimal one it is read."""


def describe(value: object) -> str:
    """A TOML value as the user would have written it, cut to a length that fits a line."""
    text = _toml(value, 0)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _toml(value: object, depth: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # Control characters stay escaped: the text goes to terminals and logs.
        return f'"{value}"' if value.isprintable() else repr(value)
    if isinstance(value, list | tuple):
        if depth == _DEEPEST_SHOWN and value:
            return "[...]"
        return f"[{', '.join(_toml(v, depth + 1) for v in value)}]"
    if isinstance(value, dict):
        return f"a table with {', '.join(map(str, value))}" if value else "an empty table"
    if isinstance(value, int) and value.bit_length() > _LONGEST_NUMBER_BITS:
        return "a number of hundreds of digits"
    return str(value)


def listing(items: Sequence[str]) -> str:
    """``items`` as a sentence has them: ``"a", "b" or "c"``."""
    quoted = [f'"{i}"' for i in items]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"
