"""The modules on the screen, a row for each node, in the cells of the plain ``state``. Pure.

Each row is laid out by itself, in columns that are the same for all, so that some can be left out.
"""

from collections.abc import Callable, Sequence

from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from manager.cli.harmless import harmless_lines
from manager.cli.render import LEAST_COLUMNS, MIRROR_COLUMNS, mirror_cells, mirror_head
from manager.cli.render_farm import FARM_COLUMNS, farm_cells, farm_head
from manager.cli.watching.parts import LINE, ROW, Part, Rank, Section, concern, plain, worst_first
from manager.model.api import ModuleView, NodeState, StateResult
from manager.model.states import ModuleKind

LEAST_WHY = 30
"""Columns without which a sentence is told below its row, and not in it."""
_GAP = 2
"""Columns between two of the table."""

Cell = str | Text
Cells = Callable[[ModuleView, NodeState, str], tuple[Cell, ...]]
Head = Callable[[NodeState, str], Text]


def module_sections(result: StateResult, columns: int) -> list[Section]:
    """The mirrors and the farms of ``result`` on a terminal of so many ``columns``."""
    if not result.modules:
        return [Section(None, (Part(Rank.WELL, LINE, Text("No module has been applied yet.")),))]
    farms = [m for m in result.modules if m.kind is ModuleKind.FARM]
    others = [m for m in result.modules if m.kind is not ModuleKind.FARM]
    sections = [
        _section(others, result.node, columns, MIRROR_COLUMNS, mirror_cells, mirror_head),
        _section(farms, result.node, columns, FARM_COLUMNS, farm_cells, farm_head),
    ]
    return [section for section in sections if section.parts]


def _section(
    modules: Sequence[ModuleView], here: str, columns: int, titles: Sequence[str], cells: Cells, head: Head
) -> Section:
    rows = [(module, node) for module in worst_first(modules) for node in module.nodes]
    told = [_tame((Text(module.name, "bold"), *cells(module, node, here))) for module, node in rows]
    widths = _widths([("MODULE", *titles), *told], columns)
    if columns < LEAST_COLUMNS or widths[-1] < LEAST_WHY:
        both = zip(rows, told, strict=True)
        return Section(None, tuple(_paragraph(module, node, head(node, here), row[-1]) for (module, node), row in both))
    title = _table_row([Text(title, "bold") for title in ("MODULE", *titles)], widths)
    parts = (
        Part(concern(node), ROW, _table_row(row, widths), _table_row(row, widths, is_brief=True))
        for (_, node), row in zip(rows, told, strict=True)
    )
    return Section(title, tuple(parts))


def _tame(row: Sequence[Cell]) -> list[Text]:
    """Whatever stands in a cell, it is not obeyed by a terminal; why is one paragraph."""
    *cells, why = row
    return [*(_tamed(cell) for cell in cells), plain(str(why))]


def _tamed(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(harmless_lines(cell))


def _widths(rows: Sequence[Sequence[Cell]], columns: int) -> list[int]:
    """As wide as what stands in each; the last one has the rest, which may be nothing."""
    fixed = [max(_width(cell) for cell in column) for column in list(zip(*rows, strict=True))[:-1]]
    return [*fixed, max(0, columns - sum(fixed) - _GAP * len(fixed))]


def _width(cell: Cell) -> int:
    return max(cell_len(line) for line in str(cell).split("\n"))


def _table_row(row: Sequence[Text], widths: Sequence[int], *, is_brief: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, _GAP, 0, 0))
    for number, width in enumerate(widths, start=1):
        table.add_column(width=width, no_wrap=is_brief or number < len(widths), overflow="ellipsis")
    table.add_row(*row)
    return table


def _paragraph(module: ModuleView, node: NodeState, head: Text, why: Text) -> Part:
    told = Text().append(module.name, "bold").append(" on ").append_text(head)
    return Part(concern(node), ROW, Group(told, Text("  ").append_text(why)), told)
