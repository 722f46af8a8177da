"""What a node has set aside of what it alone had, in words (S12): that there is some, what it is, and what is in it."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from manager.cli.progress import bytes_words
from manager.model.api import ModuleView
from manager.model.asides import Aside, AsideItem, AsideReport, Kept
from manager.model.resources import KeptAside, aside_in
from manager.model.states import ModuleState

_KEPT = {
    Kept.UNKNOWN: "not known here",
    Kept.WHOLE: "all of it",
    Kept.DIRECTORY: "the directory",
    Kept.ATTRIBUTES: "attributes, here",
}


def aside_lines(module: ModuleView, but: str = "") -> list[str]:
    """Which nodes have something set aside, and of which it is not known; ``but``: that node is left out.

    Of a node of which nothing at all is known, that is not said once more.
    """
    lines = []
    for node in module.nodes:
        kept = aside_in(node.resources)
        if node.node == but or node.state is None or (kept is not None and not kept.count):
            continue
        if kept is not None:
            lines.append(_HAS.format(module=module.name, node=node.node, much=_much(kept)))
        else:
            words = _STOPPED if node.state is ModuleState.STOP else _NOT_SAID
            lines.append(words.format(module=module.name, node=node.node))
    return lines


_STOPPED = """\
{module}: unknown whether {node} has something set aside: the module is stopped there; once it is started, mirrorfarm \
aside {module} on {node} tells"""
_NOT_SAID = "{module}: unknown whether {node} has something set aside: its replicator has not said"
_HAS = "{module}: {node} has set aside what it alone had ({much}); to see it, on {node}: mirrorfarm aside {module}"


def _much(kept: KeptAside) -> str:
    return f"{'once' if kept.count == 1 else f'{kept.count:,} times'}, {bytes_words(kept.bytes)}"


def list_text(module: str, node: str, report: AsideReport) -> RenderableType:
    """All that is set aside on ``node``."""
    parts: list[RenderableType] = []
    if report.diverged:
        parts.append(Text(_DIVERGED.format(module=module, node=node), "bold yellow"))
    if not report.asides:
        return Group(*parts, Text(f"{module} on {node}: nothing is set aside."))
    kept_bytes = sum(one.bytes for one in report.asides)
    room = f"at most {bytes_words(report.limit_bytes)} may be" if report.limit_bytes else "nothing more may be"
    parts.append(Text(f"{module} on {node}: {bytes_words(kept_bytes)} are set aside ({room}):"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("NUMBER", "WHEN (UTC)", "EPOCH", "BECAME A COPY OF", "ENTRIES", "KEPT"):
        table.add_column(title, no_wrap=True, justify="right" if title in _NUMBERS else "left")
    for one in report.asides:
        into = f"{one.primary}, epoch {one.epoch}"
        table.add_row(str(one.number), one.at, str(one.node_epoch), into, f"{one.items:,}", bytes_words(one.bytes))
    return Group(*parts, table, Text(_TO_SEE.format(module=module, number=report.asides[-1].number)))


_NUMBERS = ("NUMBER", "EPOCH", "ENTRIES", "KEPT")
_DIVERGED = """\
{module} on {node}: this copy went on without the one that serves now. What differs is yet to be set aside; until then
  nothing of it is changed. mirrorfarm why {module} says what it waits for."""
_TO_SEE = "  What is in it: mirrorfarm aside {module} show {number}"


def show_text(module: str, aside: Aside, path: str, report: AsideReport) -> RenderableType:
    """What is kept in ``aside`` of ``path`` and below; of everything when that is empty."""
    below = f", of {path}" if path else ""
    head = f"{module}, aside {aside.number}{below}: {entries_words(report.items_total)} in which this copy differed"
    if not report.items:
        return Text(f"{head}.")
    more = report.items_total - len(report.items)
    rest = [Text(f"... and {more:,} more (--limit N names more)")] if more > 0 else []
    return Group(Text(f"{head} from the one of {aside.primary}:"), _items(report.items), *rest, Text(_RESTORE.format(
        module=module, number=aside.number,
    )))  # fmt: skip


_RESTORE = "  To get something of it: mirrorfarm aside {module} restore {number} PATH --to TARGET"


def _items(items: Sequence[AsideItem]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("PATH", "DIFFERED", "KEPT", "SIZE", "WAS"):
        table.add_column(title, overflow="fold", justify="right" if title == "SIZE" else "left")
    for item in items:
        size = "-" if item.kept is Kept.DIRECTORY else bytes_words(item.size)
        table.add_row(Text(item.path), Text(", ".join(item.what)), _KEPT[item.kept], size, Text(item.detail))
    return table


def restored_text(module: str, number: int, path: str, target: str, report: AsideReport) -> str:
    """What was restored."""
    return f"{module}: {path} of aside {number} is in {target}: {entries_words(report.items_total)}"


def what_is_cleared(asides: Iterable[Aside]) -> list[str]:
    """A line for each that would be deleted."""
    return [
        f"  aside {one.number} of {one.at}: {entries_words(one.items)}, {bytes_words(one.bytes)}; nobody else has it"
        for one in asides
    ]


def entries_words(count: int) -> str:
    """How many."""
    return "1 entry" if count == 1 else f"{count:,} entries"
