"""The bytecode of what ``dataclasses`` generates, kept beside that of the modules, so that no start compiles it again.

For each class ``dataclasses`` writes the source of half a dozen methods and has Python compile it: with some four
hundred classes a quarter of the time until an agent is there, and of a command two fifths. Python keeps the bytecode of
modules, and not that. ``python -m manager.kept_code`` (scripts/setup and scripts/install, after ``compileall``) keeps
it, for each program in a file of its own; each program begins with :func:`use`.

What was kept is looked up by the source itself: one that is not there, since a class has changed, is compiled as it was
before. So nothing depends on the file, and one that is not there, of another Python, or damaged, is as none.
"""

import builtins
import dataclasses
import importlib
import marshal
import os
import sys
import zlib
from collections.abc import Mapping
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType
from typing import Any

PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "agent": ("agent.main", "agent.runtime.log", "agent.runtime.assembly"),
    "replicator": ("replicator.main",),
    "manager": ("manager.cli.main",),
}
"""By the package of each: what has all its classes once it is imported."""
_ROOT = Path(__file__).parent
_CHECKSUM_BYTES = 4


def path_of(program: str) -> Path:
    """Where that program's is kept: a file of our own, in the directory that is Python's for such things."""
    return _ROOT / "__pycache__" / f"generated-{program}.{sys.implementation.cache_tag}"


def use(program: str) -> None:
    """From here on, what is kept for ``program`` is compiled no more."""
    if not _is_ours():
        _have_run(read(path_of(program)))


def read(path: Path) -> dict[str, CodeType]:
    """By its source, what is kept there; nothing, if it is of no use to this Python."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    magic, rest = data[: len(MAGIC_NUMBER)], data[len(MAGIC_NUMBER) :]
    checksum, body = rest[:_CHECKSUM_BYTES], rest[_CHECKSUM_BYTES:]
    if magic != MAGIC_NUMBER or checksum != _checksum(body):
        return {}
    kept: dict[str, CodeType] = marshal.loads(body)
    return kept


def write(path: Path, kept: Mapping[str, CodeType]) -> None:
    """Keep it there, in place of what was: whoever reads meanwhile has the one or the other."""
    body = marshal.dumps(dict(kept))
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_bytes(MAGIC_NUMBER + _checksum(body) + body)
    new.replace(path)


def record(modules: tuple[str, ...]) -> dict[str, CodeType]:
    """What is generated while they are imported, here and for the first time; also what is generated from now on."""
    found: dict[str, CodeType] = {}
    _have_run(found, keep=True)
    for module in modules:
        importlib.import_module(module)
    return found


def is_kept(program: str) -> bool:
    """It is there, and no source of ours is newer."""
    try:
        kept_ns = path_of(program).stat().st_mtime_ns
    except OSError:
        return False
    packages = (_ROOT.parent / package for package in PROGRAMS)
    return all(source.stat().st_mtime_ns <= kept_ns for package in packages for source in package.rglob("*.py"))


def _is_ours() -> bool:
    return "exec" in vars(dataclasses)


def _have_run(kept: dict[str, CodeType], keep: bool = False) -> None:
    """``dataclasses`` finds this where it looks for ``exec``, before the built-in one."""

    def run(source: str, names: dict[str, Any], results: dict[str, Any] | None = None) -> None:
        code = kept.get(source)
        if code is None:
            code = compile(source, "<string>", "exec", dont_inherit=True)
            if keep:
                kept[source] = code
        builtins.exec(code, names, results)

    setattr(dataclasses, "exec", run)  # noqa: B010 - it has no such name, as mypy sees it.


def _checksum(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "big")


def main(arguments: list[str]) -> None:
    """Keep what the programs generate; each in a process of its own, which has imported nothing yet."""
    if arguments:
        write(path_of(arguments[0]), record(PROGRAMS[arguments[0]]))
        return
    import subprocess  # No program is to load it for this.

    for program in PROGRAMS:
        if not is_kept(program):
            # -P: of the release that this is, not of a checkout where it is called.
            subprocess.run([sys.executable, "-P", "-m", "manager.kept_code", program], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
