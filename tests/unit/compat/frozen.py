"""The releases that are kept, and what they have left here."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from tests.unit.compat.freeze import FILES, FRAMES, HERE, LINES, SHAPES
from tests.unit.compat.shapes import Reader

RELEASES = sorted(
    (path.name for path in HERE.glob("[0-9]*.[0-9]*") if path.is_dir()), key=lambda n: [*map(int, n.split("."))]
)


def lines(release: str) -> list[tuple[str, bytes]]:
    """The name of a form, and an example of it as that release wrote it."""
    return [(name, line.encode()) for name, line in _pairs(release, LINES)]


def frames(release: str) -> list[tuple[str, bytes]]:
    """An entry of ``stream.BODIES``, and the whole frame as that release wrote it."""
    return [(name, bytes.fromhex(text)) for name, text in _pairs(release, FRAMES)]


def files(release: str) -> Path:
    """What that release left on disks."""
    return HERE / release / FILES


@cache
def shapes(release: str) -> Any:
    """What that release reads."""
    return json.loads((HERE / release / SHAPES).read_text())


def reader(release: str) -> Reader:
    """It."""
    return Reader(shapes(release))


def _pairs(release: str, name: str) -> list[tuple[str, str]]:
    text = (HERE / release / name).read_text()
    return [(before, after) for before, _, after in (line.partition("\t") for line in text.splitlines())]
