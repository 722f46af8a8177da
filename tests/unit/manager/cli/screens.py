"""A screen as tests need it: what was seen of a cluster, drawn at some size, and read back."""

import io
from dataclasses import replace

from rich.console import Console

from manager.cli.watching.screen import Screen
from manager.cli.watching.seen import Seen
from manager.model.api import ModuleView, StateResult
from manager.model.api_around import Around, NodePresence, TakeOver
from manager.model.reasons import Reason
from manager.model.records import HistoryRecord
from tests.unit.manager.cli.views import result

AT = "2026-11-26T15:58:52Z"
SMALL, LARGE = (80, 24), (200, 60)


def takeover(number: int, module: str = "db") -> TakeOver:
    """The higher, the newer."""
    node, previous = ("a", "b") if number % 2 else ("b", "a")
    at = f"2026-11-26T{number // 60:02d}:{number % 60:02d}:07.123Z"
    return TakeOver(module, HistoryRecord(number, node, previous, Reason.PRIMARY_LOST, at))


def around(*away: NodePresence, takeovers: int = 0) -> Around:
    present = (NodePresence("a", True, "0.1.0", None), NodePresence("b", True, "0.1.0", None))
    return Around((*present, *away), tuple(takeover(n) for n in range(takeovers, 0, -1)))


def answer(*modules: ModuleView, what: Around | None = None) -> StateResult:
    return replace(result(*modules), around=what or around())


def seen(*modules: ModuleView, what: Around | None = None) -> Seen:
    return Seen(answer(*modules, what=what), AT, 1.0)


def drawn(what: Seen, size: tuple[int, int] = LARGE) -> list[str]:
    """Its lines, of which there are as many as the screen has, and none is longer than that is wide."""
    columns, rows = size
    console = Console(file=io.StringIO(), width=columns, height=rows, markup=False, highlight=False, emoji=False)
    with console.capture() as captured:
        console.print(Screen(what), end="")
    lines = captured.get().split("\n")
    assert len(lines) == rows
    assert max(map(len, lines)) <= columns
    return [line.rstrip() for line in lines]


def styled(what: Seen, size: tuple[int, int] = LARGE, *, no_color: bool = False) -> str:
    """With what a terminal obeys."""
    columns, rows = size
    console = Console(
        file=io.StringIO(), width=columns, height=rows, markup=False, highlight=False, emoji=False,
        force_terminal=True, color_system="standard", no_color=no_color,
    )  # fmt: skip
    with console.capture() as captured:
        console.print(Screen(what), end="")
    return captured.get()
