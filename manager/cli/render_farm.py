"""A farm's tables for people. As ``manager.cli.render``, it asks nobody for anything."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from manager.cli.farm_words import (
    NONE,
    NOT_UNDERSTOOD,
    UNCOUNTED,
    UNKNOWN,
    directs_word,
    generation_lines,
    rule_word,
    share_word,
    shares_word,
    slots_word,
    traffic_words,
    way_lines,
    weight_word,
)
from manager.cli.node_words import node_word, readiness_word, state_word, style, why_with_detail
from manager.model.api import ModuleView, NodeState
from manager.model.api_farm import FarmReport, FarmTable
from manager.model.states import Readiness

FARM_COLUMNS = ("NODE", "STATE", "READINESS", "SHARE", "WEIGHT", "DIRECTS", "WHY")
"""Of the table of farms, after the module's name."""


def readiness_text(node: NodeState) -> Text:
    """Its readiness, which catches the eye where somebody has to do something."""
    return Text(readiness_word(node), "bold red" if node.readiness is Readiness.BLOCKED else "")


def state_head(node: NodeState, here: str) -> Text:
    """Its name and its state, to begin a line with."""
    readiness = "" if node.readiness is None else f", {node.readiness}"
    return Text(f"{node_word(node, here)}: ").append(f"{state_word(node)}{readiness}", style(node))


def farm_cells(module: ModuleView, node: NodeState, here: str) -> tuple[str | Text, ...]:
    """What stands in ``FARM_COLUMNS`` for ``node``; ``here``: the node that answers."""
    return (
        node_word(node, here),
        Text(state_word(node), style(node)),
        readiness_text(node),
        *_cells(node),
        why_with_detail(module.name, node),
    )


def farm_rows(modules: Sequence[ModuleView], here: str) -> Table:
    """Farms, a row for each node; ``here``: the node that answers."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("MODULE", *FARM_COLUMNS):
        table.add_column(title, no_wrap=title != "WHY")
    for module in modules:
        for index, node in enumerate(module.nodes):
            table.add_row(module.name if index == 0 else "", *farm_cells(module, node, here))
    return table


def _cells(node: NodeState) -> tuple[str, str, str]:
    if node.farm is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    return shares_word(node.farm), weight_word(node.farm), directs_word(node.farm)


def farm_paragraphs(modules: Sequence[ModuleView], here: str) -> list[Text]:
    """The same for a terminal without room for a table."""
    lines: list[Text] = []
    for module in modules:
        lines.append(Text(module.name, "bold"))
        for node in module.nodes:
            lines.append(Text("  ").append_text(farm_head(node, here)))
            lines.append(Text(f"    {why_with_detail(module.name, node)}"))
    return lines


def farm_head(node: NodeState, here: str) -> Text:
    """A node in a line, but for why."""
    share, weight, directs = (cell.replace("\n", ", ") for cell in _cells(node))
    told = f"; share: {share}; weight: {weight}"
    return state_head(node, here).append(told if directs == NONE else f"{told}; directs: {directs}")


def report_text(report: FarmReport) -> RenderableType:
    """Who serves each address, and by which rules."""
    parts: list[RenderableType] = [part for table in report.tables for part in _table_text(report.module, table)]
    rules = [f"{rule_word(r)} by {r.affinity}{_only(r.addresses)}" for r in report.rules]
    parts.append(Text(f"Shared: {', '.join(rules)}. The rest goes to the director."))
    if len(report.chain) > 1:
        groups = "; else ".join(", ".join(group) for group in report.chain)
        parts.append(Text(f"Chain: {groups}. The first of these groups serves that has a node UP with a weight."))
    parts += [Text(line, "bold yellow") for line in generation_lines(report.module, report.generation, report.running)]
    return Group(*parts)


def _traffic(table: FarmTable, node: str) -> str:
    if not table.traffic:
        return ""
    return f"; {traffic_words(table.traffic[node])}" if node in table.traffic else f"; {UNCOUNTED}"


def _only(addresses: Sequence[str]) -> str:
    return f" (of {', '.join(addresses)})" if addresses else ""


def _table_text(module: str, table: FarmTable) -> list[RenderableType]:
    director = UNKNOWN if table.director is None else table.director or "nobody"
    head = f"{module} {table.address}: directed by {director}"
    if table.number is None:
        return [Text(f"{head}; {NOT_UNDERSTOOD}", "bold")]
    if table.number == 0:
        return [Text(f"{head}; there is no table yet", "bold")]
    shares = table.shares or {}
    kept = [node for node, traffic in table.traffic.items() if traffic.connections and not shares.get(node)]
    lines = [f"{node}: {share_word(shares.get(node, 0))}{_traffic(table, node)}" for node in (*shares, *kept)]
    lines += [f"nobody: {share_word(table.nobody)}: what begins there is dropped"] if table.nobody else []
    lines += way_lines(table) or [f"none of its {slots_word(sum(shares.values()))} is on its way"]
    return [Text(f"{head}; table {table.number}, by {table.by}", "bold"), *(Text(f"  {line}") for line in lines)]
