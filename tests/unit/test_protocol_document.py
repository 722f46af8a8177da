"""docs/PROTOCOL.md says what the code does: its tables are compared with it."""

import inspect
import re
import struct
from pathlib import Path

import pytest

from replicator import peers, primary, reception, secondary, stranger
from replicator.link import Link
from replicator.wire import bodies, compression, copying, frames, messages, operations, small_files, verifying
from replicator.wire.frames import BODY_BOUNDS, FROM_SECONDARY, FrameKind
from replicator.wire.messages import Refusal

DOCUMENT = (Path(__file__).parents[2] / "docs" / "PROTOCOL.md").read_text()
_MODULES = (frames, operations, messages, bodies, copying, verifying, small_files)


def tables(first: str) -> list[list[str]]:
    """The rows of all tables whose first column is headed so; code marks taken off the cells."""
    rows: list[list[str]] = []
    inside = False
    for line in DOCUMENT.splitlines():
        if not line.startswith("|"):
            inside = False
            continue
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if inside and not cells[0].startswith("---"):
            rows.append(cells)
        elif cells[0] == first:
            inside = True
    assert rows
    return rows


def counters_of(*functions: object) -> set[str]:
    """The names of counters in the source of functions."""
    found: set[str] = set()
    for function in functions:
        source = inspect.getsource(function)  # type: ignore[arg-type]
        found.update(re.findall(r'"([a-z]+(?:_[a-z]+)*)"[]:]', source))
    return found


def test_kinds() -> None:
    written = {row[0]: tuple(row[1:5]) for row in tables("kind")}
    sender = {kind: "secondary" for kind in (*FROM_SECONDARY, FrameKind.WELCOME, FrameKind.REFUSED)}
    assert written == {
        kind.name: (str(int(kind)), sender.get(kind, "primary"), str(least), str(most))
        for kind, (least, most) in BODY_BOUNDS.items()
    }


def test_formats() -> None:
    written = {row[0]: row[1] for row in tables("struct")}
    layouts = {
        name: layout.format
        for module in _MODULES
        for name, layout in vars(module).items()
        if isinstance(layout, struct.Struct) and name not in ("_REST", "_WRITE_FRAME")
    }
    assert written == layouts


@pytest.mark.parametrize("row", tables("limit"), ids=lambda row: row[0])
def test_limits(row: list[str]) -> None:
    name, value = row[0], int(row[1])
    found = {getattr(module, name) for module in (*_MODULES, reception) if hasattr(module, name)}
    assert found == {value}


def test_refusals() -> None:
    assert [row[0] for row in tables("refusal")] == [refusal.value for refusal in Refusal]


def test_counters() -> None:
    written = {(row[0], row[1]) for row in tables("counter")}
    ours = counters_of(secondary.Secondary.__init__, secondary.Secondary.counters)
    assert {name for name, side in written if side == "connection"} == counters_of(Link.counters)
    assert {name for name, side in written if side == "secondary"} == ours
    assert {name for name, side in written if side == "primary"} == counters_of(primary.Primary.counters)


def test_numbers_in_the_text() -> None:
    def says(text: str) -> None:
        assert text in re.sub(r"\s+", " ", DOCUMENT)

    says(f"begins at bodies of {compression.THRESHOLD >> 10} KiB")
    says(f"a sample of {compression.SAMPLE >> 10} KiB")
    says(f"shrink below {compression.WORTH} ")
    says(f"… {compression.MOST_SKIPPED} bodies")
    says(f"within {stranger.HANDSHAKE_S:.0f} s of the connection")
    says(f"`peer_timeout` + {secondary.SILENCE_S:.0f} s")
    says(f"blocks of {copying.BLOCK >> 10} KiB, at most {copying.MAX_BLOCKS}")
    says(f"describes version {frames.VERSION}")
    assert (peers.FSYNC_TIMEOUTS, primary.OWN_FSYNC_TIMEOUTS) == (12, 24), "says twelve and twenty-four"
    assert secondary.TICK_S * secondary.FREE_TICKS == 1.0
