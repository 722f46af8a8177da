"""The history of an application's operations on a mirror, as it was written down outside of it, and what it proves.

Several workers, each with a directory of its own and one operation at a time, write down each operation before they
begin it and after it has ended; at each start of the application they keep what they find. So for every start it is
known what must be there: all that completed, the one operation in flight wholly, in its first bytes or not at all,
and nothing else. Pure, but for :func:`read_runs`. It does not know how the operations are made
(``tests.support.recorded_work``), nor what happened to the nodes.
"""

import itertools
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

_STAMP = struct.Struct("<QQ")
_MIX = 0x5A5A5A5A5A5A
SLOT_BYTES = 512
"""What the worker ``slots`` writes at once."""
Files = dict[str, bytes]


def stamped(number: int, length: int) -> bytes:
    """So many bytes, each sixteen of which say ``number``."""
    block = _STAMP.pack(number, number ^ _MIX)
    return (block * (length // len(block) + 1))[:length]


@dataclass(frozen=True, slots=True)
class Operation:
    """One call, and what became of it."""

    number: int
    do: str
    """``create``, ``write``, ``truncate``, ``rename``, ``unlink`` or ``fsync``."""
    name: str
    begun_ns: int
    at: int = 0
    length: int = 0
    new: str = ""
    ended_ns: int | None = None
    """``None``: nobody knows; it was in flight when the application was killed."""
    errno: int = 0

    @property
    def done(self) -> bool:
        """The application was told that it is."""
        return self.ended_ns is not None and not self.errno

    def changed(self, files: Files) -> Files:
        """``files`` after it."""
        after = dict(files)
        match self.do:
            case "create":
                after[self.name] = b""
            case "write":
                old = files[self.name].ljust(self.at, b"\0")
                after[self.name] = old[: self.at] + stamped(self.number, self.length) + old[self.at + self.length :]
            case "truncate":
                after[self.name] = files[self.name][: self.length].ljust(self.length, b"\0")
            case "rename":
                after[self.new] = after.pop(self.name)
            case "unlink":
                del after[self.name]
        return after


@dataclass(frozen=True, slots=True)
class Run:
    """One worker of one start of the application."""

    node: str
    started_ns: int
    worker: str
    found: Files
    """What was there when it began."""
    operations: tuple[Operation, ...]


def parse(lines: Sequence[str]) -> tuple[Operation, ...] | None:
    """The operations of a worker's log; ``None``: it was killed before it had kept all it found."""
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
    if not entries:
        return None
    operations: dict[int, dict[str, Any]] = {}
    for entry in entries[1:]:
        operations.setdefault(entry["number"], {}).update(entry)
    return tuple(Operation(**fields) for fields in operations.values())


def read_runs(directory: Path, node: str) -> list[Run]:
    """All that the application's starts on ``node`` wrote down in ``directory``."""
    runs = []
    for log in directory.glob("*/*.log"):
        with log.open() as file:
            operations = parse(file.readlines())
        if operations is not None:
            kept = log.with_suffix("")
            found = {path.name: path.read_bytes() for path in kept.iterdir()}
            runs.append(Run(node, int(log.parent.name), log.stem, found, operations))
    return runs


def violations(runs: Sequence[Run], power_lost_ns: Sequence[int] = ()) -> list[str]:
    """What no crash explains, in sentences; empty: all that completed was found again.

    Args:
        runs: of all nodes.
        power_lost_ns: when all nodes lost their power: past these instants only what was synced must be there.
    """
    wrong = []
    for worker in sorted({run.worker for run in runs}):
        own = sorted((r for r in runs if r.worker == worker), key=lambda r: r.started_ns)
        wrong += [f"{worker}: {words}" for words in _of_worker(own, power_lost_ns)]
    return wrong + _late_writers(runs)


def expected(runs: Sequence[Run]) -> dict[str, tuple[Files, Files]]:
    """For each worker what must be there after its last run: without and with the operation in flight."""
    last: dict[str, Run] = {}
    for run in sorted(runs, key=lambda r: r.started_ns):
        last[run.worker] = run
    return {worker: _end_of(run) for worker, run in last.items()}


def _of_worker(runs: Sequence[Run], power_lost_ns: Sequence[int]) -> list[str]:
    wrong = []
    synced = _SYNCED.get(runs[0].worker, _Nothing)()
    for former, run in itertools.pairwise(runs):
        synced.take(former)
        powerless = any(former.started_ns < at < run.started_ns for at in power_lost_ns)
        found = synced.missing(run.found) if powerless else differences(run.found, *_end_of(former))
        wrong += [f"found on {run.node} at {run.started_ns}: {words}" for words in found]
    for run in runs:
        late = _after_a_failure(run)
        wrong += [f"on {run.node}: operation {op.number} came after one that did not complete" for op in late]
    return wrong


def _after_a_failure(run: Run) -> list[Operation]:
    undone = [i for i, op in enumerate(run.operations) if not op.done]
    return list(run.operations[undone[0] + 1 :]) if undone else []


def _end_of(run: Run) -> tuple[Files, Files]:
    files = run.found
    for operation in run.operations:
        after = operation.changed(files)
        if not operation.done:
            return files, after
        files = after
    return files, files


def _late_writers(runs: Sequence[Run]) -> list[str]:
    """Operations that began on one node after another one served, and completed nevertheless (P3)."""
    wrong = []
    first = [(r.node, r.operations[0].begun_ns) for r in runs if r.operations]
    for run in (r for r in runs if r.operations):
        began_ns = run.operations[0].begun_ns
        others_ns = min((at for node, at in first if node != run.node and at > began_ns), default=None)
        late = [op for op in run.operations if others_ns is not None and op.done and op.begun_ns > others_ns]
        words = "began and completed after another node served"
        wrong += [f"{run.worker} on {run.node}: operation {op.number} {words}" for op in late]
    return wrong


def differences(there: Files, before: Files, after: Files) -> list[str]:
    """What ``there`` is beside ``before``, ``after`` and what lies between them."""
    if there in (before, after):
        return []
    wrong = []
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    for name in sorted(there.keys() | before.keys() | after.keys()):
        content, old, new = there.get(name), before.get(name), after.get(name)
        if content == old == new:
            continue
        # Of one write in flight the first bytes may be there. Names are changed wholly or not at all.
        partly = changed == {name} and content is not None and old is not None and new is not None
        if not (partly and _is_between(content or b"", old or b"", new or b"")):
            wrong.append(f"{name}: {_shown(content, old)}, {_shown(old, new)} before, {_shown(new, old)} after")
    return wrong


def _is_between(content: bytes, old: bytes, new: bytes) -> bool:
    """Whether ``content`` is ``old`` with the first bytes of what makes it ``new``."""
    common = next(
        (i for i, (a, b) in enumerate(zip(content, new, strict=False)) if a != b), min(len(content), len(new))
    )
    return content[common:] == old[common:]


def _shown(content: bytes | None, other: bytes | None) -> str:
    if content is None:
        return "nothing"
    apart = [] if other is None else [i for i, (x, y) in enumerate(zip(content, other, strict=False)) if x != y]
    where = f", other bytes from {apart[0]} to {apart[-1]}" if apart else ""
    return f"{len(content)} bytes{where}"


class _Synced(Protocol):
    """What one worker was promised by fsyncs, in all its starts until now: also what later ones did not touch."""

    def take(self, run: Run) -> None:
        """The next start, with what it found."""

    def missing(self, there: Files) -> list[str]:
        """What is not ``there`` after both nodes have lost their power (P2)."""


class _Nothing:
    """Of a worker that is promised nothing."""

    def take(self, run: Run) -> None:
        pass

    def missing(self, there: Files) -> list[str]:
        return []


class _SyncedSlots:
    def __init__(self) -> None:
        self._allowed: dict[int, list[bytes]] = {}
        """By place: what was synced last, and whatever was there since, which may be on the disk as well."""

    def take(self, run: Run) -> None:
        content = {at: _slot(run.found, at) for at in self._allowed}
        for at, found in content.items():
            self._allowed[at].append(found)
        for op in run.operations:
            if op.do == "write":
                content[op.at] = stamped(op.number, SLOT_BYTES)
                self._allowed.get(op.at, []).append(content[op.at])
            elif op.do == "fsync" and op.done:
                self._allowed = {at: [now] for at, now in content.items()}

    def missing(self, there: Files) -> list[str]:
        return [
            f"slot {at}: not what was synced"
            for at in sorted(self._allowed)
            if _slot(there, at) not in self._allowed[at]
        ]


def _slot(files: Files, at: int) -> bytes:
    return files.get("slots", b"")[at : at + SLOT_BYTES]


class _SyncedFiles:
    """A file counts once it was written, synced, and then its directory, until it is removed."""

    def __init__(self) -> None:
        self._promised: Files = {}

    def take(self, run: Run) -> None:
        # What is missing was told when it was found so.
        self._promised = {name: was for name, was in self._promised.items() if run.found.get(name) == was}
        files, synced = run.found, set[str]()
        for op in run.operations:
            if op.do == "unlink":
                self._promised.pop(op.name, None)
            if not op.done:
                break
            files = op.changed(files)
            if op.do == "fsync" and op.name == ".":
                self._promised |= {name: files[name] for name in synced}
                synced = set()
            elif op.do == "fsync":
                synced.add(op.name)

    def missing(self, there: Files) -> list[str]:
        lost = [name for name, was in self._promised.items() if there.get(name) != was]
        return [f"{name}: not what was synced" for name in sorted(lost)]


_SYNCED: dict[str, type[_Synced]] = {"slots": _SyncedSlots, "files": _SyncedFiles}
"""The workers whose fsyncs promise something that a loss of power on both nodes cannot take back."""
